#include "compiler/quantize/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/graph/test_graph.h"
#include "compiler/quantize/weights.h"
#include "compiler/zoo/zoo.h"

namespace carrel {
namespace {

std::vector<float> normal(size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> values(count);
  for (float& v : values) v = distribution(engine);
  return values;
}

TEST(Histogram, DoesNotDependOnOrderOrPartition) {
  const std::vector<float> a = normal(5000, 1);
  std::vector<float> b = normal(5000, 2);
  for (float& v : b) v *= 1000;
  Histogram ab, ba, merged, other;
  ASSERT_TRUE(ab.add(a) && ab.add(b) && ba.add(b) && ba.add(a));
  ASSERT_TRUE(merged.add(a) && other.add(b));
  merged.merge(other);
  for (RangeMethod method : {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kMse}) {
    EXPECT_EQ(ab.range(method).high, ba.range(method).high);
    EXPECT_EQ(ab.range(method).low, ba.range(method).low);
    EXPECT_EQ(ab.range(method).high, merged.range(method).high);
    EXPECT_EQ(ab.range(method).low, merged.range(method).low);
  }
}

TEST(Histogram, OutliersAreCutWhereThatPays) {
  std::vector<float> values = normal(100000, 3);
  values.push_back(50);
  Histogram histogram;
  ASSERT_TRUE(histogram.add(values));
  EXPECT_EQ(histogram.range(RangeMethod::kMinMax).high, 50);
  EXPECT_LT(histogram.range(RangeMethod::kPercentile).high, 5);
  EXPECT_GT(histogram.range(RangeMethod::kPercentile).high, 3);
  EXPECT_LT(histogram.range(RangeMethod::kMse).high, 45);
  EXPECT_FALSE(histogram.add(std::vector<float>{std::nanf("")}));
}

TEST(Levels, HoldZeroExactly) {
  const Quantization q = levels_for({-1.3f, 2.9f});
  EXPECT_NEAR(q.scale, 4.2f / 255, 1e-6f);
  EXPECT_EQ(level_of(0, q), q.zero);
  EXPECT_EQ(levels_for({0, 5}).zero, 0);
  EXPECT_EQ(levels_for({-5, 0}).zero, 255);
  EXPECT_EQ(levels_for({0, 0}).scale, 1);
}

TEST(IntegerWeights, AreSymmetricPerChannelAndHoldTheBias) {
  const Tensor weight = Tensor::from_f32({2, 3}, std::vector<float>{1, -2, 0.5f, 0, 0, 0});
  const Tensor bias = Tensor::from_f32({2}, std::vector<float>{0.1f, -3});
  const IntegerWeights integers = integer_weights(weight, 0, &bias, 0.02f);
  EXPECT_EQ(integers.weight.to_i64(), (std::vector<int64_t>{64, -127, 32, 0, 0, 0}));
  for (size_t m = 0; m < 2; ++m) {
    const double real = static_cast<double>(integers.bias.to_i64()[m]) * 0.02 *
                        static_cast<double>(integers.scale[m]);
    EXPECT_NEAR(real, static_cast<double>(bias.f32()[m]), 2e-4);
  }
  const IntegerWeights columns = integer_weights(weight, 1, nullptr, 1);
  EXPECT_EQ(columns.scale.size(), 3u);
  EXPECT_EQ(columns.weight.to_i64(), (std::vector<int64_t>{127, -127, 127, 0, 0, 0}));
}

QuantizeOptions options_of(int threads) {
  QuantizeOptions options;
  options.threads = threads;
  return options;
}

double relative_error(const Tensor& got, const Tensor& want) {
  double error = 0, size = 0;
  for (size_t i = 0; i < want.f32().size(); ++i) {
    const double d = static_cast<double>(got.f32()[i]) - static_cast<double>(want.f32()[i]);
    error += d * d;
    size += static_cast<double>(want.f32()[i]) * static_cast<double>(want.f32()[i]);
  }
  return std::sqrt(error / size);
}

int count(const Graph& graph, OpType op) {
  int n = 0;
  for (const Node& node : graph.nodes) n += !node.dead && node.op == op;
  return n;
}

// Quantized on four random images; the quantized graph's result for a fifth.
void expect_close(const std::string& name, int64_t resolution, double tolerance) {
  const auto model = make_zoo_model({.name = name, .resolution = resolution});
  ASSERT_TRUE(model.ok()) << model.error().message();
  const auto graph = optimize(*model, eval_node);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const auto pixels = static_cast<size_t>(3 * resolution * resolution);
  const Tensor images = Tensor::from_f32({4, 3, resolution, resolution}, normal(4 * pixels, 5));
  QuantizeReport report;
  const auto quantized = quantize_graph(*graph, {images}, options_of(2), &report);
  ASSERT_TRUE(quantized.ok()) << quantized.error().message();
  EXPECT_EQ(report.images, 4);
  const auto fused = optimize(*quantized, eval_node);
  ASSERT_TRUE(fused.ok()) << fused.error().message();
  EXPECT_EQ(count(*fused, OpType::kConv) + count(*fused, OpType::kGemm), 0);
  EXPECT_EQ(count(*fused, OpType::kDequantizeConst), 0);
  const Tensor image = Tensor::from_f32({1, 3, resolution, resolution}, normal(pixels, 6));
  const auto want = eval_graph(*graph, {image}), got = eval_graph(*fused, {image});
  ASSERT_TRUE(want.ok() && got.ok());
  EXPECT_LE(relative_error((*got)[0], (*want)[0]), tolerance) << name;
}

TEST(Quantize, NetworksStayClose) {
  expect_close("mobilenetv2", 32, 0.3);
  expect_close("squeezenet1_1", 64, 0.15);
  expect_close("resnet18", 32, 0.15);
}

TEST(Quantize, EverythingIsOnLevelsButSoftmax) {
  GraphMaker m;
  const ValueId x = m.input("x", Shape{1, 4, 8, 8});
  const ValueId a = m.node(OpType::kConv, {x, m.weight("w", Shape{4, 4, 3, 3})},
                           {{"pads", {1, 1, 1, 1}}}, {UnaryFn::kClip, 0, 6});
  const ValueId scaled =
      m.node(OpType::kAffine, {x, m.weight("s", Shape{4}), m.weight("b", Shape{4}, 3)});
  const ValueId sum = m.node(OpType::kAdd, {a, scaled}, {}, {UnaryFn::kRelu, 0, 0});
  const ValueId pooled =
      m.node(OpType::kMaxPool, {sum}, {{"kernel_shape", {2, 2}}, {"strides", {2, 2}}});
  const ValueId both = m.node(OpType::kConcat, {pooled, pooled}, {{"axis", {1}}});
  const ValueId mean = m.node(OpType::kGlobalAveragePool, {both});
  const ValueId flat = m.node(OpType::kReshape, {mean}, {{"shape", {1, 8}}});
  const ValueId logits = m.node(OpType::kGemm, {flat, m.weight("g", Shape{8, 5})});
  const ValueId y = m.node(OpType::kSoftmax, {logits}, {{"axis", {1}}});
  const Graph graph = m.finish({y});
  ASSERT_EQ(m.error, "");
  QuantizeReport report;
  const auto quantized =
      quantize_graph(graph, {Tensor::from_f32({3, 4, 8, 8}, normal(768, 7))}, {}, &report);
  ASSERT_TRUE(quantized.ok()) << quantized.error().message();
  EXPECT_EQ(report.kept_float.size(), 1u);
  EXPECT_EQ(report.quantized, 8);
  for (const Node& node : quantized->nodes) {
    if (node.op == OpType::kConv || node.op == OpType::kAdd) {
      EXPECT_EQ(node.activation.fn, UnaryFn::kNone) << node.name;
    }
  }
  const auto fused = optimize(*quantized, eval_node);
  ASSERT_TRUE(fused.ok()) << fused.error().message();
  EXPECT_EQ(count(*fused, OpType::kDequantize), 1);
  EXPECT_EQ(count(*fused, OpType::kQuantize), 1);
  EXPECT_EQ(fused->value(fused->outputs[0]).name, graph.value(graph.outputs[0]).name);
}

TEST(Quantize, ThreadsAndRepetitionChangeNothing) {
  const auto graph =
      optimize(*make_zoo_model({.name = "squeezenet1_1", .resolution = 32}), eval_node);
  ASSERT_TRUE(graph.ok());
  const Tensor images = Tensor::from_f32({5, 3, 32, 32}, normal(5 * 3072, 8));
  QuantizeReport report;
  const auto one = quantize_graph(*graph, {images}, options_of(1), &report);
  const auto three = quantize_graph(*graph, {images}, options_of(3), &report);
  ASSERT_TRUE(one.ok() && three.ok());
  ASSERT_EQ(one->nodes.size(), three->nodes.size());
  for (size_t n = 0; n < one->nodes.size(); ++n) {
    EXPECT_EQ(one->nodes[n].attributes, three->nodes[n].attributes);
  }
}

TEST(Quantize, RefusesWhatDoesNotFit) {
  GraphMaker m;
  const ValueId x = m.input("x", Shape{1, 4});
  const Graph graph = m.finish({m.node(OpType::kMatMul, {x, m.weight("w", Shape{4, 2})})});
  QuantizeReport report;
  EXPECT_FALSE(quantize_graph(graph, {}, {}, &report).ok());
  EXPECT_FALSE(quantize_graph(graph, {Tensor::zeros(DType::kF32, Shape{1, 3})}, {}, &report).ok());
  const float inf = HUGE_VALF;
  const std::vector<float> values = {1, inf, 0, 0};
  EXPECT_FALSE(quantize_graph(graph, {Tensor::from_f32({1, 4}, values)}, {}, &report).ok());
  const auto once = quantize_graph(
      graph, {Tensor::from_f32({1, 4}, std::vector<float>{1, 2, -3, 4})}, {}, &report);
  ASSERT_TRUE(once.ok()) << once.error().message();
  EXPECT_FALSE(quantize_graph(*once, {Tensor::zeros(DType::kF32, Shape{1, 4})}, {}, &report).ok());
}

}  // namespace
}  // namespace carrel
