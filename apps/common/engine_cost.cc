#include "apps/common/engine_cost.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "apps/common/clock.h"
#include "base/bytes.h"
#include "base/wipe.h"
#include "compiler/seal/seal.h"
#include "engine/crypto/hash.h"

namespace carrel {
namespace {

// Enough that one more step shows, few enough that a request does.
constexpr int kFewSteps = 2, kManySteps = 130;

// A row of 16 values through `count` steps: sums of the last two, so that no two can be joined.
Graph chain(int count) {
  Graph graph;
  graph.name = "chain";
  const auto add_map = [&](const std::string& name) {
    Value value;
    value.name = name;
    value.shape = Shape{1, 16, 1, 1};
    value.shape_known = true;
    return graph.add_value(std::move(value));
  };
  ValueId before = add_map("x"), last = before;
  graph.inputs = {last};
  for (int i = 0; i < count; ++i) {
    const std::string name = "step" + std::to_string(i);
    const ValueId sum = add_map(name);
    Node node;
    node.name = name;
    node.op = OpType::kAdd;
    node.inputs = {before, last};
    node.outputs = {sum};
    graph.add_node(std::move(node));
    before = std::exchange(last, sum);
  }
  graph.outputs = {last};
  return graph;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    std::string name = (std::filesystem::temp_directory_path(error) / "carrel-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

double median(std::vector<double>* values) {
  const auto middle = values->begin() + static_cast<std::ptrdiff_t>(values->size() / 2);
  std::nth_element(values->begin(), middle, values->end());
  return *middle;
}

// Seconds of a warm inference of `graph`.
Result<double> time_inference(const Graph& graph, const std::string& path, const SecretKey& key, PlatformKind platform,
                              uint32_t threads, uint32_t runs) {
  SealOptions seal;
  CARREL_RETURN_IF_ERROR(seal_model(graph, key, seal, path, {}, nullptr));
  RunnerOptions options;
  options.model_path = path;
  options.memory_bytes = 4 * kMiB;
  options.threads = threads;
  options.platform = platform;
  options.cpu = detect_cpu();
  CARREL_ASSIGN(const std::unique_ptr<Runner> runner, Runner::open(options, key));
  const std::vector<Tensor> input = {Tensor::zeros(DType::kF32, Shape{1, 16, 1, 1})};
  std::vector<double> seconds;
  RunStats stats;
  for (uint32_t i = 0; i <= runs; ++i) {
    const double before = now_ms();
    CARREL_RETURN_IF_ERROR(runner->run(input, &stats));
    if (i > 0) seconds.push_back(1e-3 * (now_ms() - before));
  }
  return median(&seconds);
}

}  // namespace

Result<EngineCost> measure_engine_cost(PlatformKind platform, uint32_t threads, uint32_t runs) {
  const TemporaryFolder folder;
  if (folder.path().empty()) return Error(ErrorCode::kIo, "no folder for temporary files; set TMPDIR to one");
  SecretKey key{};
  CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(key.bytes))));
  const auto time = [&](int steps) {
    const std::string path = folder.path() / (std::to_string(steps) + ".carrel");
    return time_inference(chain(steps), path, key, platform, threads, runs);
  };
  const Result<double> few = time(kFewSteps), many = time(kManySteps);
  wipe(&key, sizeof(key));
  if (!few.ok()) return few.error();
  if (!many.ok()) return many.error();
  EngineCost cost;
  cost.step_seconds = std::max(0.0, (*many - *few) / (kManySteps - kFewSteps));
  cost.request_seconds = std::max(0.0, *few - kFewSteps * cost.step_seconds);
  return cost;
}

}  // namespace carrel
