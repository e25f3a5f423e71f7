// carrel-enclave: the trusted process. Started by platform/process's launcher, never by hand.
#include <unistd.h>

#include <new>

#include "base/wipe.h"
#include "engine/format/program.h"
#include "engine/runtime/engine.h"
#include "platform/process/enclave_start.h"

namespace carrel {
namespace {

// Keys and everything derived from them, in the enclave's own memory rather than in static data.
struct State {
  Engine engine;
  SessionSecrets secrets;
};

void run_worker(void* state, uint32_t index) {
  static_cast<State*>(state)->engine.worker_loop(index);
}

Status open_session(Enclave* enclave, State* state) {
  CARREL_RETURN_IF_ERROR(receive_secrets(&state->secrets));
  EngineConfig config;
  config.block = enclave->block.bytes;
  config.threads = enclave->start.threads;
  config.cpu = enclave->start.cpu;
  return Engine::open(&enclave->host, config, &state->secrets, &state->engine);
}

int enclave_main() {
  Enclave enclave;
  const EnclaveProgram program{sizeof(State), runtime_reserve_bytes, run_worker};
  Status status = enter_enclave(program, &enclave);
  if (!status.ok()) {
    (void)send_ready(enclave, status);
    return kExitDone;
  }
  State* state = new (enclave.state.bytes.data()) State;
  status = open_session(&enclave, state);
  const Status sent = send_ready(enclave, status);
  if (status.ok()) {
    release_workers();
    if (sent.ok()) serve(&state->engine);
    state->engine.close();
    // The state may go only when no worker is in it, or about to enter.
    await_workers(enclave.start.threads);
  }
  state->~State();
  wipe(&state->secrets, sizeof(state->secrets));
  return kExitDone;
}

}  // namespace
}  // namespace carrel

// _exit: no thread may end, no library has anything to flush.
int main() { _exit(carrel::enclave_main()); }
