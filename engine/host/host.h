#pragma once
// The trusted engine's only way out. Implementations live in platform/; everything behind them is hostile.
//
// Untrusted memory is handed over once, as ranges whose size cannot shrink under the engine; their bytes may change
// at any moment. Replies are checked once, in CheckedHost (checked_host.h); engine code calls only that. It keeps the ranges
// out of the engine's block; that they touch no other trusted memory (state, stacks) is the platform's duty.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace carrel {

// Fixed-size control messages. Everything in a Request is claimed by an untrusted party.
enum class RequestKind : uint32_t {
  kPrepare = 1,  // args: program offset, bytes, index (kSessionProgram: in the shared area, else in the model file)
  kRun = 2,      // args: image counter, offset of a profile in the shared area or kNoProfile
  kClose = 3,
};
struct Request {
  RequestKind kind = RequestKind::kClose;
  uint32_t reserved = 0;
  uint64_t args[4] = {};
};

// A profile lies behind the program's stores: one StepProfile for each of its steps, at a multiple of 8.
inline constexpr uint64_t kNoProfile = 0;
// One step of a program. Ticks are the processor's (base/ticks.h); RunStats gives their rate.
struct StepProfile {
  uint64_t wall_ticks = 0;
  uint64_t busy_ticks = 0;     // summed over the threads that had work
  uint64_t decrypt_ticks = 0;  // of busy_ticks: verifying and decrypting weights
  uint64_t bytes = 0;          // of weights decrypted, or of activations sealed or opened
};

struct RunStats {
  uint64_t peak_trusted_bytes = 0;  // measured: reserve + the highest byte handed out of the block
  uint64_t bytes_decrypted = 0;     // weights, plaintext bytes
  uint64_t bytes_spilled = 0;       // activations sealed out
  uint64_t bytes_fetched = 0;       // activations brought back
  uint64_t crossings = 0;           // host calls
  uint64_t nanoseconds = 0;         // inside the engine
  uint64_t ticks = 0;               // the same time
};
struct Reply {
  uint32_t ok = 0;
  uint32_t error_code = 0;  // ErrorCode
  uint64_t detail = 0;
  char message[240] = {};
  RunStats stats;
};

class Host {
 public:
  // The sealed model's bytes: at most dst.size() into trusted memory from `offset`; returns the bytes copied.
  virtual Result<uint64_t> read_model(uint64_t offset, std::span<std::byte> dst) = 0;
  virtual Result<uint64_t> model_bytes() = 0;
  // The model as mapped untrusted memory that cannot shrink, or empty: then read_model is used.
  virtual std::span<const std::byte> model_map() = 0;
  // Untrusted read-write memory for inputs, outputs and spill (StoreDesc offsets). Fixed after kPrepare.
  virtual std::span<std::byte> shared_area() = 0;
  // Asks for a shared area of at least `bytes`; called during kPrepare only.
  virtual Status grow_shared_area(uint64_t bytes) = 0;
  // Blocks for the next request / answers it.
  virtual Result<Request> receive() = 0;
  virtual Status reply(const Reply& reply) = 0;
  // Monotonic; the host's clock may lie, only statistics use it.
  virtual uint64_t nanoseconds() = 0;
  // Sleeps while *word == expected / wakes all sleepers. Spurious wake-ups are allowed.
  virtual void wait(const uint32_t* word, uint32_t expected) = 0;
  virtual void wake_all(const uint32_t* word) = 0;

 protected:
  ~Host() = default;  // never deleted through the interface: trusted code has no heap
};

}  // namespace carrel
