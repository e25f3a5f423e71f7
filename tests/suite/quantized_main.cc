// Zoo networks on 8 bits, sealed and run in a budget, against ONNX Runtime on the same QDQ file.
//
//   Spanning/*  a few networks, each strategy, platform and thread count at least once
//   Matrix/*    every network, every budget x strategy that fits x threads x platform
//   Masks/*     every instruction set gives the same bits
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <random>

#include "base/bytes.h"
#include "compiler/eval/eval.h"
#include "compiler/onnx/onnx.h"
#include "compiler/quantize/quantize.h"
#include "compiler/zoo/zoo.h"
#include "tests/suite/oracle.h"
#include "tests/suite/sealed_network.h"

namespace carrel::suite {
namespace {

constexpr uint64_t kMostBytes = 128 * kMiB;
constexpr int64_t kCalibrationImages = 4;
constexpr int kRepeats = 2;  // cold, then with whatever weights stay resident
// Levels of the output. Sums are integers in both engines, but an addition or a mean may fall on the
// other side of a rounding boundary, presumably because ONNX Runtime multiplies by the scales in another
// order: one level there, which later layers weigh like any other input. Measured on mobilenetv2, resnet18
// and squeezenet1_1: at most 2.
constexpr double kMostLevels = 3;

Tensor normal_images(int64_t count, int64_t resolution, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Tensor images = Tensor::zeros(DType::kF32, {count, 3, resolution, resolution});
  for (float& x : images.f32()) x = normal(random);
  return images;
}

// The imported QDQ file, an input, and what ONNX Runtime answers.
struct Question {
  Graph graph;
  Tensor input, expected;
  double level = 0;  // of the output
};

// What the level of the graph's only output is worth; 0 if it is not made of levels.
double output_level(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    if (node.outputs[0] == graph.outputs[0] && node.op == OpType::kDequantize)
      return node.attributes.float_or("scale", 0);
  }
  return 0;
}

Result<Graph> quantized_zoo(const ZooOptions& options) {
  CARREL_ASSIGN(Graph graph, make_zoo_model(options));
  CARREL_ASSIGN(graph, optimize(std::move(graph), eval_node));
  const Tensor calibration = normal_images(kCalibrationImages, options.resolution, 11);
  QuantizeReport report;
  return quantize_graph(graph, {calibration}, {}, &report);
}

Result<Question> ask(const ZooOptions& options) {
  CARREL_ASSIGN(const Graph quantized, quantized_zoo(options));
  Question question;
  question.input = normal_images(1, options.resolution, 7);
  const std::string path =
      cache_folder() + "/tmp-" + std::to_string(getpid()) + "-" + options.name + ".int8.onnx";
  CARREL_RETURN_IF_ERROR(export_onnx_file(quantized, path));
  Result<Tensor> expected = oracle_output(path, question.input, 1);
  Result<Graph> imported = import_network(path);
  std::filesystem::remove(path);
  CARREL_ASSIGN(question.expected, std::move(expected));
  CARREL_ASSIGN(question.graph, std::move(imported));
  question.level = output_level(question.graph);
  return question;
}

double largest(const Tensor& t) {
  double most = 0;
  for (float x : t.f32()) most = std::max<double>(most, std::fabs(x));
  return most;
}

// Every wanted case that fits; budgets below the strategy's least are raised to it.
std::vector<RunCase> fitting(const Graph& graph, std::vector<RunCase> wanted) {
  const auto streams = plan_streams(graph, StoredType::kF32);
  EXPECT_TRUE(streams.ok()) << streams.error().message();
  std::vector<RunCase> cases;
  for (RunCase run : wanted) {
    const auto least = least_budget(graph, *streams, {0, run.strategy, run.threads, isa_level(detect_cpu())});
    EXPECT_TRUE(least.ok()) << least.error().message();
    if (!least.ok() || *least > kMostBytes) continue;
    run.budget_bytes = std::max(run.budget_bytes, *least);
    cases.push_back(run);
  }
  return cases;
}

void run_cases(const char* name, const Question& question, const std::vector<RunCase>& cases) {
  ASSERT_GT(question.level, 0) << "the answer is not on levels";
  const auto model = SealedNetwork::make(question.graph, StoredType::kF32, {});
  ASSERT_TRUE(model.ok()) << model.error().message();
  const double level = question.level / largest(question.expected);
  CaseChecker checker(*model, question.input, question.expected, (kMostLevels + 0.01) * level, detect_cpu());
  for (const RunCase& run : cases) {
    checker.check(run, kRepeats);
    if (testing::Test::HasFatalFailure()) return;
  }
  std::printf("%s: %zu combinations, %d inferences, at most %.0f levels from ONNX Runtime\n", name, cases.size(),
              checker.runs(), checker.worst_error() / level);
}

using Spanning = testing::TestWithParam<const char*>;

TEST_P(Spanning, EqualsOnnxRuntime) {
  using enum Strategy;
  using enum PlatformKind;
  const auto question = ask({.name = GetParam()});
  ASSERT_TRUE(question.ok()) << question.error().message();
  run_cases(GetParam(), *question,
            fitting(question->graph, {{kAuto, 0, 1, kProcess},
                                      {kAuto, 2 * kMiB, 2, kProcess},
                                      {kAuto, 16 * kMiB, 1, kInproc},
                                      {kYplane, 2 * kMiB, 2, kInproc},
                                      {kChannel, 8 * kMiB, 1, kProcess},
                                      {kWhole, 64 * kMiB, 2, kInproc}}));
}

INSTANTIATE_TEST_SUITE_P(Zoo, Spanning, testing::Values("mobilenetv2", "resnet18", "squeezenet1_1"),
                         [](const auto& network) { return std::string(network.param); });

using Matrix = testing::TestWithParam<const char*>;

TEST_P(Matrix, EqualsOnnxRuntime) {
  const auto question = ask({.name = GetParam()});
  ASSERT_TRUE(question.ok()) << question.error().message();
  std::vector<RunCase> wanted;
  for (Strategy strategy :
       {Strategy::kAuto, Strategy::kYplane, Strategy::kChannel, Strategy::kWhole}) {
    for (uint32_t threads : {1u, 2u}) {
      for (uint64_t budget : {uint64_t{0}, 2 * kMiB, 4 * kMiB, 16 * kMiB, 64 * kMiB}) {
        wanted.push_back({strategy, budget, threads, PlatformKind::kProcess});
        wanted.push_back({strategy, budget, threads, PlatformKind::kInproc});
      }
    }
  }
  run_cases(GetParam(), *question, fitting(question->graph, wanted));
}

INSTANTIATE_TEST_SUITE_P(Zoo, Matrix, testing::ValuesIn(zoo_names().begin(), zoo_names().end()),
                         [](const auto& network) { return std::string(network.param); });

TEST(Masks, EveryInstructionSetGivesTheSameBits) {
  const auto question = ask({.name = "mobilenetv1", .width = 0.25, .resolution = 128});
  ASSERT_TRUE(question.ok()) << question.error().message();
  const auto model = SealedNetwork::make(question->graph, StoredType::kF32, {});
  ASSERT_TRUE(model.ok()) << model.error().message();
  const double tolerance = (kMostLevels + 0.01) * question->level / largest(question->expected);
  const CpuMask avx2 = kCpuAvx | kCpuAvx2 | kCpuAesNi;
  std::optional<Tensor> first;
  for (CpuMask cpu : {CpuMask{kCpuGeneric}, avx2, avx2 | kCpuAvxVnni, avx2 | kCpuAvx512, detect_cpu()}) {
    if ((cpu & detect_cpu()) != cpu) continue;
    CaseChecker checker(*model, question->input, question->expected, tolerance, cpu);
    checker.check({Strategy::kAuto, kMiB, 1, PlatformKind::kProcess}, kRepeats);
    checker.check({Strategy::kYplane, 4 * kMiB, 2, PlatformKind::kInproc}, 1);
    ASSERT_FALSE(HasFailure());
    if (!first) first = checker.first_output();
    EXPECT_TRUE(checker.first_output().data == first->data) << "mask " << cpu;
  }
}

}  // namespace
}  // namespace carrel::suite
