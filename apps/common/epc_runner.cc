#include "apps/common/epc_runner.h"

#include "apps/common/epc_cost.h"

namespace carrel {

Result<std::unique_ptr<Runner>> open_in_epc(RunnerOptions options, const EpcProfile& profile, const SecretKey& key) {
  options.platform = PlatformKind::kEpcsim;
  const uint64_t all = options.memory_bytes;
  options.memory_bytes = worthwhile_bytes(profile, all, options.machine.fetch_bytes_per_second);
  Result<std::unique_ptr<Runner>> runner = Runner::open(options, key);
  const bool too_little = !runner.ok() && runner.error().code() == ErrorCode::kBudgetTooSmall;
  if (!too_little || options.memory_bytes == all) return runner;
  options.memory_bytes = all;
  return Runner::open(options, key);
}

}  // namespace carrel
