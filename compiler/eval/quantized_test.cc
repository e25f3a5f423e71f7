// Graphs of quantized operators, computed as integers.
#include <gtest/gtest.h>

#include <cmath>

#include "compiler/graph/serialize.h"
#include "compiler/graph/test_graph.h"

namespace carrel {
namespace {

using Floats = std::map<std::string, std::vector<float>>;

Tensor bytes_tensor(DType type, const Shape& shape, int seed) {
  Tensor t = Tensor::zeros(type, shape);
  for (size_t i = 0; i < t.data.size(); ++i) {
    t.data[i] = static_cast<std::byte>((i * 37 + static_cast<size_t>(seed) * 11) % 251);
  }
  return t;
}

Tensor int32_tensor(const std::vector<int32_t>& values) {
  Tensor t = Tensor::zeros(DType::kI32, Shape{static_cast<int64_t>(values.size())});
  std::memcpy(t.data.data(), values.data(), t.data.size());
  return t;
}

struct Maker : GraphMaker {
  ValueId quantized(OpType op, std::vector<ValueId> inputs,
                    std::map<std::string, std::vector<int64_t>> ints, const Floats& floats) {
    const ValueId id = node(op, std::move(inputs), std::move(ints));
    graph.nodes.back().attributes.floats = floats;
    return id;
  }
  ValueId quantize(ValueId x, float scale, int64_t zero) {
    return quantized(OpType::kQuantize, {x}, {{"zero", {zero}}}, {{"scale", {scale}}});
  }
  ValueId dequantize(ValueId x, float scale, int64_t zero) {
    return quantized(OpType::kDequantize, {x}, {{"zero", {zero}}}, {{"scale", {scale}}});
  }
};

// Every operator once: quantize, convolve, pool, add, concatenate, multiply, dequantize.
Graph network(Maker* m) {
  const ValueId x = m->input("x", Shape{1, 3, 6, 6});
  const ValueId q = m->quantize(x, 0.02f, 60);
  const ValueId w = m->graph.add_const("w", bytes_tensor(DType::kI8, Shape{4, 3, 3, 3}, 1));
  const ValueId scale = m->weight("ws", Shape{4});
  Tensor positive = Tensor::from_f32(Shape{4}, std::vector<float>{0.01f, 0.02f, 0.03f, 0.005f});
  m->graph.value(scale).constant = std::make_shared<const Tensor>(positive);
  const ValueId bias = m->graph.add_const("b", int32_tensor({100, -2000, 30, 4}));
  const Floats two = {{"x_scale", {0.02f}}, {"y_scale", {0.25f}}};
  const ValueId conv = m->quantized(OpType::kQConv, {q, w, scale, bias},
                                    {{"pads", {1, 1, 1, 1}},
                                     {"x_zero", {60}},
                                     {"y_zero", {80}},
                                     {"y_low", {80}},
                                     {"y_high", {255}}},
                                    two);
  const ValueId pooled = m->node(OpType::kMaxPool, {conv}, {{"kernel_shape", {2, 2}}});
  const ValueId mean = m->quantized(OpType::kQAveragePool, {conv},
                                    {{"kernel_shape", {2, 2}}, {"x_zero", {80}}, {"y_zero", {0}}},
                                    {{"x_scale", {0.25f}}, {"y_scale", {0.2f}}});
  const ValueId sum = m->quantized(
      OpType::kQAdd, {pooled, mean},
      {{"a_zero", {80}}, {"b_zero", {0}}, {"y_zero", {3}}, {"y_low", {0}}, {"y_high", {255}}},
      {{"a_scale", {0.25f}}, {"b_scale", {0.2f}}, {"y_scale", {0.5f}}});
  const ValueId both = m->quantized(OpType::kQConcat, {sum, pooled},
                                    {{"axis", {1}}, {"zeros", {3, 80}}, {"y_zero", {3}}},
                                    {{"scales", {0.5f, 0.25f}}, {"y_scale", {0.5f}}});
  const ValueId global =
      m->quantized(OpType::kQGlobalAveragePool, {both}, {{"x_zero", {3}}, {"y_zero", {0}}},
                   {{"x_scale", {0.5f}}, {"y_scale", {0.4f}}});
  const ValueId flat = m->node(OpType::kReshape, {global}, {{"shape", {1, 8}}});
  const ValueId fw = m->graph.add_const("fw", bytes_tensor(DType::kI8, Shape{4, 8}, 5));
  const ValueId out =
      m->quantized(OpType::kQGemm, {flat, fw, scale},
                   {{"x_zero", {0}}, {"y_zero", {128}}, {"y_low", {0}}, {"y_high", {255}}},
                   {{"x_scale", {0.4f}}, {"y_scale", {2.0f}}});
  return m->finish({m->dequantize(out, 2.0f, 128)});
}

TEST(QuantizedEval, ConvIsExact) {
  Maker m;
  network(&m);
  ASSERT_EQ(m.error, "");
  const ValueId conv = m.graph.nodes[1].outputs[0];
  ASSERT_EQ(m.graph.nodes[1].op, OpType::kQConv);
  m.graph.outputs = {conv, m.graph.nodes[0].outputs[0]};
  const Tensor x = GraphMaker::ramp(Shape{1, 3, 6, 6});
  const auto y = eval_graph(m.graph, {x});
  ASSERT_TRUE(y.ok()) << y.error().message();
  ASSERT_EQ((*y)[0].type, DType::kU8);
  const std::vector<int64_t> levels = (*y)[1].to_i64();
  const std::vector<int64_t> result = (*y)[0].to_i64();
  const std::vector<int64_t> w = m.graph.value(m.graph.nodes[1].inputs[1]).constant->to_i64();
  const float scales[] = {0.01f, 0.02f, 0.03f, 0.005f};
  const int64_t bias[] = {100, -2000, 30, 4};
  for (int64_t o = 0; o < 4 * 36; ++o) {
    int64_t acc = bias[o / 36];
    for (int64_t k = 0; k < 27; ++k) {
      const int64_t h = o / 6 % 6 + k / 3 % 3 - 1, v = o % 6 + k % 3 - 1;
      if (h < 0 || h > 5 || v < 0 || v > 5) continue;
      acc += (levels[static_cast<size_t>(k / 9 * 36 + h * 6 + v)] - 60) *
             w[static_cast<size_t>(o / 36 * 27 + k)];
    }
    const float factor = 0.02f * scales[o / 36] / 0.25f;
    const auto want = static_cast<int64_t>(std::nearbyint(static_cast<float>(acc) * factor)) + 80;
    ASSERT_EQ(result[static_cast<size_t>(o)], std::clamp<int64_t>(want, 80, 255)) << o;
  }
}

TEST(QuantizedEval, NetworkRunsAndItsArchitectureRoundTrips) {
  Maker m;
  const Graph graph = network(&m);
  ASSERT_EQ(m.error, "");
  ASSERT_TRUE(verify_graph(graph).ok());
  const auto y = eval_graph(graph, {GraphMaker::ramp(Shape{1, 3, 6, 6})});
  ASSERT_TRUE(y.ok()) << y.error().message();
  EXPECT_EQ((*y)[0].shape, (Shape{1, 4}));
  const Result<Graph> parsed = parse_architecture(serialize_architecture(graph));
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  ASSERT_EQ(parsed->nodes.size(), graph.nodes.size());
  for (const Value& value : parsed->values) {
    EXPECT_TRUE(!value.is_const() || value.constant->data.empty()) << value.name;
  }
}

TEST(QuantizedEval, ParametersOutOfRangeAreErrors) {
  const auto fails = [](const std::function<void(Node&)>& change) {
    Maker m;
    Graph graph = network(&m);
    change(graph.nodes[1]);
    return !verify_graph(graph).ok();
  };
  EXPECT_TRUE(fails([](Node& n) { n.attributes.ints["x_zero"] = {256}; }));
  EXPECT_TRUE(fails([](Node& n) { n.attributes.ints["y_zero"] = {INT64_MIN}; }));
  EXPECT_TRUE(fails([](Node& n) { n.attributes.ints["y_low"] = {-1}; }));
  EXPECT_TRUE(fails([](Node& n) { n.attributes.ints["y_high"] = {79}; }));
  EXPECT_TRUE(fails([](Node& n) { n.attributes.floats["x_scale"] = {0}; }));
  EXPECT_TRUE(fails([](Node& n) { n.attributes.floats.erase("y_scale"); }));
  EXPECT_TRUE(fails([](Node& n) { n.inputs.pop_back(), n.inputs.pop_back(); }));
  EXPECT_TRUE(fails([](Node& n) { std::swap(n.inputs[2], n.inputs[3]); }));
  EXPECT_TRUE(fails([](Node& n) { n.activation.fn = UnaryFn::kRelu; }));
  EXPECT_FALSE(fails([](Node&) {}));
}

TEST(QuantizedEval, ConstantsAreDequantizedPerEntryOfTheAxis) {
  Maker m;
  const ValueId w = m.graph.add_const("w", bytes_tensor(DType::kI8, Shape{2, 3}, 0));
  const ValueId scale =
      m.graph.add_const("s", Tensor::from_f32(Shape{3}, std::vector<float>{1, 2, 4}));
  const ValueId zero = m.graph.add_const("z", Tensor::zeros(DType::kI64, Shape{}));
  m.node(OpType::kDequantizeConst, {w, scale, zero}, {{"axis", {1}}});
  const auto y = eval_node(m.graph, m.graph.nodes[0]);
  ASSERT_TRUE(y.ok()) << y.error().message();
  const std::span<const float> got = (*y)[0].f32();
  // bytes 0, 37, 74, 111, 148 (-108), 185 (-71)
  EXPECT_EQ(std::vector<float>(got.begin(), got.end()),
            (std::vector<float>{0, 74, 296, 111, -216, -284}));
}

}  // namespace
}  // namespace carrel
