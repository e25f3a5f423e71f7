#pragma once
// Recording of everything an attacker with full view of the platform could see, for the obliviousness tests.
#include <compare>
#include <cstdint>

namespace carrel {

// kTile: a weight tile that is opened, kHostCall: a read of the model through the host (offsets in the file); kInput,
// kOutput, kSpillOut, kSpillIn, kProfile: blocks (offsets in the shared area); kArena: memory handed to a kernel (offsets in the block).
enum class TraceKind : uint8_t { kTile, kSpillOut, kSpillIn, kInput, kOutput, kArena, kHostCall, kProfile };
struct TraceEvent {
  TraceKind kind;
  uint32_t step;
  uint64_t offset;
  uint64_t bytes;
  auto operator<=>(const TraceEvent&) const = default;
};
class TraceSink {
 public:
  virtual ~TraceSink() = default;
  // From any thread of the engine; within a step, the order between threads is not fixed.
  virtual void record(const TraceEvent& event) = 0;
};

}  // namespace carrel
