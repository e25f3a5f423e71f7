#pragma once
// Recording of everything an attacker with full view of the platform could see, for the obliviousness tests.
#include <cstdint>

namespace carrel {

enum class TraceKind : uint8_t { kTile, kSpillOut, kSpillIn, kInput, kOutput, kArena, kHostCall };
struct TraceEvent {
  TraceKind kind;
  uint32_t step;
  uint64_t offset;
  uint64_t bytes;
  bool operator==(const TraceEvent&) const = default;
};
class TraceSink {
 public:
  virtual ~TraceSink() = default;
  virtual void record(const TraceEvent& event) = 0;  // from the thread that runs the step loop
};

}  // namespace carrel
