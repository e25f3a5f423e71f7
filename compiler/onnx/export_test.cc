// What is exported reads back as the same graph.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "compiler/graph/shape_inference.h"
#include "compiler/onnx/test_model.h"

namespace carrel {
namespace {

Graph image_graph() {
  Graph graph;
  graph.name = "image";
  Value x;
  x.name = "x";
  x.shape = Shape{1, 4, 9, 9};
  x.shape_known = true;
  graph.inputs = {graph.add_value(x)};
  return graph;
}

ValueId append(Graph* graph, Node node, const std::string& name) {
  node.name = name;
  Value value;
  value.name = name + "_out";
  node.outputs = {graph->add_value(value)};
  graph->add_node(node);
  return node.outputs[0];
}

Result<Graph> round_trip(const Graph& graph) {
  CARREL_ASSIGN(const std::vector<std::byte> bytes, export_onnx_bytes(graph));
  ImportOptions options;
  options.fold = eval_node;
  return import_onnx_bytes(bytes, "", options, nullptr);
}

void expect_same_results(Graph graph) {
  ASSERT_TRUE(infer_shapes(&graph).ok());
  const Result<Graph> again = round_trip(graph);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->batch, graph.batch);
  const std::vector<Tensor> inputs = {ramp(graph.value(graph.inputs[0]).shape)};
  const auto before = eval_graph(graph, inputs);
  const auto after = eval_graph(*again, inputs);
  ASSERT_TRUE(before.ok()) << before.error().message();
  ASSERT_TRUE(after.ok()) << after.error().message();
  ASSERT_EQ((*before)[0].shape, (*after)[0].shape);
  for (size_t i = 0; i < (*before)[0].f32().size(); ++i) {
    EXPECT_NEAR((*before)[0].f32()[i], (*after)[0].f32()[i], 2e-6f) << i;
  }
}

void expect_same_node(Node node) {
  Graph graph = image_graph();
  node.inputs = {graph.inputs[0]};
  graph.outputs = {append(&graph, node, op_name(node.op))};
  SCOPED_TRACE(op_name(node.op));
  expect_same_results(graph);
}

TEST(Export, EveryActivation) {
  for (uint8_t fn = 1; fn < static_cast<uint8_t>(UnaryFn::kCount); ++fn) {
    const auto function = static_cast<UnaryFn>(fn);
    if (function == UnaryFn::kSqrt || function == UnaryFn::kLog ||
        function == UnaryFn::kReciprocal) {
      continue;  // not finite on negative input
    }
    SCOPED_TRACE(static_cast<int>(fn));
    Node node;
    node.op = OpType::kUnary;
    node.activation = {function, -0.25f, 0.5f};
    expect_same_node(node);
  }
}

TEST(Export, OperatorsWithAttributes) {
  const auto make = [](OpType op, std::map<std::string, std::vector<int64_t>> ints,
                       std::map<std::string, std::vector<float>> floats = {}) {
    Node node;
    node.op = op;
    node.attributes.ints = std::move(ints);
    node.attributes.floats = std::move(floats);
    return node;
  };
  const Node nodes[] = {
      make(OpType::kMaxPool,
           {{"kernel_shape", {3, 2}}, {"strides", {2, 1}}, {"pads", {1, 0, 2, 1}}}),
      make(OpType::kAveragePool, {{"kernel_shape", {3, 3}},
                                  {"strides", {2, 2}},
                                  {"pads", {0, 0, 1, 1}},
                                  {"pads_counted", {0, 0, 0, 0}},
                                  {"count_include_pad", {0}}}),
      make(OpType::kAveragePool, {{"kernel_shape", {2, 2}},
                                  {"strides", {2, 2}},
                                  {"pads", {0, 0, 1, 1}},
                                  {"pads_counted", {0, 0, 0, 0}},
                                  {"count_include_pad", {1}}}),
      make(OpType::kSlice,
           {{"starts", {8, 0}}, {"ends", {-1, 3}}, {"axes", {2, 1}}, {"steps", {-2, 1}}}),
      make(OpType::kPad, {{"pads", {0, 0, 1, 2, 0, 0, -1, 3}}, {"mode", {1}}}, {{"value", {0}}}),
      make(OpType::kReshape, {{"shape", {1, 18, 18}}}),
      make(OpType::kTranspose, {{"perm", {0, 2, 3, 1}}}),
      make(OpType::kReduceSum, {{"axes", {2, 3}}, {"keepdims", {0}}}),
      make(OpType::kReduceMean, {{"axes", {1}}, {"keepdims", {1}}}),
      make(OpType::kSoftmax, {{"axis", {1}}}),
      make(OpType::kLrn, {{"size", {3}}}, {{"alpha", {0.1f}}, {"beta", {0.75f}}, {"bias", {1}}}),
      make(OpType::kDepthToSpace, {{"blocksize", {2}}, {"mode", {1}}}),
      make(OpType::kSpaceToDepth, {{"blocksize", {3}}}),
      make(OpType::kResize,
           {{"mode", {1}}, {"coordinate", {0}}, {"nearest", {0}}, {"output_shape", {1, 4, 18, 13}}},
           {{"scales", {1, 1, 2, 1.5f}}}),
  };
  for (const Node& node : nodes) expect_same_node(node);
}

TEST(Export, WeightsActivationsAndAffine) {
  Graph graph = image_graph();
  Node conv;
  conv.op = OpType::kConv;
  conv.inputs = {graph.inputs[0], graph.add_const("w", ramp(Shape{6, 4, 3, 3})),
                 graph.add_const("b", ramp(Shape{6}))};
  conv.attributes.ints = {
      {"strides", {1, 1}}, {"pads", {1, 1, 1, 1}}, {"dilations", {1, 1}}, {"group", {1}}};
  conv.activation = {UnaryFn::kClip, 0, 6};
  Node affine;
  affine.op = OpType::kAffine;
  affine.inputs = {append(&graph, conv, "conv"), graph.add_const("scale", ramp(Shape{6})),
                   graph.add_const("shift", ramp(Shape{6}))};
  graph.outputs = {append(&graph, affine, "affine")};
  expect_same_results(graph);
}

TEST(Export, BatchSurvives) {
  for (int64_t batch : {0, 1, 5}) {
    Graph graph = image_graph();
    graph.batch = batch;
    Node node;
    node.op = OpType::kReshape;
    node.inputs = graph.inputs;
    node.attributes.ints["shape"] = {1, 324};
    graph.outputs = {append(&graph, node, "flatten")};
    ASSERT_TRUE(infer_shapes(&graph).ok());
    const auto again = round_trip(graph);
    ASSERT_TRUE(again.ok()) << again.error().message();
    EXPECT_EQ(again->batch, batch);
    EXPECT_EQ(again->value(again->outputs[0]).shape, (Shape{1, 324}));
  }
}

TEST(Export, QuantizedModels) {
  Graph graph = image_graph();
  const auto step = [&](OpType op, ValueId x, const std::string& name) {
    Node node;
    node.op = op;
    node.inputs = {x};
    node.attributes.floats["scale"] = {0.03f};
    node.attributes.ints["zero"] = {77};
    return append(&graph, node, name);
  };
  const auto constant = [&](DType type, const Shape& shape, const std::string& name) {
    Tensor levels = Tensor::zeros(type, shape);
    for (size_t i = 0; i < levels.data.size(); i += dtype_size(type)) {
      levels.data[i] = static_cast<std::byte>(i * 53 % 256);
    }
    Node node;
    node.op = OpType::kDequantizeConst;
    node.attributes.ints["axis"] = {0};
    node.inputs = {
        graph.add_const(name + ".levels", levels),
        graph.add_const(name + ".scale", Tensor::from_f32({2}, std::vector<float>{0.1f, 0.2f})),
        graph.add_const(name + ".zero", Tensor::from_i64({2}, std::vector<int64_t>{0, -3}))};
    return append(&graph, node, name);
  };
  Node conv;
  conv.op = OpType::kConv;
  conv.activation.fn = UnaryFn::kRelu;
  conv.inputs = {step(OpType::kDequantize, step(OpType::kQuantize, graph.inputs[0], "q"), "d"),
                 constant(DType::kI8, Shape{2, 4, 3, 3}, "w"),
                 constant(DType::kI32, Shape{2}, "b")};
  graph.outputs = {append(&graph, conv, "conv")};
  expect_same_results(graph);
}

TEST(Export, FileIsWrittenWholeOrNotAtAll) {
  Graph graph = image_graph();
  Node node;
  node.op = OpType::kUnary;
  node.activation.fn = UnaryFn::kRelu;
  node.inputs = graph.inputs;
  graph.outputs = {append(&graph, node, "relu")};
  ASSERT_TRUE(infer_shapes(&graph).ok());
  const std::filesystem::path folder = ::testing::TempDir() + "carrel_export_test";
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "model.onnx").string();
  ASSERT_TRUE(export_onnx_file(graph, path).ok());
  ImportOptions options;
  options.fold = eval_node;
  EXPECT_TRUE(import_onnx_file(path, options, nullptr).ok());
  const Status bad = export_onnx_file(graph, (folder / "missing" / "model.onnx").string());
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code(), ErrorCode::kIo);
  EXPECT_FALSE(import_onnx_file(folder.string(), options, nullptr).ok());
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files += entry.exists();
  EXPECT_EQ(files, 1u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace carrel
