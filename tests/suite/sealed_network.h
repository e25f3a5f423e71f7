#pragma once
// A network's whole way from an ONNX file into a sealed model, and checked runs of it.
#include <optional>
#include <string>
#include <vector>

#include "apps/common/runner.h"
#include "compiler/graph/graph.h"
#include "compiler/plan/plan.h"
#include "compiler/seal/seal.h"

namespace carrel::suite {

// Reads and optimizes the model as `carrel seal` does.
Result<Graph> import_network(const std::string& onnx_path);

// A sealed file in the cache folder, removed with the object.
class SealedNetwork {
 public:
  // `programs`: to be sealed with it; every one must fit.
  static Result<SealedNetwork> make(const Graph& graph, const WeightTypes& stored,
                                    std::vector<PlanRequest> programs);
  SealedNetwork(SealedNetwork&& other) noexcept;
  SealedNetwork& operator=(SealedNetwork&&) = delete;
  ~SealedNetwork();

  const std::string& path() const { return path_; }
  const SecretKey& key() const { return key_; }
  bool holds(const PlanRequest& request) const;

 private:
  SealedNetwork() = default;
  std::string path_;
  SecretKey key_{};
  std::vector<PlanRequest> programs_;
};

struct RunCase {
  Strategy strategy = Strategy::kAuto;
  uint64_t budget_bytes = 0;
  uint32_t threads = 1;
  PlatformKind platform = PlatformKind::kProcess;
};
std::string describe(const RunCase& run, CpuMask cpu);

// Runs cases of one network on one input. Every run is checked against what must hold for all of
// them: answers within `tolerance` of the expected ones, the same bits as every run before with the
// same algorithms, planned
// peak == measured peak <= budget, and on the process platform the kernel's own figure within 2 MiB
// of the budget.
class CaseChecker {
 public:
  CaseChecker(const SealedNetwork& network, Tensor input, Tensor expected, double tolerance,
              CpuMask cpu);

  // `repeats` inferences in one session; gtest expectations inside. The budget must suffice.
  void check(const RunCase& run, int repeats);

  int runs() const { return runs_; }
  double worst_error() const { return worst_error_; }
  const Tensor& first_output() const { return first_[1] ? *first_[1] : *first_[0]; }

 private:
  void check_inference(Runner& runner, const RunCase& run);

  const SealedNetwork& network_;
  Tensor input_, expected_;
  double tolerance_;
  CpuMask cpu_;
  std::optional<Tensor> first_[2];  // by ProgramHeader::winograd
  int runs_ = 0;
  double worst_error_ = 0;
};

}  // namespace carrel::suite
