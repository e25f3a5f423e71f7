#include "baseline/network.h"

#include <gtest/gtest.h>

#include <cstring>

#include "baseline/executor.h"
#include "compiler/graph/test_graph.h"

namespace carrel::unmodified {
namespace {

Network network_of(const Graph& graph, uint32_t threads = 1) {
  const auto streams = plan_streams(graph, StoredType::kF32);
  EXPECT_TRUE(streams.ok()) << streams.error().message();
  auto network = build_network(graph, *streams, threads);
  EXPECT_TRUE(network.ok()) << network.error().message();
  return std::move(*network);
}

struct alignas(kPlaceAlignment) Block {
  std::byte bytes[kPlaceAlignment];
};

// A graph without weights, run and evaluated.
void check(const Graph& graph, const Network& network) {
  std::vector<Block> memory(network.bytes / sizeof(Block));
  Executor executor(network, std::as_writable_bytes(std::span(memory)), 1);
  const Tensor x = GraphMaker::ramp(graph.value(graph.inputs[0]).shape);
  std::memcpy(executor.data(network.inputs[0]), x.data.data(), x.data.size());
  for (size_t i = 0; i < network.layers.size(); ++i) ASSERT_TRUE(executor.run_layer(i).ok());
  const auto expected = eval_graph(graph, {x});
  ASSERT_TRUE(expected.ok()) << expected.error().message();
  for (size_t i = 0; i < expected->size(); ++i) {
    const Tensor& want = (*expected)[i];
    EXPECT_EQ(0, std::memcmp(executor.data(network.outputs[i]), want.data.data(), want.data.size()))
        << i;
  }
}

std::map<std::string, std::vector<int64_t>> flat(int64_t count) { return {{"shape", {1, count}}}; }

TEST(Network, WhatAReshapeNamesIsNotOverwritten) {
  GraphMaker m;
  const ValueId x = m.input("x", {1, 8, 6, 6});
  const ValueId u = m.unary(UnaryFn::kAbs, x);
  const ValueId early = m.node(OpType::kReshape, {u}, flat(288));
  const ValueId v = m.unary(UnaryFn::kRelu, u);
  const ValueId late = m.node(OpType::kReshape, {v}, flat(288));
  const ValueId sum = m.node(OpType::kAdd, {early, late});
  const Graph graph = m.finish({sum});
  const Network network = network_of(graph);
  ASSERT_EQ(network.layers.size(), 3u);  // reshapes take no time
  EXPECT_NE(network.layers[1].outputs[0].place, network.layers[1].inputs[0].place);
  EXPECT_EQ(network.layers[2].outputs[0].place, network.layers[2].inputs[0].place);
  check(graph, network);
}

TEST(Network, InputsAndOutputsAreKept) {
  GraphMaker m;
  const ValueId x = m.input("x", {1, 8, 6, 6});
  const ValueId u = m.unary(UnaryFn::kRelu, x);
  const ValueId v = m.unary(UnaryFn::kNeg, u);
  const ValueId y = m.node(OpType::kAdd, {v, x});
  const Graph graph = m.finish({u, x, y});
  const Network network = network_of(graph);
  EXPECT_NE(network.layers[0].outputs[0].place, network.inputs[0].place);
  EXPECT_NE(network.layers[1].outputs[0].place, network.outputs[0].place);
  EXPECT_EQ(network.places[static_cast<size_t>(network.inputs[0].place)].first_layer, -1);
  EXPECT_EQ(network.places[static_cast<size_t>(network.outputs[0].place)].last_layer, 3);
  check(graph, network);
}

uint64_t workspace_bytes(const Network& network) {
  return network.workspace < 0 ? 0 : network.places[static_cast<size_t>(network.workspace)].bytes;
}

Graph conv(const Shape& weights, int64_t groups, int64_t stride) {
  GraphMaker m;
  const ValueId x = m.input("x", {1, 16, 12, 10});
  const ValueId w = m.weight("w", weights);
  const int64_t pad = weights[2] / 2;
  return m.finish({m.node(OpType::kConv, {x, w},
                          {{"group", {groups}},
                           {"strides", {stride, stride}},
                           {"pads", {pad, pad, pad, pad}},
                           {"dilations", {1, 1}}})});
}

TEST(Network, WorkspaceIsTheLargestLayersMatrix) {
  EXPECT_EQ(workspace_bytes(network_of(conv({32, 16, 1, 1}, 1, 1))), 0u);
  EXPECT_EQ(workspace_bytes(network_of(conv({32, 16, 1, 1}, 1, 2))), 16u * 6 * 5 * 4);
  EXPECT_EQ(workspace_bytes(network_of(conv({32, 16, 3, 3}, 1, 1), 3)), 16u * 9 * 12 * 10 * 4);
  EXPECT_EQ(workspace_bytes(network_of(conv({32, 4, 3, 3}, 4, 1))), 16u * 9 * 12 * 10 * 4);
}

TEST(Network, EveryThreadHasScratchOfItsOwn) {
  const Graph graph = conv({16, 1, 3, 3}, 16, 1);
  const Network network = network_of(graph, 3);
  ASSERT_EQ(network.layers[0].kind, LayerKind::kDepthwise);
  const PlanePhases phases(network.layers[0].window);
  EXPECT_EQ(workspace_bytes(network), 3u * static_cast<uint64_t>(phases.scratch_count()) * 4);
}

TEST(Network, QuantizedOperatorsAreRefusedByName) {
  GraphMaker m;
  const ValueId x = m.input("x", {1, 8, 6, 6});
  const ValueId q = m.node(OpType::kQuantize, {x}, {{"zero", {3}}});
  m.graph.nodes.back().attributes.floats["scale"] = {0.5f};
  const Graph graph = m.finish({m.node(OpType::kMaxPool, {q}, {{"kernel_shape", {2, 2}}})});
  const auto network = build_network(graph, {}, 1);
  ASSERT_FALSE(network.ok());
  EXPECT_EQ(network.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(std::strstr(network.error().message(), graph.nodes[0].name.c_str()), nullptr);
}

}  // namespace
}  // namespace carrel::unmodified
