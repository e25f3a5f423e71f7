#include "compiler/graph/serialize.h"

#include <gtest/gtest.h>

#include <random>

#include "compiler/graph/test_graph.h"

namespace carrel {
namespace {

Graph sample() {
  GraphMaker maker;
  const ValueId x = maker.input("x", Shape{1, 4, 6, 6});
  const ValueId conv = maker.node(
      OpType::kConv, {x, maker.weight("w", Shape{3, 4, 3, 3}), maker.weight("b", Shape{3})},
      {{"pads", {1, 1, 1, 1}}}, {UnaryFn::kClip, 0, 6});
  const ValueId indices =
      maker.graph.add_const("indices", Tensor::from_i64(Shape{2}, std::vector<int64_t>{2, 0}));
  const ValueId gather = maker.node(OpType::kGather, {conv, indices}, {{"axis", {1}}});
  maker.graph.batch = 3;
  maker.graph.name = "sample";
  return maker.finish({gather});
}

TEST(Serialize, ArchitectureComesBackWithoutWeights) {
  const Graph graph = sample();
  const auto bytes = serialize_architecture(graph);
  const auto parsed = parse_architecture(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  EXPECT_EQ(parsed->name, "sample");
  EXPECT_EQ(parsed->batch, 3);
  ASSERT_EQ(parsed->nodes.size(), 2u);
  EXPECT_EQ(parsed->nodes[0].attributes, graph.nodes[0].attributes);
  EXPECT_EQ(parsed->nodes[0].activation, graph.nodes[0].activation);
  const Value& weight = parsed->value(graph.nodes[0].inputs[1]);
  EXPECT_TRUE(weight.is_const());
  EXPECT_EQ(weight.shape, (Shape{3, 4, 3, 3}));
  EXPECT_TRUE(weight.constant->data.empty());
  EXPECT_EQ(parsed->value(graph.nodes[1].inputs[1]).constant->to_i64(),
            (std::vector<int64_t>{2, 0}));
  EXPECT_EQ(serialize_architecture(*parsed), bytes);
}

TEST(Serialize, NoWeightBytesAreStored) {
  Graph graph = sample();
  const auto bytes = serialize_architecture(graph);
  Value& weight = graph.value(graph.nodes[0].inputs[1]);
  weight.constant = std::make_shared<Tensor>(GraphMaker::ramp(weight.shape, 17));
  EXPECT_EQ(serialize_architecture(graph), bytes);
}

TEST(Serialize, EveryTruncationIsRefused) {
  const auto bytes = serialize_architecture(sample());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(parse_architecture(std::span(bytes).first(size)).ok()) << size;
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(parse_architecture(longer).ok());
}

TEST(Serialize, ChangedBytesGiveAValidGraphOrAnError) {
  const auto bytes = serialize_architecture(sample());
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    auto changed = bytes;
    for (auto flips = 1 + random() % 3; flips > 0; --flips) {
      changed[random() % changed.size()] = static_cast<std::byte>(random());
    }
    const auto parsed = parse_architecture(changed);
    if (parsed.ok()) {
      EXPECT_TRUE(verify_graph(*parsed).ok());
    }
  }
}

}  // namespace
}  // namespace carrel
