#pragma once
// One client's batch, from its hello to the end.
#include <functional>

#include "base/cpu.h"
#include "he/plan/scales.h"
#include "he/wire/socket.h"

namespace carrel::he {

struct ServerOptions {
  CpuMask cpu = 0;
  uint32_t threads = 1;
};
struct ServerReport {
  double seconds = 0;       // from the plan to the end
  uint64_t stored_bytes = 0;  // of ciphertexts, at most at one time
  uint64_t residue_macs = 0;
};
// progress(done, all): rows; from the calling thread. Errors: kIo, kInvalidInput (what the client sent), kPlatform (it gave up); the client
// has been told, as far as it listens. The connection is closed to further use.
Result<ServerReport> serve_batch(const Network& network, const Scaling& scaling, const ServerOptions& options, Connection* connection,
                                 const std::function<void(uint64_t done, uint64_t all)>& progress);

}  // namespace carrel::he
