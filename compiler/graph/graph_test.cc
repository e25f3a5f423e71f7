#include "compiler/graph/graph.h"

#include <gtest/gtest.h>

#include "compiler/graph/test_graph.h"

namespace carrel {
namespace {

TEST(Tensor, WidensIntegers) {
  Tensor tensor = Tensor::zeros(DType::kI8, Shape{3});
  tensor.data = {std::byte{0xff}, std::byte{1}, std::byte{0x80}};
  EXPECT_EQ(tensor.to_i64(), (std::vector<int64_t>{-1, 1, -128}));
  tensor.type = DType::kU8;
  EXPECT_EQ(tensor.to_i64(), (std::vector<int64_t>{255, 1, 128}));
}

TEST(Order, ProducersFirstAndStable) {
  GraphMaker maker;
  const ValueId x = maker.input("x", Shape{1, 2});
  const ValueId late = maker.graph.add_value({});
  const ValueId sum = maker.node(OpType::kAdd, {late, x});
  const ValueId first = maker.unary(UnaryFn::kRelu, x);
  Node link;
  link.name = "link";
  link.op = OpType::kUnary;
  link.activation.fn = UnaryFn::kTanh;
  link.inputs = {first};
  link.outputs = {late};
  maker.graph.add_node(link);
  maker.finish({sum});
  const auto order = topological_order(maker.graph);
  ASSERT_TRUE(order.ok());
  EXPECT_EQ(*order, (std::vector<NodeId>{1, 2, 0}));
}

TEST(Order, CycleIsNamed) {
  GraphMaker maker;
  const ValueId loop = maker.graph.add_value({});
  Node node;
  node.name = "ring";
  node.op = OpType::kUnary;
  node.inputs = {loop};
  node.outputs = {loop};
  maker.graph.add_node(node);
  const auto order = topological_order(maker.graph);
  ASSERT_FALSE(order.ok());
  EXPECT_NE(std::string(order.error().message()).find("ring"), std::string::npos);
}

TEST(Compact, DropsDeadNodesAndTheirValues) {
  GraphMaker maker;
  const ValueId x = maker.input("x", Shape{1, 2});
  const ValueId kept = maker.unary(UnaryFn::kRelu, x);
  maker.node(OpType::kAdd, {x, maker.weight("unused", Shape{2})});
  maker.finish({kept});
  maker.graph.node(1).dead = true;
  const auto compacted = compact(maker.graph);
  ASSERT_TRUE(compacted.ok());
  EXPECT_EQ(compacted->nodes.size(), 1u);
  EXPECT_EQ(compacted->values.size(), 2u);
  EXPECT_TRUE(verify_graph(*compacted).ok());
}

class Verify : public ::testing::Test {
 protected:
  void SetUp() override {
    x_ = maker_.input("x", Shape{1, 2});
    y_ = maker_.unary(UnaryFn::kRelu, x_);
    graph_ = maker_.finish({y_});
    ASSERT_TRUE(verify_graph(graph_).ok());
  }
  GraphMaker maker_;
  ValueId x_ = 0;
  ValueId y_ = 0;
  Graph graph_;
};

TEST_F(Verify, IdsOutOfRange) {
  graph_.nodes[0].inputs[0] = 99;
  EXPECT_FALSE(verify_graph(graph_).ok());
}
TEST_F(Verify, MissingRequiredInput) {
  graph_.nodes[0].inputs[0] = kNoValue;
  EXPECT_FALSE(verify_graph(graph_).ok());
}
TEST_F(Verify, TwoProducers) {
  graph_.nodes.push_back(graph_.nodes[0]);
  EXPECT_FALSE(verify_graph(graph_).ok());
}
TEST_F(Verify, ProducedInput) {
  graph_.nodes[0].outputs[0] = x_;
  EXPECT_FALSE(verify_graph(graph_).ok());
}
TEST_F(Verify, ValueFromNowhere) {
  graph_.inputs.clear();
  EXPECT_FALSE(verify_graph(graph_).ok());
}
TEST_F(Verify, ShapeThatDoesNotFollow) {
  graph_.value(y_).shape = Shape{2, 1};
  EXPECT_FALSE(verify_graph(graph_).ok());
}
TEST_F(Verify, OutputOutOfRange) {
  graph_.outputs[0] = -1;
  EXPECT_FALSE(verify_graph(graph_).ok());
}

}  // namespace
}  // namespace carrel
