#pragma once
// The unmodified engine (baseline/) in the simulated enclave page cache, or in plain memory.
#include <memory>
#include <string>
#include <vector>

#include "apps/common/epc_cost.h"
#include "apps/common/epc_summary.h"
#include "baseline/unmodified.h"

namespace carrel {

struct UnmodifiedOptions {
  std::string model_path;
  uint64_t memory_bytes = 0;  // resident at most, as for carrel; 0: plain memory, nothing simulated
  uint32_t threads = 1;
  CpuMask cpu = 0;
  uint64_t trace_events = 0;
};

class UnmodifiedRunner {
 public:
  // Decrypts all weights into the region. Errors: those of UnmodifiedEngine and Epc::open.
  static Result<std::unique_ptr<UnmodifiedRunner>> open(const UnmodifiedOptions& options, const SecretKey& key);
  ~UnmodifiedRunner();
  UnmodifiedRunner(const UnmodifiedRunner&) = delete;

  const UnmodifiedEngine& engine() const { return *engine_; }
  double start_ms() const { return start_ms_; }
  EpcTrace* trace() { return trace_.get(); }  // null: none
  EpcNames page_names() const;                // valid while this lives

  // One inference, and what it cost.
  Result<std::vector<Tensor>> run(const std::vector<Tensor>& inputs, EpcMeasured* measured);

 private:
  UnmodifiedRunner() = default;
  Status map_region(const UnmodifiedOptions& options);

  std::unique_ptr<UnmodifiedEngine> engine_;
  std::unique_ptr<EpcTrace> trace_;
  std::unique_ptr<Epc> epc_;
  std::span<std::byte> region_, own_;  // own_: where there is no simulator
  double start_ms_ = 0;
};

}  // namespace carrel
