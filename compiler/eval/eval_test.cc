#include "compiler/eval/eval.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "compiler/graph/shape_inference.h"

namespace carrel {
namespace {

using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;

struct Builder {
  Graph graph;
  ValueId input(Shape shape, DType type = DType::kF32) {
    graph.inputs.push_back(graph.add_value({"x", type, shape, true, nullptr}));
    return graph.inputs.back();
  }
  ValueId constant(Shape shape, Floats values) {
    return graph.add_const("c", Tensor::from_f32(shape, values));
  }
  ValueId ints(Ints values) {
    return graph.add_const("i", Tensor::from_i64({static_cast<int64_t>(values.size())}, values));
  }
  ValueId ramp(Shape shape) {
    Floats values(static_cast<size_t>(shape.count()));
    std::iota(values.begin(), values.end(), 1.0f);
    return constant(shape, values);
  }
  // The first output; shapes are not set.
  ValueId add(OpType op, std::vector<ValueId> inputs, Attributes attributes = {},
              size_t outputs = 1) {
    Node n;
    n.name = op_name(op);
    if (op == OpType::kUnary) n.activation.fn = UnaryFn::kRelu;
    n.op = op;
    n.inputs = std::move(inputs);
    n.attributes = std::move(attributes);
    for (size_t i = 0; i < outputs; ++i)
      n.outputs.push_back(graph.add_value({"v", DType::kF32, {}, false, nullptr}));
    graph.add_node(n);
    return n.outputs[0];
  }
  // Folds the newest node.
  Result<std::vector<Tensor>> fold() const { return eval_node(graph, graph.nodes.back()); }
  Tensor folded() const {
    const auto result = fold();
    EXPECT_TRUE(result.ok()) << result.error().message();
    return result.ok() ? (*result)[0] : Tensor::zeros(DType::kI64, {0});
  }
};

Floats floats(const Tensor& t) { return {t.f32().begin(), t.f32().end()}; }

TEST(EvalNode, EveryOperatorFolds) {
  struct Case {
    OpType op;
    std::vector<Shape> inputs;
    Attributes attributes;
    Shape output;
  };
  const Attributes none;
  const auto with = [](std::map<std::string, Ints> i, std::map<std::string, Floats> f = {}) {
    Attributes a;
    a.ints = std::move(i);
    a.floats = std::move(f);
    return a;
  };
  const Attributes pool = with({{"kernel_shape", {2, 2}}, {"strides", {2, 2}}});
  const Attributes reduce = with({{"axes", {1}}, {"keepdims", {0}}});
  std::vector<Case> cases = {
      {OpType::kConv, {{1, 2, 4, 4}, {3, 2, 3, 3}, {3}}, none, {1, 3, 2, 2}},
      {OpType::kConvTranspose, {{1, 2, 4, 4}, {2, 3, 3, 3}}, none, {1, 3, 6, 6}},
      {OpType::kGemm, {{2, 3}, {4, 3}}, with({{"transB", {1}}}), {2, 4}},
      {OpType::kMatMul, {{5, 2, 3}, {3, 4}}, none, {5, 2, 4}},
      {OpType::kAffine, {{1, 2, 3}, {2}, {2}}, none, {1, 2, 3}},
      {OpType::kBatchNorm, {{1, 2, 3}, {2}, {2}, {2}, {2}}, none, {1, 2, 3}},
      {OpType::kInstanceNorm, {{1, 2, 3}, {2}, {2}}, none, {1, 2, 3}},
      {OpType::kLayerNorm, {{1, 2, 3}, {3}}, with({{"axis", {2}}}), {1, 2, 3}},
      {OpType::kLrn, {{1, 2, 3, 3}}, with({{"size", {3}}}), {1, 2, 3, 3}},
      {OpType::kUnary, {{2, 3}}, none, {2, 3}},
      {OpType::kPRelu, {{1, 2, 3}, {2, 1}}, none, {1, 2, 3}},
      {OpType::kSoftmax, {{2, 3}}, with({{"axis", {1}}}), {2, 3}},
      {OpType::kLogSoftmax, {{2, 3}}, with({{"axis", {0}}}), {2, 3}},
      {OpType::kMaxPool, {{1, 2, 4, 4}}, pool, {1, 2, 2, 2}},
      {OpType::kAveragePool, {{1, 2, 4, 4}}, pool, {1, 2, 2, 2}},
      {OpType::kGlobalAveragePool, {{1, 2, 4, 4}}, none, {1, 2, 1, 1}},
      {OpType::kGlobalMaxPool, {{1, 2, 4, 4}}, none, {1, 2, 1, 1}},
      {OpType::kConcat, {{2, 3}, {2, 1}}, with({{"axis", {1}}}), {2, 4}},
      {OpType::kSplit, {{2, 4}}, with({{"axis", {1}}, {"split", {4}}}), {2, 4}},
      {OpType::kSlice,
       {{4, 4}},
       with({{"starts", {3}}, {"ends", {-1}}, {"axes", {0}}, {"steps", {-2}}}),
       {2, 4}},
      {OpType::kPad, {{2, 2}}, with({{"pads", {1, 0, 0, 2}}}), {3, 4}},
      {OpType::kReshape, {{2, 6}}, with({{"shape", {3, 4}}}), {3, 4}},
      {OpType::kTranspose, {{2, 3}}, with({{"perm", {1, 0}}}), {3, 2}},
      {OpType::kExpand, {{2, 1}}, with({{"shape", {2, 3}}}), {2, 3}},
      {OpType::kResize,
       {{1, 1, 2, 2}},
       with({{"output_shape", {1, 1, 4, 4}}}, {{"scales", {1, 1, 2, 2}}}),
       {1, 1, 4, 4}},
      {OpType::kDepthToSpace, {{1, 4, 2, 2}}, with({{"blocksize", {2}}}), {1, 1, 4, 4}},
      {OpType::kSpaceToDepth, {{1, 1, 4, 4}}, with({{"blocksize", {2}}}), {1, 4, 2, 2}},
      {OpType::kIdentity, {{4, 2}}, none, {4, 2}},
  };
  for (OpType op : {OpType::kAdd, OpType::kSub, OpType::kMul, OpType::kDiv, OpType::kPow,
                    OpType::kMax, OpType::kMin}) {
    cases.push_back({op, {{2, 3}, {3}}, none, {2, 3}});
  }
  for (OpType op : {OpType::kReduceMean, OpType::kReduceSum, OpType::kReduceMax, OpType::kReduceMin,
                    OpType::kReduceProd}) {
    cases.push_back({op, {{2, 3}}, reduce, {2}});
  }
  for (const Case& c : cases) {
    Builder b;
    std::vector<ValueId> inputs;
    for (const Shape& shape : c.inputs) inputs.push_back(b.ramp(shape));
    b.add(c.op, inputs, c.attributes);
    const auto folded = b.fold();
    ASSERT_TRUE(folded.ok()) << op_name(c.op) << ": " << folded.error().message();
    EXPECT_TRUE((*folded)[0].shape == c.output) << op_name(c.op);
  }
}

TEST(EvalNode, ShapeChain) {
  Builder b;
  const ValueId shape = b.ints({2, 3, 4, 5});
  const ValueId indices = b.ints({0, 3});
  Attributes axis;
  axis.ints["axis"] = {0};
  b.add(OpType::kGather, {shape, indices}, axis);
  EXPECT_EQ(b.folded().to_i64(), (Ints{2, 5}));
  b.add(OpType::kMul, {shape, b.ints({2})});
  EXPECT_EQ(b.folded().to_i64(), (Ints{4, 6, 8, 10}));
}

TEST(EvalNode, OtherElementTypes) {
  Builder b;
  Tensor narrow = Tensor::zeros(DType::kI32, {3});
  const int32_t values[] = {-5, 7, 2147483647};
  std::memcpy(narrow.data.data(), values, sizeof(values));
  const ValueId x = b.graph.add_const("n", narrow);
  b.add(OpType::kAdd, {x, x});
  Value& sum = b.graph.value(b.graph.nodes.back().outputs[0]);
  sum.type = DType::kI32;
  sum.shape = {3};
  sum.shape_known = true;
  EXPECT_EQ(b.folded().type, DType::kI32);
  EXPECT_EQ(b.folded().to_i64(), (Ints{-10, 14, -2}));  // wraps
}

TEST(EvalNode, RefusesHugeFolds) {
  Builder b;
  Attributes shape;
  shape.ints["shape"] = {1 << 20, 1 << 19};
  b.add(OpType::kExpand, {b.ramp({1})}, shape);
  EXPECT_FALSE(b.fold().ok());
  b.add(OpType::kAdd, {b.input({2}), b.ramp({2})});
  EXPECT_FALSE(b.fold().ok());  // not constant
}

// y = relu(x w + c) + x, with x used twice and an intermediate value as a second output.
Graph residual() {
  Builder b;
  const ValueId x = b.input({1, 2});
  const ValueId product = b.add(OpType::kMatMul, {x, b.constant({2, 2}, {1, 2, 3, -4})});
  const ValueId biased = b.add(OpType::kAdd, {product, b.constant({2}, {0.5f, 0.5f})});
  b.graph.nodes.back().activation = {UnaryFn::kRelu, 0, 0};
  const ValueId sum = b.add(OpType::kAdd, {biased, x});
  b.graph.outputs = {sum, product};
  EXPECT_TRUE(infer_shapes(&b.graph).ok());
  return b.graph;
}

TEST(EvalGraph, ResidualWithTwoOutputs) {
  const auto y = eval_graph(residual(), {Tensor::from_f32({1, 2}, Floats{1, 2})});
  ASSERT_TRUE(y.ok()) << y.error().message();
  EXPECT_EQ(floats((*y)[0]), (Floats{8.5f, 2}));
  EXPECT_EQ(floats((*y)[1]), (Floats{7, -6}));
}

TEST(EvalGraph, BatchIsIndependentRuns) {
  const auto y = eval_batch(residual(), {Tensor::from_f32({3, 2}, Floats{1, 2, 0, 0, 1, 2})});
  ASSERT_TRUE(y.ok()) << y.error().message();
  EXPECT_TRUE((*y)[0].shape == (Shape{3, 2}));
  EXPECT_EQ(floats((*y)[0]), (Floats{8.5f, 2, 0.5f, 0.5f, 8.5f, 2}));
}

TEST(EvalGraph, RefusesWrongInputs) {
  const Graph g = residual();
  EXPECT_FALSE(eval_graph(g, {}).ok());
  EXPECT_FALSE(eval_graph(g, {Tensor::from_f32({2, 1}, Floats{1, 2})}).ok());
  EXPECT_FALSE(eval_graph(g, {Tensor::from_i64({1, 2}, Ints{1, 2})}).ok());
  Graph shape_only = g;  // as parse_architecture gives it: weights without data
  for (Value& v : shape_only.values) {
    if (v.is_const()) v.constant = std::make_shared<Tensor>(Tensor{v.type, v.shape, {}});
  }
  EXPECT_FALSE(eval_graph(shape_only, {Tensor::from_f32({1, 2}, Floats{1, 2})}).ok());
}

}  // namespace
}  // namespace carrel
