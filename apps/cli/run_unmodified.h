#pragma once
// `run --engine unmodified`: the engine that carrel is compared with, in the simulator or in plain memory.
#include <string>

#include "apps/cli/cli.h"
#include "apps/cli/inputs.h"
#include "apps/common/epc_profile.h"
#include "engine/crypto/gcm.h"

namespace carrel::cli {

struct UnmodifiedRequest {
  std::string model, output, trace;  // output, trace: files to write, or empty
  InputOptions input;
  std::vector<std::string> labels;
  uint64_t memory_bytes = 0;  // 0: plain memory
  EpcProfile profile;         // where memory_bytes is given
  uint32_t threads = 1, repeat = 1;
  bool json = false;
};

void run_unmodified(const UnmodifiedRequest& request, const SecretKey& key);

}  // namespace carrel::cli
