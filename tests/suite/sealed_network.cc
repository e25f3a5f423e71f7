#include "tests/suite/sealed_network.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "base/bytes.h"
#include "compiler/eval/eval.h"
#include "compiler/onnx/onnx.h"
#include "engine/crypto/hash.h"
#include "tests/suite/oracle.h"

namespace carrel::suite {
namespace {

// What the kernel may count beyond the budget: the trusted process's own code, relocations and
// stack.
constexpr uint64_t kKernelSlackBytes = 2 * kMiB;
// Long enough for the largest network on a busy machine; a hanging engine fails the test instead of
// stopping it.
constexpr uint32_t kTimeoutMs = 120'000;

bool same(const PlanRequest& a, const PlanRequest& b) {
  return a.budget_bytes == b.budget_bytes && a.strategy == b.strategy && a.threads == b.threads &&
         a.isa == b.isa;
}

std::string new_path() {
  static std::atomic<int> count{0};
  return cache_folder() + "/tmp-" + std::to_string(getpid()) + "-" + std::to_string(count++) +
         ".carrel";
}

}  // namespace

Result<Graph> import_network(const std::string& onnx_path) {
  ImportOptions options;
  options.fold = eval_node;
  std::vector<std::string> unsupported;
  CARREL_ASSIGN(Graph graph, import_onnx_file(onnx_path, options, &unsupported));
  return optimize(std::move(graph), eval_node);
}

Result<SealedNetwork> SealedNetwork::make(const Graph& graph, const WeightTypes& stored,
                                          std::vector<PlanRequest> programs) {
  SealedNetwork network;
  CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(network.key_.bytes))));
  network.path_ = new_path();
  network.programs_ = std::move(programs);
  SealOptions options;
  options.stored = stored;
  options.programs = network.programs_;
  std::vector<std::string> notes;
  CARREL_RETURN_IF_ERROR(seal_model(graph, network.key_, options, network.path_, nullptr, &notes));
  if (!notes.empty())
    return Error(ErrorCode::kBudgetTooSmall, "a program was left out: %s", notes[0].c_str());
  return network;
}

SealedNetwork::SealedNetwork(SealedNetwork&& other) noexcept
    : path_(std::move(other.path_)), key_(other.key_), programs_(std::move(other.programs_)) {
  other.path_.clear();
}

SealedNetwork::~SealedNetwork() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

bool SealedNetwork::holds(const PlanRequest& request) const {
  return std::any_of(programs_.begin(), programs_.end(),
                     [&](const PlanRequest& p) { return same(p, request); });
}

std::string describe(const RunCase& run, CpuMask cpu) {
  char budget[32];
  return std::string(strategy_name(run.strategy)) + ", " + format_bytes(run.budget_bytes, budget) +
         ", " + std::to_string(run.threads) + " thread(s), " +
         (run.platform == PlatformKind::kProcess ? "process" : "inproc") + ", " +
         isa_name(isa_level(cpu));
}

CaseChecker::CaseChecker(const SealedNetwork& network, Tensor input, Tensor expected,
                         double tolerance, CpuMask cpu)
    : network_(network),
      input_(std::move(input)),
      expected_(std::move(expected)),
      tolerance_(tolerance),
      cpu_(cpu) {}

void CaseChecker::check(const RunCase& run, int repeats) {
  SCOPED_TRACE(describe(run, cpu_));
  RunnerOptions options;
  options.model_path = network_.path();
  options.memory_bytes = run.budget_bytes;
  options.strategy = run.strategy;
  options.threads = run.threads;
  options.platform = run.platform;
  options.cpu = cpu_;
  options.timeout_ms = kTimeoutMs;
  const auto runner = Runner::open(options, network_.key());
  ASSERT_TRUE(runner.ok()) << runner.error().message();
  const PlanRequest request{run.budget_bytes, run.strategy, run.threads, isa_level(cpu_)};
  EXPECT_EQ((*runner)->planned_now(), !network_.holds(request));
  EXPECT_LE((*runner)->program().planned_peak_bytes, run.budget_bytes);
  for (int i = 0; i < repeats && !testing::Test::HasFatalFailure(); ++i)
    check_inference(**runner, run);
}

void CaseChecker::check_inference(Runner& runner, const RunCase& run) {
  RunStats stats;
  const auto outputs = runner.run({input_}, &stats);
  ASSERT_TRUE(outputs.ok()) << outputs.error().message();
  const Tensor& output = (*outputs)[0];
  const double error = relative_error(output, expected_);
  EXPECT_LE(error, tolerance_);
  EXPECT_EQ(stats.peak_trusted_bytes, runner.program().planned_peak_bytes);
  if (run.platform == PlatformKind::kProcess) {
    EXPECT_GT(runner.kernel_private_bytes(), 0u);
    EXPECT_LE(runner.kernel_private_bytes(), run.budget_bytes + kKernelSlackBytes);
  }
  std::optional<Tensor>& first = first_[runner.program().winograd];
  if (!first) first = output;
  EXPECT_TRUE(output.data == first->data) << "other bits than the first run's";
  worst_error_ = std::max(worst_error_, error);
  ++runs_;
}

}  // namespace carrel::suite
