#pragma once
// From exec to locked down: the steps every enclave process takes before it may hold a key.
#include <cstdint>

#include "base/result.h"
#include "engine/format/boundary.h"
#include "platform/process/control.h"
#include "platform/process/enclave_host.h"
#include "platform/process/enclave_memory.h"

namespace carrel {

// Small, fixed stacks: they count in runtime_reserve_bytes. A guard page follows each.
inline constexpr uint64_t kMainStackBytes = 256 * 1024;
inline constexpr uint64_t kWorkerStackBytes = 64 * 1024;

// What the process has once it is locked down.
struct Enclave {
  StartMessage start;  // checked
  EnclaveHost host;
  TrustedMemory state;  // `state_bytes` for keys and the engine's own state
  TrustedMemory block;  // budget - reserve
  uint32_t lost = 0;    // LostProtection
};

// What the program on top is.
struct EnclaveProgram {
  uint64_t state_bytes = 0;
  uint64_t (*reserve_bytes)(uint32_t threads) = nullptr;  // of the budget, not in the block
  void (*worker)(void* state, uint32_t index) =
      nullptr;  // on each of threads - 1 threads, after release_workers()
};

// In this order: not dumpable, no core file, bounded stack; the start message; descriptors; trusted
// memory (while CAP_IPC_LOCK may still be held); nobody instead of root; no capabilities; death with
// the launcher; no tracer; worker threads up; no new privileges and the system-call filter. Errors:
// kBudgetTooSmall (detail() = least grant), kPlatform.
Status enter_enclave(const EnclaveProgram& program, Enclave* enclave);

// Reads the client's secrets straight into the state memory `secrets` points at, and closes the
// channel; what follows them is never read. Errors: kPlatform if it ends before one SessionSecrets.
Status receive_secrets(SessionSecrets* secrets);

// Lets the workers into EnclaveProgram::worker.
void release_workers();

// Waits until all `threads` - 1 released workers have come back from EnclaveProgram::worker.
void await_workers(uint32_t threads);

// Tells the launcher how it went.
Status send_ready(const Enclave& enclave, const Status& status);

}  // namespace carrel
