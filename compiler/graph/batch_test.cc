#include "compiler/graph/batch.h"

#include <gtest/gtest.h>

#include "compiler/graph/test_graph.h"

namespace carrel {
namespace {

using Ints = std::map<std::string, std::vector<int64_t>>;

bool separable(OpType op, const Shape& x, const Ints& ints,
               const std::vector<Shape>& weights = {}) {
  GraphMaker maker;
  std::vector<ValueId> inputs = {maker.input("x", x)};
  for (const Shape& shape : weights) inputs.push_back(maker.weight("w", shape));
  const ValueId out = maker.node(op, inputs, ints);
  const Graph graph = maker.finish({out});
  EXPECT_EQ(maker.error, "");
  return batch_separable(graph);
}

TEST(Batch, OperatorsThatKeepImagesApart) {
  EXPECT_TRUE(separable(OpType::kConv, Shape{1, 4, 5, 5}, {}, {Shape{6, 4, 3, 3}}));
  EXPECT_TRUE(separable(OpType::kGemm, Shape{1, 4}, {}, {Shape{4, 3}, Shape{3}}));
  EXPECT_TRUE(separable(OpType::kMatMul, Shape{1, 4}, {}, {Shape{4, 3}}));
  EXPECT_TRUE(separable(OpType::kMatMul, Shape{1, 5, 4}, {}, {Shape{4, 3}}));
  EXPECT_TRUE(separable(OpType::kAdd, Shape{1, 4, 3}, {}, {Shape{4, 1}}));
  EXPECT_TRUE(separable(OpType::kAdd, Shape{1, 4}, {}, {Shape{1, 4}}));
  EXPECT_TRUE(separable(OpType::kSoftmax, Shape{1, 4}, {{"axis", {1}}}));
  EXPECT_TRUE(separable(OpType::kTranspose, Shape{1, 4, 3}, {{"perm", {0, 2, 1}}}));
  EXPECT_TRUE(separable(OpType::kReshape, Shape{1, 4, 3}, {{"shape", {1, 12}}}));
}

TEST(Batch, OperatorsThatMixImages) {
  EXPECT_FALSE(separable(OpType::kSoftmax, Shape{1, 4}, {{"axis", {0}}}));
  EXPECT_FALSE(separable(OpType::kReduceSum, Shape{1, 4}, {{"axes", {0}}}));
  EXPECT_FALSE(separable(OpType::kTranspose, Shape{1, 4}, {{"perm", {1, 0}}}));
  EXPECT_FALSE(separable(OpType::kReshape, Shape{1, 4}, {{"shape", {4}}}));
  EXPECT_FALSE(separable(OpType::kGemm, Shape{1, 4}, {{"transA", {1}}}, {Shape{1, 3}}));
  EXPECT_FALSE(separable(OpType::kMatMul, Shape{1, 4}, {}, {Shape{5, 4, 3}}));
  EXPECT_FALSE(separable(OpType::kAdd, Shape{1, 4}, {}, {Shape{2, 1, 4}}));
  EXPECT_FALSE(separable(OpType::kPad, Shape{1, 4}, {{"pads", {0, 1, 1, 1}}}));
  EXPECT_FALSE(separable(OpType::kConcat, Shape{1, 4}, {{"axis", {0}}}, {Shape{1, 4}}));
}

TEST(Batch, TwoInputs) {
  const auto two = [](OpType op, const Shape& a, const Shape& b) {
    GraphMaker maker;
    const ValueId x = maker.input("a", a);
    const ValueId y = maker.input("b", b);
    return batch_separable(maker.finish({maker.node(op, {x, y})}));
  };
  EXPECT_TRUE(two(OpType::kAdd, Shape{1, 4}, Shape{1, 4}));
  EXPECT_TRUE(two(OpType::kMatMul, Shape{1, 3, 4}, Shape{1, 4, 2}));
  EXPECT_FALSE(two(OpType::kAdd, Shape{1, 4}, Shape{1}));
  EXPECT_FALSE(two(OpType::kMatMul, Shape{1, 1}, Shape{1, 1}));
}

TEST(Batch, ResizeScalesNoImages) {
  const auto resized = [](float scale) {
    GraphMaker maker;
    const ValueId x = maker.input("x", Shape{1, 4});
    const ValueId y = maker.node(OpType::kResize, {x}, {{"output_shape", {1, 8}}});
    maker.graph.nodes.back().attributes.floats["scales"] = {scale, 2};
    return batch_separable(maker.finish({y}));
  };
  EXPECT_TRUE(resized(1));
  EXPECT_FALSE(resized(1.2f));
}

TEST(Batch, ConstantOutputsAreNotPerImage) {
  GraphMaker maker;
  const ValueId x = maker.input("x", Shape{1, 4});
  const ValueId y = maker.unary(UnaryFn::kRelu, x);
  const ValueId constant = maker.node(OpType::kIdentity, {maker.weight("w", Shape{1, 4})});
  EXPECT_FALSE(batch_separable(maker.finish({y, constant})));
}

}  // namespace
}  // namespace carrel
