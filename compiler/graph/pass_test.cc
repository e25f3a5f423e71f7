// Passes change how a graph computes, never what.
#include <gtest/gtest.h>

#include "compiler/graph/patch.h"
#include "compiler/graph/test_graph.h"

namespace carrel {
namespace {

// Optimises and compares outputs on one input; returns the optimised graph.
Graph optimize_and_compare(GraphMaker* maker, std::vector<ValueId> outputs) {
  const Graph graph = maker->finish(std::move(outputs));
  EXPECT_EQ(maker->error, "");
  Result<Graph> optimized = optimize(graph, eval_node);
  EXPECT_TRUE(optimized.ok()) << optimized.error().message();
  if (!optimized.ok()) return graph;
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs) inputs.push_back(GraphMaker::ramp(graph.value(id).shape, 3));
  const auto before = eval_graph(graph, inputs);
  const auto after = eval_graph(*optimized, inputs);
  EXPECT_TRUE(before.ok() && after.ok());
  if (!before.ok() || !after.ok()) return graph;
  for (size_t o = 0; o < before->size(); ++o) {
    for (size_t i = 0; i < (*before)[o].f32().size(); ++i) {
      EXPECT_NEAR((*before)[o].f32()[i], (*after)[o].f32()[i], 1e-4f) << o << ", " << i;
    }
    EXPECT_EQ(graph.value(graph.outputs[o]).name, optimized->value(optimized->outputs[o]).name);
  }
  return *optimized;
}

struct ConvCase {
  OpType op;
  Shape weight;
  int64_t group;
};

TEST(Passes, BatchNormFoldsIntoConvolutions) {
  for (const ConvCase& c : {ConvCase{OpType::kConv, Shape{6, 2, 3, 3}, 2},
                            ConvCase{OpType::kConvTranspose, Shape{4, 3, 3, 3}, 2},
                            ConvCase{OpType::kConvTranspose, Shape{4, 6, 2, 2}, 1}}) {
    for (bool bias : {false, true}) {
      GraphMaker maker;
      std::vector<ValueId> inputs = {maker.input("x", Shape{1, 4, 5, 5}),
                                     maker.weight("w", c.weight)};
      if (bias) inputs.push_back(maker.weight("b", Shape{6}, 4));
      const ValueId conv = maker.node(c.op, inputs, {{"group", {c.group}}});
      const ValueId norm = maker.node(OpType::kAffine, {conv, maker.weight("scale", Shape{6}, 2),
                                                        maker.weight("shift", Shape{6}, 9)});
      const Graph graph = optimize_and_compare(&maker, {maker.unary(UnaryFn::kRelu, norm)});
      ASSERT_EQ(graph.nodes.size(), 1u);
      EXPECT_EQ(graph.nodes[0].op, c.op);
      EXPECT_EQ(graph.nodes[0].activation.fn, UnaryFn::kRelu);
      EXPECT_EQ(graph.nodes[0].name, std::string(op_name(c.op)) + "0");
    }
  }
}

TEST(Passes, BatchNormFoldsIntoGemm) {
  for (int64_t transposed : {0, 1}) {
    GraphMaker maker;
    const ValueId gemm = maker.node(
        OpType::kGemm,
        {maker.input("x", Shape{2, 4}), maker.weight("w", transposed ? Shape{3, 4} : Shape{4, 3}),
         maker.weight("c", Shape{1, 3}, 5)},
        {{"transB", {transposed}}});
    maker.graph.nodes[0].attributes.floats = {{"alpha", {0.5f}}, {"beta", {2}}};
    const ValueId norm = maker.node(OpType::kAffine, {gemm, maker.weight("scale", Shape{3}, 2),
                                                      maker.weight("shift", Shape{3}, 9)});
    EXPECT_EQ(optimize_and_compare(&maker, {norm}).nodes.size(), 1u);
  }
}

TEST(Passes, BatchNormWithConstantStatisticsFolds) {
  for (bool with_data : {true, false}) {
    GraphMaker maker;
    const ValueId x = maker.input("x", Shape{1, 4, 5, 5});
    const ValueId weight = maker.weight("w", Shape{6, 4, 3, 3});
    const ValueId conv = maker.node(OpType::kConv, {x, weight});
    const ValueId variance = maker.graph.add_const(
        "var", Tensor::from_f32(Shape{6}, std::vector<float>{1, 2, 0.5f, 3, 1, 4}));
    const ValueId norm =
        maker.node(OpType::kBatchNorm,
                   {conv, maker.weight("scale", Shape{6}, 2), maker.weight("b", Shape{6}, 3),
                    maker.weight("mean", Shape{6}, 9), variance});
    if (with_data) {
      EXPECT_EQ(optimize_and_compare(&maker, {norm}).nodes.size(), 1u);
      continue;
    }
    // Planning works on shapes alone and must come to the same graph.
    Tensor shape_only = *maker.graph.value(weight).constant;
    shape_only.data.clear();
    maker.graph.value(weight).constant = std::make_shared<Tensor>(std::move(shape_only));
    const auto optimized = optimize(maker.finish({norm}), eval_node);
    ASSERT_TRUE(optimized.ok()) << optimized.error().message();
    EXPECT_EQ(optimized->nodes.size(), 1u);
  }
}

TEST(Passes, SharedResultsAreNotFolded) {
  GraphMaker maker;
  const ValueId conv = maker.node(
      OpType::kConv, {maker.input("x", Shape{1, 2, 5, 5}), maker.weight("w", Shape{2, 2, 3, 3})});
  const ValueId norm = maker.node(
      OpType::kAffine, {conv, maker.weight("scale", Shape{2}), maker.weight("shift", Shape{2})});
  const ValueId relu = maker.unary(UnaryFn::kRelu, conv);
  EXPECT_EQ(optimize_and_compare(&maker, {norm, relu}).nodes.size(), 3u);
}

TEST(Passes, GraphOutputsAreNotFused) {
  GraphMaker maker;
  const ValueId sum =
      maker.node(OpType::kAdd, {maker.input("x", Shape{1, 4}), maker.weight("w", Shape{4})});
  const ValueId relu = maker.unary(UnaryFn::kRelu, sum);
  EXPECT_EQ(optimize_and_compare(&maker, {sum, relu}).nodes.size(), 2u);
}

TEST(Passes, GateBecomesSwishThenFuses) {
  GraphMaker maker;
  const ValueId conv = maker.node(
      OpType::kConv, {maker.input("x", Shape{1, 2, 5, 5}), maker.weight("w", Shape{2, 2, 3, 3})});
  const ValueId gate = maker.unary(UnaryFn::kSigmoid, conv);
  const Graph graph = optimize_and_compare(&maker, {maker.node(OpType::kMul, {gate, conv})});
  ASSERT_EQ(graph.nodes.size(), 1u);
  EXPECT_EQ(graph.nodes[0].activation.fn, UnaryFn::kSwish);
}

TEST(Passes, SquareIsNoGate) {
  GraphMaker maker;
  const ValueId gate = maker.unary(UnaryFn::kSigmoid, maker.input("x", Shape{1, 4}));
  EXPECT_EQ(optimize_and_compare(&maker, {maker.node(OpType::kMul, {gate, gate})}).nodes.size(),
            2u);
}

TEST(Passes, MatMulAndAddBecomeGemm) {
  GraphMaker maker;
  const ValueId product =
      maker.node(OpType::kMatMul, {maker.input("x", Shape{2, 4}), maker.weight("w", Shape{4, 3})});
  const ValueId sum = maker.node(OpType::kAdd, {maker.weight("b", Shape{3}, 6), product});
  const Graph graph = optimize_and_compare(&maker, {maker.unary(UnaryFn::kTanh, sum)});
  ASSERT_EQ(graph.nodes.size(), 1u);
  EXPECT_EQ(graph.nodes[0].op, OpType::kGemm);
  EXPECT_EQ(graph.nodes[0].activation.fn, UnaryFn::kTanh);
}

TEST(Passes, AddedRowsAreNotABias) {
  // One value per row, and as many rows as columns.
  GraphMaker maker;
  const ValueId product =
      maker.node(OpType::kMatMul, {maker.input("x", Shape{3, 4}), maker.weight("w", Shape{4, 3})});
  const ValueId sum = maker.node(OpType::kAdd, {product, maker.weight("b", Shape{3, 1}, 6)});
  EXPECT_EQ(optimize_and_compare(&maker, {sum}).nodes.size(), 2u);
}

TEST(Passes, ConstantsFold) {
  GraphMaker maker;
  const ValueId x = maker.input("x", Shape{1, 4});
  ValueId chain = maker.weight("w", Shape{4});
  for (int i = 0; i < 5; ++i)
    chain = maker.node(OpType::kAdd, {chain, maker.weight("v", Shape{4}, i)});
  EXPECT_EQ(optimize_and_compare(&maker, {maker.node(OpType::kMul, {x, chain})}).nodes.size(), 1u);
}

TEST(Passes, WhatChangesNothingGoes) {
  GraphMaker maker;
  const ValueId x = maker.input("x", Shape{1, 4});
  ValueId y = maker.unary(UnaryFn::kRelu, x);
  y = maker.node(OpType::kIdentity, {y});
  y = maker.node(OpType::kReshape, {y}, {{"shape", {1, 4}}});
  y = maker.node(OpType::kTranspose, {y}, {{"perm", {0, 1}}});
  y = maker.node(OpType::kConcat, {y}, {{"axis", {1}}});
  y = maker.node(OpType::kSlice, {y},
                 {{"starts", {0}}, {"ends", {4}}, {"axes", {1}}, {"steps", {1}}});
  maker.node(OpType::kAdd, {x, maker.weight("unused", Shape{4})});
  EXPECT_EQ(optimize_and_compare(&maker, {y}).nodes.size(), 1u);
}

TEST(Passes, OutputsThatAreInputsOrSharedKeepAnIdentity) {
  GraphMaker maker;
  const ValueId x = maker.input("x", Shape{1, 4});
  const ValueId relu = maker.unary(UnaryFn::kRelu, x);
  const ValueId a = maker.node(OpType::kIdentity, {relu});
  const ValueId b = maker.node(OpType::kIdentity, {relu});
  const ValueId c = maker.node(OpType::kIdentity, {x});
  const ValueId d = maker.node(OpType::kIdentity, {maker.weight("w", Shape{4})});
  EXPECT_EQ(optimize_and_compare(&maker, {a, b, c, d}).nodes.size(), 4u);
}

TEST(Passes, LongGraphsAreFast) {
  GraphMaker maker;
  ValueId x = maker.input("x", Shape{1, 2, 4, 4});
  for (int i = 0; i < 1000; ++i) {
    x = maker.node(OpType::kConv, {x, maker.weight("w", Shape{2, 2, 1, 1}, i % 3)});
    x = maker.node(OpType::kAffine,
                   {x, maker.weight("s", Shape{2}), maker.weight("t", Shape{2}, 2)});
    x = maker.unary(UnaryFn::kRelu, x);
  }
  const Graph graph = maker.finish({x});
  int patches = 0;
  const auto optimized = optimize(graph, [&](const Graph& g, const Node& n) {
    ++patches;
    return eval_node(g, n);
  });
  ASSERT_TRUE(optimized.ok());
  EXPECT_EQ(optimized->nodes.size(), 1000u);
  EXPECT_EQ(patches, 0);
}

}  // namespace
}  // namespace carrel
