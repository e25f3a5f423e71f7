#pragma once
// A Runner in the simulated enclave page cache, with as much of it as does it good.
#include <memory>

#include "apps/common/epc_profile.h"
#include "apps/common/runner.h"

namespace carrel {

// options.memory_bytes: the simulated memory. The engine is planned for the part of it that pays (worthwhile_bytes), or
// for all where it cannot do with less. options.platform is kEpcsim from here on.
Result<std::unique_ptr<Runner>> open_in_epc(RunnerOptions options, const EpcProfile& profile, const SecretKey& key);

}  // namespace carrel
