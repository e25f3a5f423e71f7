// Import of quantized models.
#include <gtest/gtest.h>

#include <cmath>

#include "compiler/onnx/test_model.h"

namespace carrel {
namespace {

template <typename T>
void bytes_tensor(TestModel* model, const std::string& name, std::initializer_list<int64_t> dims,
                  int type, const std::vector<T>& values) {
  onnx::TensorProto* t = model->graph().add_initializer();
  t->set_name(name);
  t->set_data_type(type);
  for (int64_t d : dims) t->add_dims(d);
  t->set_raw_data(values.data(), values.size() * sizeof(T));
}
void u8(TestModel* model, const std::string& name, std::initializer_list<int64_t> dims,
        const std::vector<uint8_t>& values) {
  bytes_tensor(model, name, dims, onnx::TensorProto::UINT8, values);
}
void s8(TestModel* model, const std::string& name, std::initializer_list<int64_t> dims,
        const std::vector<int8_t>& values) {
  bytes_tensor(model, name, dims, onnx::TensorProto::INT8, values);
}

std::vector<float> run(const Graph& graph, const Tensor& x, size_t output = 0) {
  const auto y = eval_graph(graph, {x});
  EXPECT_TRUE(y.ok()) << y.error().message();
  if (!y.ok()) return {};
  return {(*y)[output].f32().begin(), (*y)[output].f32().end()};
}

int count(const Graph& graph, OpType op) {
  int n = 0;
  for (const Node& node : graph.nodes) n += node.op == op;
  return n;
}

Result<Graph> optimized(const TestModel& model) {
  CARREL_ASSIGN(Graph graph, model.import());
  return optimize(std::move(graph), eval_node);
}

TEST(ImportQuantized, SignedAndUnsignedLevels) {
  for (bool is_signed : {false, true}) {
    TestModel model;
    model.input("x", {1, 4});
    model.floats("s", {}, {0.5f});
    is_signed ? s8(&model, "z", {}, {-3}) : u8(&model, "z", {}, {125});
    model.node("QuantizeLinear", {"x", "s", "z"}, {"q"});
    model.node("DequantizeLinear", {"q", "s", "z"}, {"y"});
    model.output("y");
    model.output("q");
    const auto graph = model.import();
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    const Tensor x = Tensor::from_f32({1, 4}, std::vector<float>{0.25f, 0.75f, -1000, 1000});
    const std::vector<float> levels =
        is_signed ? std::vector<float>{-3, -1, -128, 127} : std::vector<float>{125, 127, 0, 255};
    EXPECT_EQ(run(*graph, x), (std::vector<float>{0, 1, -62.5f, 65}));
    EXPECT_EQ(run(*graph, x, 1), levels);
    for (const Value& value : graph->values)
      EXPECT_TRUE(value.is_const() || value.type != DType::kI8);
  }
}

TEST(ImportQuantized, PerAxisScalesOfRunTimeValues) {
  TestModel model(13);
  model.input("x", {1, 2, 2});
  model.floats("s", {2}, {0.5f, 2});
  u8(&model, "z", {2}, {10, 20});
  set_int(model.node("QuantizeLinear", {"x", "s", "z"}, {"q"}), "axis", 1);
  set_int(model.node("DequantizeLinear", {"q", "s", "z"}, {"y"}), "axis", -2);
  model.output("y");
  model.output("q");
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const Tensor x = Tensor::from_f32({1, 2, 2}, std::vector<float>{1.3f, -100, 7, 9000});
  EXPECT_EQ(run(*graph, x, 1), (std::vector<float>{13, 0, 24, 255}));  // 3.5 rounds to 4
  EXPECT_EQ(run(*graph, x), (std::vector<float>{1.5f, -5, 8, 470}));
}

TEST(ImportQuantized, QLinearConvFusesLikeItsParts) {
  TestModel model;
  model.input("x", {1, 1, 3, 3}, onnx::TensorProto::UINT8);
  model.floats("xs", {}, {0.5f});
  u8(&model, "xz", {}, {4});
  s8(&model, "w", {2, 1, 2, 2}, {1, 2, 3, 4, -1, -2, 100, 5});
  model.floats("ws", {2}, {0.25f, 0.5f});
  s8(&model, "wz", {2}, {0, 0});
  model.floats("ys", {}, {2});
  u8(&model, "yz", {}, {30});
  bytes_tensor(&model, "b", {2}, onnx::TensorProto::INT32, std::vector<int32_t>{8, -16});
  set_ints(model.node("QLinearConv", {"x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"}, {"y"}),
           "pads", {0, 0, 1, 1});
  model.output("y");
  const auto graph = optimized(model);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  EXPECT_EQ(count(*graph, OpType::kQConv), 1);
  const Tensor x =
      Tensor::from_f32({1, 1, 3, 3}, std::vector<float>{0, 50, 9, 4, 7, 200, 255, 1, 3});
  const std::vector<float> y = run(*graph, x);
  const int w[] = {1, 2, 3, 4, -1, -2, 100, 5};
  const int bias[] = {8, -16};
  for (int o = 0; o < 18; ++o) {
    int acc = bias[o / 9];
    for (int k = 0; k < 4; ++k) {
      const int h = o / 3 % 3 + k / 2, v = o % 3 + k % 2;
      if (h < 3 && v < 3) {
        acc += (static_cast<int>(x.f32()[static_cast<size_t>(h * 3 + v)]) - 4) * w[o / 9 * 4 + k];
      }
    }
    const double factor = 0.5 * (o < 9 ? 0.25 : 0.5) / 2;
    const double want = std::min(255.0, std::max(0.0, std::nearbyint(acc * factor) + 30));
    EXPECT_EQ(static_cast<double>(y[static_cast<size_t>(o)]), want) << o;
  }
}

// A file may list fewer outputs than the operator has.
TEST(ImportQuantized, OutputsThatNobodyNames) {
  TestModel model;
  model.input("x", {2, 3});
  model.node("DynamicQuantizeLinear", {"x"}, {"q"});
  model.output("q");
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const Tensor x = Tensor::from_f32({2, 3}, std::vector<float>{0, 0, 0, 255, 1, 2});
  EXPECT_EQ(run(*graph, x), (std::vector<float>{0, 0, 0, 255, 1, 2}));
}

TEST(ImportQuantized, IntegerProductsAndDynamicScales) {
  TestModel model;
  model.input("x", {2, 3});
  model.node("DynamicQuantizeLinear", {"x"}, {"q", "s", "z"});
  s8(&model, "w", {3, 2}, {1, -2, 3, 4, -128, 127});
  s8(&model, "wz", {}, {1});
  model.node("MatMulInteger", {"q", "w", "z", "wz"}, {"sums"});
  set_int(model.node("Cast", {"sums"}, {"floats"}), "to", onnx::TensorProto::FLOAT);
  model.node("Mul", {"floats", "s"}, {"y"});
  model.output("y");
  model.output("q");
  model.output("z");
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const Tensor x = Tensor::from_f32({2, 3}, std::vector<float>{-1, 0, 1, 1.5f, 0.3f, 0.7f});
  const float scale = 2.5f / 255;
  std::vector<float> levels;
  for (float v : x.f32()) levels.push_back(std::nearbyint(v / scale) + 102);
  EXPECT_EQ(run(*graph, x, 1), levels);
  EXPECT_EQ(run(*graph, x, 2), (std::vector<float>{102}));
  const int w[] = {1, -2, 3, 4, -128, 127};
  const std::vector<float> y = run(*graph, x);
  for (size_t o = 0; o < 4; ++o) {
    float acc = 0;
    for (size_t k = 0; k < 3; ++k) {
      acc += (levels[o / 2 * 3 + k] - 102) * static_cast<float>(w[k * 2 + o % 2] - 1);
    }
    EXPECT_FLOAT_EQ(y[o], acc * scale);
  }
}

TEST(ImportQuantized, WhatIsNotSupportedIsSaid) {
  TestModel model(21);
  model.input("x", {1, 4});
  model.floats("s", {}, {0.5f});
  model.floats("run", {}, {0.5f});
  set_int(model.node("QuantizeLinear", {"x", "s"}, {"q"}), "output_dtype",
          onnx::TensorProto::INT16);
  set_int(model.node("QuantizeLinear", {"x", "s"}, {"r"}), "block_size", 2);
  model.output("q");
  model.output("r");
  std::vector<std::string> unsupported;
  EXPECT_FALSE(model.import(&unsupported).ok());
  EXPECT_EQ(unsupported,
            (std::vector<std::string>{"QuantizeLinear#0: QuantizeLinear: to type INT16",
                                      "QuantizeLinear#1: QuantizeLinear: blocked scales"}));
}

}  // namespace
}  // namespace carrel
