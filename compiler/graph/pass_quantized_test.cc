// fuse_quantized: what it fuses, what it leaves, and that results stay.
#include <gtest/gtest.h>

#include <cmath>

#include "compiler/graph/patch.h"
#include "compiler/graph/test_graph.h"

namespace carrel {
namespace {

using Ints = std::map<std::string, std::vector<int64_t>>;

struct Maker : GraphMaker {
  ValueId step(OpType op, ValueId x, float scale, int64_t zero) {
    const ValueId id = node(op, {x}, {{"zero", {zero}}});
    graph.nodes.back().attributes.floats["scale"] = {scale};
    return id;
  }
  // To levels and back.
  ValueId levels(ValueId x, float scale, int64_t zero) {
    return step(OpType::kDequantize, step(OpType::kQuantize, x, scale, zero), scale, zero);
  }
  ValueId weights(DType type, const Shape& shape, int64_t axis, float scale, int64_t zero) {
    Tensor w = Tensor::zeros(type, shape);
    for (size_t i = 0; i < w.data.size(); ++i) {
      w.data[i] = static_cast<std::byte>((i * 29 + 7) % 256);
    }
    const std::vector<float> scales(static_cast<size_t>(shape[static_cast<int>(axis)]), scale);
    const ValueId s =
        graph.add_const("s", Tensor::from_f32(Shape{static_cast<int64_t>(scales.size())}, scales));
    const ValueId z = graph.add_const("z", Tensor::from_i64(Shape{}, std::span(&zero, 1)));
    return node(OpType::kDequantizeConst, {graph.add_const("w", w), s, z}, {{"axis", {axis}}});
  }
  ValueId bias(const std::vector<int32_t>& values, float unit) {
    Tensor t = Tensor::zeros(DType::kI32, Shape{static_cast<int64_t>(values.size())});
    std::memcpy(t.data.data(), values.data(), t.data.size());
    const ValueId s = graph.add_const("s", Tensor::from_f32(Shape{}, std::span(&unit, 1)));
    const ValueId z = graph.add_const("z", Tensor::zeros(DType::kI64, Shape{}));
    return node(OpType::kDequantizeConst, {graph.add_const("b", t), s, z}, {{"axis", {0}}});
  }
};

int count(const Graph& graph, OpType op) {
  int n = 0;
  for (const Node& node : graph.nodes) n += !node.dead && node.op == op;
  return n;
}

// Optimizes; the results before and after are within `step` (of the last scale).
Graph optimized(Maker* m, ValueId out, const Shape& input, float step) {
  const Graph graph = m->finish({out});
  EXPECT_EQ(m->error, "");
  const Result<Graph> fused = optimize(graph, eval_node);
  EXPECT_TRUE(fused.ok()) << fused.error().message();
  if (!fused.ok()) return graph;
  const Tensor x = GraphMaker::ramp(input);
  const auto before = eval_graph(graph, {x}), after = eval_graph(*fused, {x});
  EXPECT_TRUE(before.ok() && after.ok());
  if (!before.ok() || !after.ok()) return graph;
  int different = 0;
  for (size_t i = 0; i < (*before)[0].f32().size(); ++i) {
    const float error = std::abs((*before)[0].f32()[i] - (*after)[0].f32()[i]);
    EXPECT_LE(error, step * 1.001f) << i;
    different += error > 0;
  }
  EXPECT_LE(different, 1 + static_cast<int>((*before)[0].f32().size() / 20));
  return *fused;
}

const Shape kImage{1, 3, 6, 6};

TEST(FuseQuantized, ConvWithReluAndBias) {
  Maker m;
  const ValueId x = m.levels(m.input("x", kImage), 0.02f, 60);
  const ValueId w = m.weights(DType::kI8, Shape{4, 3, 3, 3}, 0, 0.01f, 0);
  const ValueId b = m.bias({1000, -2000, 3, 4}, 0.02f * 0.01f);
  const ValueId conv = m.node(OpType::kConv, {x, w, b}, {{"pads", {1, 1, 1, 1}}});
  const ValueId y = m.levels(m.unary(UnaryFn::kRelu, conv), 0.05f, 10);
  const Graph fused = optimized(&m, y, kImage, 0.05f);
  ASSERT_EQ(count(fused, OpType::kQConv), 1);
  EXPECT_EQ(fused.nodes.size(), 3u);  // kQuantize, kQConv, kDequantize
  const Attributes& a = fused.nodes[1].attributes;
  EXPECT_EQ(a.int_or("y_low", -1), 10);
  EXPECT_EQ(a.int_or("y_high", -1), 255);
  EXPECT_EQ(fused.value(fused.nodes[1].inputs[3]).type, DType::kI32);
}

TEST(FuseQuantized, Uint8WeightsAround128AndClip) {
  Maker m;
  const ValueId x = m.levels(m.input("x", kImage), 0.02f, 60);
  const ValueId w = m.weights(DType::kU8, Shape{6, 1, 3, 3}, 0, 0.01f, 128);
  const ValueId conv = m.node(OpType::kConv, {x, w}, {{"group", {3}}}, {UnaryFn::kClip, 0, 1});
  const Graph fused = optimized(&m, m.levels(conv, 0.05f, 3), kImage, 0.05f);
  ASSERT_EQ(count(fused, OpType::kQConv), 1);
  EXPECT_EQ(fused.nodes[1].attributes.int_or("y_high", 0), 23);
}

TEST(FuseQuantized, AsymmetricWeightsStayFloat) {
  Maker m;
  const ValueId x = m.levels(m.input("x", kImage), 0.02f, 60);
  const ValueId w = m.weights(DType::kU8, Shape{2, 3, 3, 3}, 0, 0.01f, 100);
  const Graph fused =
      optimized(&m, m.levels(m.node(OpType::kConv, {x, w}), 0.05f, 128), kImage, 0.05f);
  EXPECT_EQ(count(fused, OpType::kQConv), 0);
  EXPECT_EQ(count(fused, OpType::kConv), 1);
  EXPECT_EQ(count(fused, OpType::kDequantizeConst), 0);  // folded
}

TEST(FuseQuantized, LevelsFarBeyondInt32StayFloat) {
  for (const bool far : {false, true}) {
    Maker m;
    const ValueId x = m.levels(m.input("x", kImage), 0.02f, 60);
    const ValueId w = m.weights(DType::kI8, Shape{2, 3, 3, 3}, 0, 0.01f, 0);
    const float step = far ? 1e-8f : 1e-5f;
    const Graph fused = optimized(&m, m.levels(m.node(OpType::kConv, {x, w}), step, 128), kImage, step);
    EXPECT_EQ(count(fused, OpType::kQConv), far ? 0 : 1);
  }
}

TEST(FuseQuantized, ASecondUserKeepsTheFloats) {
  Maker m;
  const ValueId x = m.levels(m.input("x", kImage), 0.02f, 60);
  const ValueId w = m.weights(DType::kI8, Shape{3, 3, 1, 1}, 0, 0.01f, 0);
  const ValueId conv = m.node(OpType::kConv, {x, w});
  const ValueId y = m.node(OpType::kAdd, {m.levels(conv, 0.05f, 128), conv});
  EXPECT_EQ(count(optimized(&m, y, kImage, 0.05f), OpType::kQConv), 0);
}

TEST(FuseQuantized, MovedLevelsReachTheMatrixProduct) {
  Maker m;
  const ValueId x = m.levels(m.input("x", kImage), 0.02f, 60);
  const ValueId pooled = m.node(OpType::kMaxPool, {x}, {{"kernel_shape", {2, 2}}});
  const ValueId flat = m.node(OpType::kReshape, {pooled}, {{"shape", {1, 75}}});
  const ValueId w = m.weights(DType::kI8, Shape{75, 5}, 1, 0.01f, 0);
  const ValueId y = m.levels(m.node(OpType::kMatMul, {flat, w}), 0.1f, 128);
  const Graph fused = optimized(&m, y, kImage, 0.1f);
  EXPECT_EQ(count(fused, OpType::kQGemm), 1);
  EXPECT_EQ(count(fused, OpType::kDequantize), 1);  // of the result
  for (const Node& node : fused.nodes) {
    if (node.op == OpType::kMaxPool) {
      EXPECT_EQ(fused.value(node.outputs[0]).type, DType::kU8);
    }
    if (node.op == OpType::kQGemm) {
      EXPECT_EQ(fused.value(node.inputs[1]).shape, (Shape{5, 75}));
    }
  }
}

TEST(FuseQuantized, AddPoolsAndConcat) {
  Maker m;
  const ValueId a = m.levels(m.input("x", kImage), 0.02f, 60);
  const ValueId b = m.levels(m.node(OpType::kAdd, {a, a}), 0.04f, 70);
  const ValueId mean = m.levels(
      m.node(OpType::kAveragePool, {b}, {{"kernel_shape", {3, 3}}, {"pads", {1, 1, 1, 1}}}), 0.03f,
      80);
  const ValueId all = m.levels(m.node(OpType::kConcat, {a, b, mean}, {{"axis", {1}}}), 0.04f, 70);
  const ValueId y = m.levels(m.node(OpType::kGlobalAveragePool, {all}), 0.02f, 50);
  const Graph fused = optimized(&m, y, kImage, 0.02f);
  EXPECT_EQ(count(fused, OpType::kQAdd), 1);
  EXPECT_EQ(count(fused, OpType::kQAveragePool), 1);
  EXPECT_EQ(count(fused, OpType::kQConcat), 1);
  EXPECT_EQ(count(fused, OpType::kQGlobalAveragePool), 1);
  EXPECT_EQ(count(fused, OpType::kDequantize), 1);
}

TEST(FuseQuantized, LevelsToOtherLevels) {
  Maker m;
  const ValueId x = m.input("x", kImage);
  const ValueId y = m.levels(m.levels(m.levels(x, 0.02f, 60), 0.02f, 60), 0.05f, 100);
  const Graph fused = optimized(&m, y, kImage, 0.05f);
  EXPECT_EQ(count(fused, OpType::kQuantize), 1);
  EXPECT_EQ(count(fused, OpType::kQConcat), 1);
  EXPECT_EQ(fused.nodes.size(), 3u);
}

TEST(FuseQuantized, SumsThatCouldLeaveInt32StayFloat) {
  Maker m;
  const ValueId x = m.levels(m.input("x", Shape{1, 4}), 0.02f, 60);
  const ValueId w = m.weights(DType::kI8, Shape{2, 4}, 0, 0.01f, 0);
  const ValueId b = m.bias({INT32_MAX, 0}, 0.02f * 0.01f);
  const ValueId y = m.levels(m.node(OpType::kGemm, {x, w, b}, {{"transB", {1}}}), 2000.0f, 128);
  EXPECT_EQ(count(optimized(&m, y, Shape{1, 4}, 2000.0f), OpType::kQGemm), 0);
}

}  // namespace
}  // namespace carrel
