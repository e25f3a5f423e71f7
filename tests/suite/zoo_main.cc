// Every zoo network, sealed and run in a budget, against ONNX Runtime on plain memory.
//
//   Spanning/*  each strategy, platform, thread count and stored type at least once per network
//   Matrix/*    every budget x strategy that fits x threads x platform
//   Mixed/*     quantized fully-connected layers, against ONNX Runtime with the same weights
//   Masks/*     the AVX2 and generic kernels on a small network
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <sstream>

#include "base/bytes.h"
#include "compiler/onnx/onnx.h"
#include "compiler/zoo/zoo.h"
#include "tests/suite/oracle.h"
#include "tests/suite/sealed_network.h"
#include "tests/suite/stored_output.h"

namespace carrel::suite {
namespace {

constexpr uint64_t kLeast = 0;  // as a wanted budget: the least that works
constexpr uint64_t kMostAutoLeastBytes = 4 * kMiB;
constexpr uint64_t kMostBytes = 128 * kMiB;
// Of the logits' largest. fp16 storage is also held to kTolerance32 against ONNX Runtime with weights rounded alike: that
// is what carrel adds; the rest is the rounding's own.
constexpr double kTolerance32 = 1e-4, kTolerance16 = 2e-3;
constexpr int kRepeats = 2;  // cold, then with whatever weights stay resident

double tolerance_of(StoredType stored) {
  return stored == StoredType::kF32 ? kTolerance32 : kTolerance16;
}

// The imported network, an input, and what ONNX Runtime answers.
struct Question {
  Graph graph;
  Tensor input, expected;
};

Tensor normal_image(int64_t resolution, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Tensor image = Tensor::zeros(DType::kF32, {1, 3, resolution, resolution});
  for (float& x : image.f32()) x = normal(random);
  return image;
}

Result<Question> ask(const ZooOptions& options) {
  Question question;
  question.input = normal_image(options.resolution, 7);
  CARREL_ASSIGN(Graph graph, make_zoo_model(options));
  const std::string path =
      cache_folder() + "/tmp-" + std::to_string(getpid()) + "-" + options.name + ".onnx";
  CARREL_RETURN_IF_ERROR(export_onnx_file(graph, path));
  graph = Graph();
  Result<Tensor> expected = oracle_output(path, question.input, 1);
  Result<Graph> imported = import_network(path);
  std::filesystem::remove(path);
  CARREL_ASSIGN(question.expected, std::move(expected));
  CARREL_ASSIGN(question.graph, std::move(imported));
  return question;
}

// Budgets of a strategy and thread count: the least that works, and what people ask for beyond it.
class Budgets {
 public:
  Budgets(const Graph& graph, StoredType stored, CpuMask cpu)
      : graph_(graph), isa_(isa_level(cpu)) {
    const auto streams = plan_streams(graph, stored);
    EXPECT_TRUE(streams.ok()) << streams.error().message();
    if (streams.ok()) streams_ = *streams;
  }

  uint64_t least(Strategy strategy, uint32_t threads) const {
    const auto least = least_budget(graph_, streams_, {0, strategy, threads, isa_});
    EXPECT_TRUE(least.ok()) << least.error().message();
    if (least.ok() && strategy == Strategy::kAuto) {
      EXPECT_LE(*least, kMostAutoLeastBytes) << threads << " thread(s)";
    }
    return least.ok() ? *least : kMostBytes + 1;
  }
  PlanRequest request(const RunCase& run) const {
    return {run.budget_bytes, run.strategy, run.threads, isa_};
  }

 private:
  const Graph& graph_;
  IsaLevel isa_;
  StreamPlan streams_;
};

struct NetworkCase {
  const char* name;
  StoredType stored;
};

std::ostream& operator<<(std::ostream& out, const NetworkCase& network) {
  return out << network.name << (network.stored == StoredType::kF32 ? " fp32" : " fp16");
}

std::string case_name(const testing::TestParamInfo<NetworkCase>& info) {
  return std::string(info.param.name) + (info.param.stored == StoredType::kF32 ? "_fp32" : "_fp16");
}

std::vector<NetworkCase> network_cases() {
  std::vector<NetworkCase> cases;
  for (const char* name : zoo_names()) {
    cases.push_back({name, StoredType::kF32});
    cases.push_back({name, StoredType::kF16});
  }
  return cases;
}

// Seals the network with the programs of `sealed`, then checks every case.
void run_cases(const Question& question, const NetworkCase& network,
               const std::vector<RunCase>& cases, const std::vector<PlanRequest>& sealed) {
  const auto model = SealedNetwork::make(question.graph, network.stored, sealed);
  ASSERT_TRUE(model.ok()) << model.error().message();
  CaseChecker checker(*model, question.input, question.expected, tolerance_of(network.stored),
                      detect_cpu());
  for (const RunCase& run : cases) {
    checker.check(run, kRepeats);
    if (testing::Test::HasFatalFailure()) return;
  }
  if (network.stored == StoredType::kF16) {
    const auto rounded = stored_output(question.graph, network.stored, question.input, 1);
    ASSERT_TRUE(rounded.ok()) << rounded.error().message();
    EXPECT_LE(relative_error(checker.first_output(), *rounded), kTolerance32)
        << "with weights rounded alike";
  }
  std::printf("%s: %zu combinations, %d inferences, greatest relative error %.2g\n", network.name,
              cases.size(), checker.runs(), checker.worst_error());
}

using Spanning = testing::TestWithParam<NetworkCase>;

std::vector<RunCase> spanning_cases(StoredType stored) {
  using enum Strategy;
  using enum PlatformKind;
  if (stored == StoredType::kF16) {
    return {{kAuto, kLeast, 2, kProcess},
            {kAuto, 4 * kMiB, 1, kInproc},
            {kYplane, 16 * kMiB, 1, kProcess}};
  }
  return {{kAuto, kLeast, 1, kProcess},     {kAuto, 4 * kMiB, 2, kProcess},
          {kAuto, 16 * kMiB, 2, kInproc},   {kAuto, 128 * kMiB, 1, kInproc},
          {kYplane, 8 * kMiB, 2, kProcess}, {kChannel, 64 * kMiB, 1, kInproc},
          {kWhole, 128 * kMiB, 2, kProcess}};
}

TEST_P(Spanning, EqualsOnnxRuntime) {
  const auto question = ask({.name = GetParam().name});
  ASSERT_TRUE(question.ok()) << question.error().message();
  const Budgets budgets(question->graph, GetParam().stored, detect_cpu());
  std::vector<RunCase> cases;
  std::vector<PlanRequest> sealed;
  for (RunCase run : spanning_cases(GetParam().stored)) {
    const uint64_t least = budgets.least(run.strategy, run.threads);
    if (run.strategy != Strategy::kAuto && least > kMostBytes)
      continue;  // this strategy does not fit at all
    run.budget_bytes = std::max(run.budget_bytes, least);
    cases.push_back(run);
    // One program comes from the file, the others are planned by the key's holder.
    if (run.strategy == Strategy::kAuto && run.budget_bytes == 4 * kMiB)
      sealed.push_back(budgets.request(run));
  }
  run_cases(*question, GetParam(), cases, sealed);
}

INSTANTIATE_TEST_SUITE_P(Zoo, Spanning, testing::ValuesIn(network_cases()), case_name);

struct MixedCase {
  const char* name;
  StoredType maps, dense;
  double most_error;  // of the exact weights' logits, relative to their largest
};
std::ostream& operator<<(std::ostream& out, const MixedCase& mixed) {
  return out << mixed.name << ", " << stored_name(mixed.dense);
}
std::string mixed_name(const testing::TestParamInfo<MixedCase>& info) {
  return std::string(info.param.name) + "_" + stored_name(info.param.maps) + "_" +
         stored_name(info.param.dense);
}

using Mixed = testing::TestWithParam<MixedCase>;

TEST_P(Mixed, EqualsOnnxRuntimeWithTheSameWeights) {
  using enum PlatformKind;
  const auto question = ask({.name = GetParam().name});
  ASSERT_TRUE(question.ok()) << question.error().message();
  const WeightTypes types(GetParam().maps, GetParam().dense);
  const auto alike = stored_output(question->graph, types, question->input, 1);
  ASSERT_TRUE(alike.ok()) << alike.error().message();
  const auto model = SealedNetwork::make(question->graph, types, {});
  ASSERT_TRUE(model.ok()) << model.error().message();
  CaseChecker checker(*model, question->input, *alike, kTolerance32, detect_cpu());
  checker.check({Strategy::kAuto, 4 * kMiB, 1, kProcess}, kRepeats);
  checker.check({Strategy::kAuto, 16 * kMiB, 2, kProcess}, kRepeats);
  checker.check({Strategy::kAuto, 128 * kMiB, 2, kInproc}, kRepeats);
  checker.check({Strategy::kChannel, 64 * kMiB, 1, kInproc}, 1);
  ASSERT_FALSE(HasFailure());
  const double error = relative_error(checker.first_output(), question->expected);
  EXPECT_LE(error, GetParam().most_error);
  std::printf("%s: greatest relative error %.2g; of exact weights %.2g\n", GetParam().name,
              checker.worst_error(), error);
}

INSTANTIATE_TEST_SUITE_P(
    Zoo, Mixed,
    testing::Values(MixedCase{"alexnet", StoredType::kF32, StoredType::kI8, 0.03},
                    MixedCase{"alexnet", StoredType::kF16, StoredType::kI4, 0.3},
                    MixedCase{"vgg16", StoredType::kF32, StoredType::kI8, 0.03},
                    MixedCase{"vgg16", StoredType::kF32, StoredType::kI4, 0.3},
                    MixedCase{"mobilenetv2", StoredType::kF16, StoredType::kI8, 0.03}),
    mixed_name);

using Matrix = testing::TestWithParam<NetworkCase>;

std::vector<uint64_t> matrix_budgets(uint64_t least) {
  std::vector<uint64_t> budgets;
  if (least <= kMostBytes) budgets.push_back(least);
  for (uint64_t mib : {4, 8, 16, 64, 128}) {
    if (mib * kMiB > least) budgets.push_back(mib * kMiB);
  }
  return budgets;
}

TEST_P(Matrix, EqualsOnnxRuntime) {
  const auto question = ask({.name = GetParam().name});
  ASSERT_TRUE(question.ok()) << question.error().message();
  const Budgets budgets(question->graph, GetParam().stored, detect_cpu());
  std::vector<RunCase> cases;
  std::vector<PlanRequest> sealed;  // planned once for both platforms
  for (Strategy strategy :
       {Strategy::kAuto, Strategy::kYplane, Strategy::kChannel, Strategy::kWhole}) {
    for (uint32_t threads : {1u, 2u}) {
      for (uint64_t budget : matrix_budgets(budgets.least(strategy, threads))) {
        cases.push_back({strategy, budget, threads, PlatformKind::kProcess});
        cases.push_back({strategy, budget, threads, PlatformKind::kInproc});
        sealed.push_back(budgets.request(cases.back()));
      }
    }
  }
  run_cases(*question, GetParam(), cases, sealed);
}

INSTANTIATE_TEST_SUITE_P(Zoo, Matrix, testing::ValuesIn(network_cases()), case_name);

struct MaskCase {
  const char* name;
  CpuMask mask;
};
std::ostream& operator<<(std::ostream& out, const MaskCase& mask) { return out << mask.name; }

std::string mask_name(const testing::TestParamInfo<MaskCase>& info) { return info.param.name; }
using Masks = testing::TestWithParam<MaskCase>;

TEST_P(Masks, SameClassWithinTolerance) {
  const CpuMask cpu = GetParam().mask;
  if ((cpu & detect_cpu()) != cpu) GTEST_SKIP() << "this processor lacks " << GetParam().name;
  const auto question = ask({.name = "mobilenetv1", .width = 0.25, .resolution = 128});
  ASSERT_TRUE(question.ok()) << question.error().message();
  const Budgets budgets(question->graph, StoredType::kF32, cpu);
  const auto model = SealedNetwork::make(question->graph, StoredType::kF32, {});
  ASSERT_TRUE(model.ok()) << model.error().message();
  CaseChecker checker(*model, question->input, question->expected, kTolerance32, cpu);
  const uint64_t least = budgets.least(Strategy::kAuto, 1);
  checker.check({Strategy::kAuto, least, 1, PlatformKind::kProcess}, kRepeats);
  checker.check({Strategy::kAuto, 8 * kMiB, 2, PlatformKind::kInproc}, kRepeats);
  checker.check({Strategy::kYplane, 4 * kMiB, 2, PlatformKind::kProcess}, kRepeats);
  checker.check({Strategy::kChannel, 16 * kMiB, 1, PlatformKind::kInproc}, kRepeats);
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ(top_classes(checker.first_output()), top_classes(question->expected));
}

INSTANTIATE_TEST_SUITE_P(Cpu, Masks,
                         testing::Values(MaskCase{"generic", kCpuGeneric},
                                         MaskCase{"avx2", kCpuAvx | kCpuAvx2 | kCpuAesNi},
                                         MaskCase{"avx512",
                                                  kCpuAvx | kCpuAvx2 | kCpuAesNi | kCpuAvx512}),
                         mask_name);

// ctest runs each network on its own; CMakeLists.txt names them.
TEST(Networks, EveryOneHasItsTest) {
  std::istringstream listed(CARREL_SUITE_NETWORKS);
  for (const char* name : zoo_names()) {
    std::string next;
    ASSERT_TRUE(listed >> next) << name << " is missing in tests/suite/CMakeLists.txt";
    EXPECT_EQ(next, name);
  }
}

}  // namespace
}  // namespace carrel::suite
