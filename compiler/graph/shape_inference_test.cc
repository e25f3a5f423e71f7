#include "compiler/graph/shape_inference.h"

#include <gtest/gtest.h>

#include "compiler/graph/test_graph.h"

namespace carrel {
namespace {

using Ints = std::map<std::string, std::vector<int64_t>>;

// The shape of `op` on one input, or an empty optional on an error.
std::optional<Shape> infer(OpType op, const Shape& x, const Ints& ints,
                           const std::vector<Shape>& weights = {}) {
  GraphMaker maker;
  std::vector<ValueId> inputs = {maker.input("x", x)};
  for (const Shape& shape : weights) inputs.push_back(maker.weight("w", shape));
  const ValueId out = maker.node(op, inputs, ints);
  maker.finish({out});
  if (!maker.error.empty()) return std::nullopt;
  return maker.graph.value(out).shape;
}

TEST(ShapeInference, Convolutions) {
  const Ints strided = {{"strides", {2, 1}}, {"pads", {1, 0, 1, 2}}, {"dilations", {2, 1}}};
  EXPECT_EQ(infer(OpType::kConv, Shape{2, 4, 9, 8}, strided, {Shape{6, 4, 3, 3}}),
            (Shape{2, 6, 4, 8}));
  EXPECT_EQ(infer(OpType::kConv, Shape{1, 4, 9, 8}, {{"group", {2}}}, {Shape{6, 2, 3, 3}}),
            (Shape{1, 6, 7, 6}));
  EXPECT_EQ(infer(OpType::kConv, Shape{1, 4, 9}, {}, {Shape{6, 4, 3}, Shape{6}}), (Shape{1, 6, 7}));
  EXPECT_FALSE(infer(OpType::kConv, Shape{1, 4, 9, 8}, {}, {Shape{6, 3, 3, 3}}));
  EXPECT_FALSE(infer(OpType::kConv, Shape{1, 4, 9, 8}, {{"group", {3}}}, {Shape{6, 4, 3, 3}}));
  EXPECT_FALSE(infer(OpType::kConv, Shape{1, 4, 2, 8}, {}, {Shape{6, 4, 3, 3}}));
  EXPECT_FALSE(infer(OpType::kConv, Shape{1, 4, 9, 8}, {{"strides", {0, 1}}}, {Shape{6, 4, 3, 3}}));
  EXPECT_FALSE(infer(OpType::kConv, Shape{1, 4, 9, 8}, {}, {Shape{6, 4, 3, 3}, Shape{5}}));
}

TEST(ShapeInference, TransposedConvolutions) {
  EXPECT_EQ(
      infer(OpType::kConvTranspose, Shape{1, 4, 3, 3}, {{"strides", {3, 2}}}, {Shape{4, 2, 3, 3}}),
      (Shape{1, 2, 9, 7}));
  EXPECT_EQ(infer(OpType::kConvTranspose, Shape{1, 4, 3, 3},
                  {{"group", {2}}, {"pads", {1, 0, -1, 2}}, {"output_padding", {0, 0}}},
                  {Shape{4, 2, 3, 3}}),
            (Shape{1, 4, 5, 3}));
  EXPECT_FALSE(infer(OpType::kConvTranspose, Shape{1, 4, 3, 3}, {{"pads", {9, 9, 9, 9}}},
                     {Shape{4, 2, 3, 3}}));
}

TEST(ShapeInference, HugeNumbersAreErrorsNotOverflow) {
  const int64_t huge = (int64_t{1} << 31) - 1;
  EXPECT_FALSE(infer(OpType::kConvTranspose, Shape{1, 1, huge},
                     {{"strides", {huge}}, {"dilations", {huge}}}, {Shape{1, 1, 3}}));
  EXPECT_FALSE(
      infer(OpType::kReshape, Shape{1, 6}, {{"shape", {int64_t{1} << 33, int64_t{1} << 33}}}));
  EXPECT_FALSE(infer(OpType::kExpand, Shape{1}, {{"shape", {int64_t{1} << 62, 4}}}));
  EXPECT_FALSE(infer(OpType::kPad, Shape{1}, {{"pads", {INT64_MAX, INT64_MAX}}}));
  EXPECT_FALSE(infer(OpType::kSlice, Shape{4},
                     {{"starts", {0}}, {"ends", {4}}, {"axes", {0}}, {"steps", {INT64_MIN}}}));
  EXPECT_FALSE(
      infer(OpType::kConv, Shape{1, 4, 9}, {{"pads", {int64_t{1} << 40, 0}}}, {Shape{6, 4, 3}}));
}

TEST(ShapeInference, Matrices) {
  EXPECT_EQ(infer(OpType::kMatMul, Shape{2, 1, 3, 4}, {}, {Shape{5, 4, 6}}), (Shape{2, 5, 3, 6}));
  EXPECT_EQ(infer(OpType::kMatMul, Shape{4}, {}, {Shape{5, 4, 6}}), (Shape{5, 6}));
  EXPECT_EQ(infer(OpType::kMatMul, Shape{4}, {}, {Shape{4}}), Shape{});
  EXPECT_FALSE(infer(OpType::kMatMul, Shape{3, 4}, {}, {Shape{3, 4}}));
  EXPECT_EQ(infer(OpType::kGemm, Shape{4, 3}, {{"transA", {1}}, {"transB", {1}}},
                  {Shape{5, 4}, Shape{5}}),
            (Shape{3, 5}));
  EXPECT_FALSE(infer(OpType::kGemm, Shape{3, 4}, {}, {Shape{4, 5}, Shape{3}}));
}

TEST(ShapeInference, Broadcasting) {
  EXPECT_EQ(infer(OpType::kAdd, Shape{2, 1, 4}, {}, {Shape{3, 1}}), (Shape{2, 3, 4}));
  EXPECT_FALSE(infer(OpType::kAdd, Shape{2, 2, 4}, {}, {Shape{3, 1}}));
  EXPECT_EQ(infer(OpType::kPRelu, Shape{1, 3, 4}, {}, {Shape{3, 1}}), (Shape{1, 3, 4}));
  EXPECT_FALSE(infer(OpType::kPRelu, Shape{1, 1, 4}, {}, {Shape{3, 1}}));
  EXPECT_FALSE(infer(OpType::kAffine, Shape{1, 3, 4}, {}, {Shape{4}, Shape{3}}));
}

TEST(ShapeInference, Movement) {
  const Ints back = {{"starts", {4, 0}}, {"ends", {-1, 3}}, {"axes", {1, 0}}, {"steps", {-2, 1}}};
  EXPECT_EQ(infer(OpType::kSlice, Shape{3, 5}, back), (Shape{3, 3}));
  EXPECT_FALSE(infer(OpType::kSlice, Shape{3, 5},
                     {{"starts", {0}}, {"ends", {6}}, {"axes", {1}}, {"steps", {1}}}));
  EXPECT_EQ(infer(OpType::kConcat, Shape{1, 2, 4}, {{"axis", {1}}}, {Shape{1, 3, 4}}),
            (Shape{1, 5, 4}));
  EXPECT_FALSE(infer(OpType::kConcat, Shape{1, 2, 4}, {{"axis", {1}}}, {Shape{1, 3, 5}}));
  EXPECT_EQ(infer(OpType::kPad, Shape{1, 4}, {{"pads", {0, 2, 0, -1}}}), (Shape{1, 5}));
  EXPECT_FALSE(infer(OpType::kPad, Shape{1, 4}, {{"pads", {0, 4, 0, 0}}, {"mode", {1}}}));
  EXPECT_EQ(infer(OpType::kTranspose, Shape{1, 2, 3}, {{"perm", {2, 0, 1}}}), (Shape{3, 1, 2}));
  EXPECT_FALSE(infer(OpType::kTranspose, Shape{1, 2, 3}, {{"perm", {2, 0, 0}}}));
  EXPECT_EQ(infer(OpType::kDepthToSpace, Shape{1, 8, 2, 3}, {{"blocksize", {2}}}),
            (Shape{1, 2, 4, 6}));
  EXPECT_EQ(infer(OpType::kReduceMax, Shape{2, 3, 4}, {{"axes", {0, 2}}, {"keepdims", {0}}}),
            Shape{3});
  EXPECT_FALSE(infer(OpType::kReduceMax, Shape{2, 3, 4}, {{"axes", {2, 0}}}));
}

TEST(ShapeInference, IntegersHaveNoConvolution) {
  GraphMaker maker;
  const ValueId x =
      maker.graph.add_const("x", Tensor::from_i64(Shape{2}, std::vector<int64_t>{1, 2}));
  const ValueId y = maker.unary(UnaryFn::kRelu, x);
  Node node = maker.graph.nodes[0];
  std::vector<Value> outputs;
  const Status status = infer_node(maker.graph, node, &outputs);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kUnsupported);
  EXPECT_GE(y, 0);
}

}  // namespace
}  // namespace carrel
