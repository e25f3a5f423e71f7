#include "compiler/lower/lower.h"

#include <gtest/gtest.h>

namespace carrel {
namespace {

using Ints = std::vector<int64_t>;

struct Fixture {
  Graph graph;
  ValueId input(Shape shape, DType type = DType::kF32) {
    return graph.add_value({"x", type, shape, true, nullptr});
  }
  Node node(OpType op, std::vector<ValueId> inputs) {
    Node n;
    n.name = "n";
    n.op = op;
    n.inputs = std::move(inputs);
    n.outputs = {graph.add_value({"y", DType::kF32, {}, false, nullptr})};
    return n;
  }
};

TEST(Lower, ConvListsInOrder) {
  Fixture f;
  Node n = f.node(OpType::kConv, {f.input({1, 4, 8, 8}), f.input({6, 2, 3, 5}), kNoValue});
  n.attributes.ints = {{"strides", {2, 1}}, {"pads", {1, 2, 3, 4}}, {"group", {2}}};
  n.activation = {UnaryFn::kRelu, 0, 0};
  const auto code = encode_plain(f.graph, n);
  ASSERT_TRUE(code.ok());
  EXPECT_EQ(code->op, PlainOp::kConv);
  EXPECT_EQ(code->ints, (Ints{2, 2, 1, 1, 2, 3, 4, 1, 1}));
  EXPECT_EQ(code->inputs, n.inputs);
  EXPECT_EQ(code->activation, n.activation);
}

TEST(Lower, AveragePoolCountsItsOwnPads) {
  Fixture f;
  Node n = f.node(OpType::kAveragePool, {f.input({1, 4, 8})});
  n.attributes.ints = {{"kernel_shape", {3}}, {"pads", {1, 2}}, {"count_include_pad", {1}}};
  EXPECT_EQ(encode_plain(f.graph, n)->ints, (Ints{3, 1, 1, 2, 1, 1, 1, 2}));
  n.attributes.ints["pads_counted"] = {1, 1};
  EXPECT_EQ(encode_plain(f.graph, n)->ints, (Ints{3, 1, 1, 2, 1, 1, 1, 1}));
}

TEST(Lower, SliceToFullRank) {
  Fixture f;
  Node n = f.node(OpType::kSlice, {f.input({4, 5, 6}), f.input({1}, DType::kI64)});
  n.attributes.ints = {{"starts", {3, 1}}, {"ends", {-1, 4}}, {"axes", {2, 0}}, {"steps", {-2, 1}}};
  const auto code = encode_plain(f.graph, n);
  ASSERT_TRUE(code.ok());
  EXPECT_EQ(code->ints, (Ints{1, 0, 3, 1, 1, -2}));
  EXPECT_EQ(code->inputs.size(), 1u);
}

TEST(Lower, GatherMovesConstantIndicesIntoTheCall) {
  Fixture f;
  const ValueId x = f.input({4, 5});
  const Ints values = {0, -1, 3};
  const ValueId indices = f.graph.add_const("i", Tensor::from_i64({3}, values));
  Node n = f.node(OpType::kGather, {x, indices});
  n.attributes.ints = {{"axis", {1}}};
  EXPECT_EQ(encode_plain(f.graph, n)->ints, (Ints{1, 0, 4, 3}));
  const Node at_run_time = f.node(OpType::kGather, {x, f.input({3}, DType::kI64)});
  EXPECT_EQ(encode_plain(f.graph, at_run_time).error().code(), ErrorCode::kUnsupported);
  const Ints many(kMaxPlainInts, 0);
  n.inputs[1] = f.graph.add_const("m", Tensor::from_i64({kMaxPlainInts}, many));
  EXPECT_EQ(encode_plain(f.graph, n).error().code(), ErrorCode::kUnsupported);
  n.inputs[0] = f.graph.add_const("w", Tensor::zeros(DType::kF32, {4, 5}));
  EXPECT_EQ(encode_plain(f.graph, n)->inputs.size(), 2u);
}

TEST(Lower, GlobalPoolsAreReductions) {
  Fixture f;
  const auto code =
      encode_plain(f.graph, f.node(OpType::kGlobalMaxPool, {f.input({1, 2, 3, 4, 5})}));
  EXPECT_EQ(code->op, PlainOp::kReduceMax);
  EXPECT_EQ(code->ints, (Ints{1, 2, 3, 4}));
}

TEST(Lower, RefusesListsThatDoNotFit) {
  Fixture f;
  Node n = f.node(OpType::kMaxPool, {f.input({1, 4, 8, 8})});
  EXPECT_FALSE(encode_plain(f.graph, n).ok());  // no kernel
  n.attributes.ints = {{"kernel_shape", {3}}};
  EXPECT_FALSE(encode_plain(f.graph, n).ok());
  n.attributes.ints = {{"kernel_shape", {3, 3}}, {"pads", {1, 1}}};
  EXPECT_FALSE(encode_plain(f.graph, n).ok());
  n.inputs[0] = 4711;
  EXPECT_FALSE(encode_plain(f.graph, n).ok());
  n.inputs[0] = f.input({1, 2, 3, 4, 5, 6});
  EXPECT_EQ(encode_plain(f.graph, n).error().code(), ErrorCode::kUnsupported);
  Node slice = f.node(OpType::kSlice, {f.input({4})});
  slice.attributes.ints = {{"starts", {0}}, {"axes", {7}}};
  EXPECT_FALSE(encode_plain(f.graph, slice).ok());
  EXPECT_FALSE(encode_plain(f.graph, f.node(OpType::kReshape, {})).ok());
  EXPECT_FALSE(encode_plain(f.graph, f.node(OpType::kResize, {f.input({4})})).ok());
}

}  // namespace
}  // namespace carrel
