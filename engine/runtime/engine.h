#pragma once
// The trusted engine: one sealed model, one program, one session, inside one fixed block of memory.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/cpu.h"
#include "base/result.h"
#include "engine/format/boundary.h"
#include "engine/host/host.h"
#include "engine/host/trace.h"

namespace carrel {

class CheckedHost;

struct EngineConfig {
  std::span<std::byte> block;  // trusted, 64-byte aligned, zeroed; budget - runtime_reserve_bytes(threads)
  uint32_t threads = 1;
  CpuMask cpu = 0;
  TraceSink* trace = nullptr;  // tests only (inproc)
};

// All of the engine's own state, of fixed size; placed in static or platform memory, counted in runtime_reserve_bytes.
inline constexpr uint64_t kEngineStateBytes = 16 * 1024;

class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  // `secrets` is wiped before this returns. Reads and checks the model's header: kWrongKey, kAuthentication,
  // kInvalidInput; kUnsupported where the processor lacks what engine/crypto needs. The spill key is drawn here.
  static Status open(Host* host, const EngineConfig& config, SessionSecrets* secrets, Engine* engine);
  ~Engine();  // wipes

  // Reads, verifies and validates a program into the block. Once; after an error that left the session alive, again.
  Status prepare(const Request& request);
  // One image under `counter` (args[0]), which must exceed every counter used before in the session.
  Status run(const Request& request, RunStats* stats);

  // Runs worker `index` (1 .. threads - 1) until close(); called by the platform on a thread of its own.
  void worker_loop(uint32_t index);
  // The checked way to the host, for serve(). Requires an open engine.
  CheckedHost* host();
  // Ends the worker loops and waits until the threads that entered one have left it. May be called twice.
  void close();

 private:
  class State;
  alignas(64) std::byte storage_[kEngineStateBytes];
  State* state_ = nullptr;
};

// The enclave's main loop: requests until kClose or a broken channel. Any authentication failure wipes and ends
// the session; every later request is refused.
void serve(Engine* engine);

}  // namespace carrel
