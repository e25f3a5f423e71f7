// What import makes of well-formed models.
#include <gtest/gtest.h>

#include "compiler/onnx/test_model.h"

namespace carrel {
namespace {

std::vector<float> run(const Graph& graph, const Tensor& input) {
  const Result<std::vector<Tensor>> outputs = eval_graph(graph, {input});
  EXPECT_TRUE(outputs.ok()) << outputs.error().message();
  if (!outputs.ok()) return {};
  const auto data = (*outputs)[0].f32();
  return {data.begin(), data.end()};
}

Result<Graph> single(const std::string& op, int opset, std::initializer_list<int64_t> dims,
                     const std::function<void(onnx::NodeProto&)>& configure = {}) {
  TestModel model(opset);
  model.input("x", dims);
  onnx::NodeProto& node = model.node(op, {"x"}, {"y"});
  if (configure) configure(node);
  model.output("y");
  return model.import();
}

TEST(Import, UnsupportedNodesAreAllListed) {
  TestModel model;
  model.input("x", {1, 4});
  model.input("ids", {1, 4}, onnx::TensorProto::INT64);
  model.node("Frobnicate", {"x"}, {"a"}).set_name("first");
  model.node("Relu", {"a"}, {"b"});
  model.node("Whirl", {"b"}, {"c"});
  model.node("Reshape", {"x", "ids"}, {"y"}).set_name("dynamic");
  model.output("c");
  model.output("y");
  std::vector<std::string> unsupported;
  const Result<Graph> graph = model.import(&unsupported);
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(unsupported,
            (std::vector<std::string>{
                "ids: Input: type INT64", "first: Frobnicate: unknown operator",
                "Whirl#2: Whirl: unknown operator", "dynamic: Reshape: shape is not constant"}));
}

TEST(Import, OpsetsOutsideTheRange) {
  for (int opset : {0, 5, 22}) {
    const Result<Graph> graph = single("Relu", opset, {1, 4});
    ASSERT_FALSE(graph.ok());
    EXPECT_EQ(graph.error().code(), ErrorCode::kUnsupported);
  }
  EXPECT_TRUE(single("Relu", 7, {1, 4}).ok());
  EXPECT_TRUE(single("Relu", 21, {1, 4}).ok());
}

TEST(Import, OlderOpsetsWhereTheDefinitionIsThatOfOpset7) {
  EXPECT_TRUE(single("Relu", 6, {1, 4}).ok());
  EXPECT_TRUE(single("Softplus", 1, {1, 4}).ok());
  TestModel add(6);  // broadcasts by attribute
  add.input("x", {1, 4});
  add.node("Add", {"x", "x"}, {"y"});
  add.output("y");
  std::vector<std::string> unsupported;
  ASSERT_FALSE(add.import(&unsupported).ok());
  EXPECT_EQ(unsupported, (std::vector<std::string>{"Add#0: Add: its definition of opset 6"}));
}

TEST(Import, FrozenDoublesBecomeFloats) {
  TestModel model;
  model.input("x", {2}, onnx::TensorProto::DOUBLE);
  set_int(model.node("Cast", {"x"}, {"y"}), "to", onnx::TensorProto::FLOAT);
  model.output("y");
  ImportOptions options;
  options.fold = eval_node;
  Tensor doubles = Tensor::zeros(DType::kF64, Shape{2});
  const double values[] = {0.5, -3};
  std::memcpy(doubles.data.data(), values, sizeof(values));
  options.frozen_inputs["x"] = doubles;
  const std::string bytes = model.bytes();
  std::vector<std::string> unsupported;
  const auto graph = import_onnx_bytes(std::as_bytes(std::span(bytes)), "/", options, &unsupported);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const auto outputs = eval_graph(*graph, {});
  ASSERT_TRUE(outputs.ok()) << outputs.error().message();
  EXPECT_EQ((*outputs)[0].f32()[0], 0.5f);
  EXPECT_EQ((*outputs)[0].f32()[1], -3.0f);
}

TEST(Import, DropoutKeepsEverything) {
  TestModel model;
  model.input("x", {2, 3});
  model.node("Dropout", {"x"}, {"y", "mask"});
  set_int(model.node("Cast", {"mask"}, {"kept"}), "to", onnx::TensorProto::FLOAT);
  model.output("y");
  model.output("kept");
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const auto outputs = eval_batch(*graph, {ramp(Shape{2, 3})});
  ASSERT_TRUE(outputs.ok()) << outputs.error().message();
  for (float kept : (*outputs)[1].f32()) EXPECT_EQ(kept, 1.0f);
}

TEST(Import, SoftmaxChangedAtOpset13) {
  const auto last = single("Softmax", 13, {1, 2, 3});
  ASSERT_TRUE(last.ok());
  const auto flat = single("Softmax", 12, {1, 2, 3});
  ASSERT_TRUE(flat.ok());
  const std::vector<float> by_row = run(*last, ramp(Shape{1, 2, 3}));
  const std::vector<float> all = run(*flat, ramp(Shape{1, 2, 3}));
  EXPECT_NEAR(by_row[0] + by_row[1] + by_row[2], 1, 1e-6);
  float sum = 0;
  for (float value : all) sum += value;
  EXPECT_NEAR(sum, 1, 1e-6);
}

TEST(Import, ClipBoundsAsAttributesAndInputs) {
  const auto old = single("Clip", 7, {1, 4}, [](onnx::NodeProto& node) {
    set_float(node, "min", -0.5f);
    set_float(node, "max", 0.25f);
  });
  ASSERT_TRUE(old.ok());
  TestModel model(13);
  model.input("x", {1, 4});
  model.floats("low", {}, {-0.5f});
  model.floats("high", {}, {0.25f});
  model.node("Clip", {"x", "low", "high"}, {"y"});
  model.output("y");
  const auto recent = model.import();
  ASSERT_TRUE(recent.ok());
  EXPECT_EQ(old->nodes[0].activation, recent->nodes[0].activation);
  EXPECT_EQ(old->nodes[0].activation, (Unary{UnaryFn::kClip, -0.5f, 0.25f}));
}

TEST(Import, CeilModeBecomesEndPadding) {
  const auto pool = [](int64_t size, int64_t kernel, int64_t stride, int64_t pad) {
    return single("MaxPool", 12, {1, 1, size}, [&](onnx::NodeProto& node) {
      set_ints(node, "kernel_shape", {kernel});
      set_ints(node, "strides", {stride});
      set_ints(node, "pads", {pad, pad});
      set_int(node, "ceil_mode", 1);
    });
  };
  const auto grown = pool(6, 3, 2, 0);
  ASSERT_TRUE(grown.ok());
  EXPECT_EQ(grown->value(grown->outputs[0]).shape, (Shape{1, 1, 3}));
  EXPECT_EQ(grown->nodes[0].attributes.int_list("pads"), (std::vector<int64_t>{0, 1}));
  // The third window would start in the end padding.
  const auto dropped = pool(3, 2, 2, 1);
  ASSERT_TRUE(dropped.ok());
  EXPECT_EQ(dropped->value(dropped->outputs[0]).shape, (Shape{1, 1, 2}));
}

TEST(Import, AutoPadSame) {
  TestModel model(11);
  model.input("x", {1, 1, 5, 5});
  model.floats("w", {1, 1, 2, 2}, {1, 1, 1, 1});
  set_string(model.node("Conv", {"x", "w"}, {"upper"}), "auto_pad", "SAME_UPPER");
  set_string(model.node("Conv", {"x", "w"}, {"lower"}), "auto_pad", "SAME_LOWER");
  model.output("upper");
  model.output("lower");
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  EXPECT_EQ(graph->nodes[0].attributes.int_list("pads"), (std::vector<int64_t>{0, 0, 1, 1}));
  EXPECT_EQ(graph->nodes[1].attributes.int_list("pads"), (std::vector<int64_t>{1, 1, 0, 0}));
}

TEST(Import, ShapeChainsFold) {
  // x.view(x.size(0), -1) as exporters write it, with a symbolic batch.
  TestModel model(13);
  model.input("x", {0, 2, 3});
  model.ints("first", {0});
  model.ints("rest", {-1});
  model.node("Shape", {"x"}, {"shape"});
  model.node("Gather", {"shape", "first"}, {"n"});
  model.node("Concat", {"n", "rest"}, {"target"});
  set_int(*model.graph().mutable_node(2), "axis", 0);
  model.node("Reshape", {"x", "target"}, {"y"});
  model.output("y");
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  ASSERT_EQ(graph->nodes.size(), 1u);
  EXPECT_EQ(graph->nodes[0].op, OpType::kReshape);
  EXPECT_EQ(graph->value(graph->outputs[0]).shape, (Shape{1, 6}));
  EXPECT_EQ(graph->batch, 0);
}

TEST(Import, ConcatLeavesOutEmptyConstants) {
  const auto concat = [](std::initializer_list<int64_t> empty) {
    TestModel model;
    model.input("x", {1, 2, 3});
    model.floats("none", empty, {});
    set_int(model.node("Concat", {"none", "x"}, {"y"}), "axis", 1);
    model.output("y");
    return model.import();
  };
  const auto fits = concat({1, 0, 3});
  ASSERT_TRUE(fits.ok()) << fits.error().message();
  EXPECT_EQ(fits->nodes[0].inputs, fits->inputs);
  EXPECT_EQ(run(*fits, ramp(Shape{1, 2, 3})).size(), 6u);
  const auto other = concat({1, 0, 4});
  ASSERT_FALSE(other.ok());
  EXPECT_NE(std::string(other.error().message()).find("node Concat#0"), std::string::npos);
}

TEST(Import, UnsortedNodesAreSorted) {
  TestModel model;
  model.input("x", {1, 4});
  model.node("Relu", {"a"}, {"y"});
  model.node("Sigmoid", {"x"}, {"a"});
  model.output("y");
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(graph->nodes[0].activation.fn, UnaryFn::kSigmoid);
}

TEST(Import, OutputsKeepTheirNames) {
  TestModel model;
  model.input("x", {1, 4});
  model.node("Relu", {"x"}, {"r"});
  model.node("Identity", {"r"}, {"first"});
  model.node("Identity", {"r"}, {"second"});
  model.node("Identity", {"x"}, {"third"});
  for (const char* name : {"first", "second", "third"}) model.output(name);
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok());
  std::vector<std::string> names;
  for (ValueId id : graph->outputs) names.push_back(graph->value(id).name);
  EXPECT_EQ(names, (std::vector<std::string>{"first", "second", "third"}));
  EXPECT_EQ(graph->value(graph->inputs[0]).name, "x");
}

TEST(Import, LongNamesOfInputsAndOutputsAreKept) {
  const std::string stem(300, 'n');
  TestModel model;
  model.input(stem + "1", {1, 4});
  model.input(stem + "2", {1, 4});
  model.node("Add", {stem + "1", stem + "2"}, {stem + "3"});
  model.node("Relu", {stem + "3"}, {stem + "4"});
  for (const char* end : {"3", "4"}) model.output(stem + end);
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  std::vector<std::string> names;
  for (ValueId id : graph->inputs) names.push_back(graph->value(id).name);
  for (ValueId id : graph->outputs) names.push_back(graph->value(id).name);
  EXPECT_EQ(names, (std::vector<std::string>{stem + "1", stem + "2", stem + "3", stem + "4"}));
}

TEST(Import, HalfAndDoubleWeightsBecomeFloat) {
  TestModel model;
  model.input("x", {1, 2});
  onnx::TensorProto& half = model.floats("h", {2}, {});
  half.set_data_type(onnx::TensorProto::FLOAT16);
  half.add_int32_data(0x3c00);  // 1
  half.add_int32_data(0x8001);  // -2^-24
  onnx::TensorProto& brain = model.floats("b", {2}, {});
  brain.set_data_type(onnx::TensorProto::BFLOAT16);
  brain.set_raw_data(std::string("\x80\x3f\x00\xc0", 4));  // 1, -2
  onnx::TensorProto& wide = model.floats("d", {2}, {});
  wide.set_data_type(onnx::TensorProto::DOUBLE);
  wide.add_double_data(0.5);
  wide.add_double_data(0.25);
  model.node("Sum", {"x", "h", "b", "d"}, {"y"});
  model.output("y");
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  EXPECT_EQ(run(*graph, Tensor::zeros(DType::kF32, Shape{1, 2})),
            (std::vector<float>{2.5f, -0x1p-24f - 2 + 0.25f}));
}

TEST(Import, FrozenInputsAndSymbols) {
  TestModel model;
  model.input("x", {1, 6});
  model.input("shape", {2}, onnx::TensorProto::INT64);
  model.node("Reshape", {"x", "shape"}, {"y"});
  model.output("y");
  ImportOptions options;
  options.fold = eval_node;
  options.frozen_inputs["shape"] = Tensor::from_i64(Shape{2}, std::vector<int64_t>{2, 3});
  const std::string data = model.bytes();
  const auto graph = import_onnx_bytes(std::as_bytes(std::span(data)), "", options, nullptr);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  EXPECT_EQ(graph->inputs.size(), 1u);
  EXPECT_EQ(graph->value(graph->outputs[0]).shape, (Shape{2, 3}));
}

TEST(RecentOpsets, ListsMovedToInputs) {
  TestModel model(18);
  model.input("x", {1, 5, 4});
  model.ints("axes", {-1});
  model.ints("pads", {1, 2});
  model.node("ReduceMean", {"x", "axes"}, {"mean"});
  model.node("Pad", {"x", "pads", "", "axes"}, {"padded"});
  onnx::NodeProto& split = model.node("Split", {"x"}, {"a", "b"});
  set_int(split, "axis", 1);
  set_int(split, "num_outputs", 2);
  for (const char* name : {"mean", "padded", "a", "b"}) model.output(name);
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  std::vector<Shape> shapes;
  for (ValueId id : graph->outputs) shapes.push_back(graph->value(id).shape);
  EXPECT_EQ(shapes,
            (std::vector<Shape>{Shape{1, 5, 1}, Shape{1, 5, 7}, Shape{1, 3, 4}, Shape{1, 2, 4}}));
}

TEST(RecentOpsets, ResizeAxesAndAspect) {
  const auto resize = [](const std::string& policy) {
    TestModel model(18);
    model.input("x", {1, 1, 4, 8});
    model.ints("sizes", {8, 8});
    onnx::NodeProto& node = model.node("Resize", {"x", "", "", "sizes"}, {"y"});
    set_ints(node, "axes", {2, 3});
    set_string(node, "mode", "linear");
    set_string(node, "keep_aspect_ratio_policy", policy);
    model.output("y");
    const auto graph = model.import();
    EXPECT_TRUE(graph.ok()) << graph.error().message();
    return graph.ok() ? graph->value(graph->outputs[0]).shape : Shape{};
  };
  EXPECT_EQ(resize("stretch"), (Shape{1, 1, 8, 8}));
  EXPECT_EQ(resize("not_larger"), (Shape{1, 1, 4, 8}));
  EXPECT_EQ(resize("not_smaller"), (Shape{1, 1, 8, 16}));
}

TEST(RecentOpsets, GeluAndDilatedAveragePool) {
  const auto gelu = single("Gelu", 20, {1, 4},
                           [](onnx::NodeProto& node) { set_string(node, "approximate", "tanh"); });
  ASSERT_TRUE(gelu.ok());
  EXPECT_EQ(gelu->nodes[0].activation.fn, UnaryFn::kGeluTanh);
  const auto pool = single("AveragePool", 19, {1, 1, 7}, [](onnx::NodeProto& node) {
    set_ints(node, "kernel_shape", {2});
    set_ints(node, "dilations", {3});
  });
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ(pool->value(pool->outputs[0]).shape, (Shape{1, 1, 4}));
}

TEST(Import, ResizeModesThatAreNotDone) {
  for (const auto& [name, value] : {std::pair<const char*, const char*>{"mode", "cubic"},
                                    {"coordinate_transformation_mode", "spiral"}}) {
    TestModel model(13);
    model.input("x", {1, 1, 4, 4});
    model.floats("scales", {4}, {1, 1, 2, 2});
    set_string(model.node("Resize", {"x", "", "scales"}, {"y"}), name, value);
    model.output("y");
    std::vector<std::string> unsupported;
    ASSERT_FALSE(model.import(&unsupported).ok());
    ASSERT_EQ(unsupported.size(), 1u);
    EXPECT_NE(unsupported[0].find(value), std::string::npos);
  }
}

TEST(Import, BatchNormalizationBecomesAffine) {
  TestModel model(9);
  model.input("x", {1, 2, 3});
  model.floats("scale", {2}, {2, 4});
  model.floats("bias", {2}, {1, 1});
  model.floats("mean", {2}, {3, 0});
  model.floats("var", {2}, {4, 16});
  set_float(model.node("BatchNormalization", {"x", "scale", "bias", "mean", "var"}, {"y"}),
            "epsilon", 0);
  model.output("y");
  const auto graph = model.import();
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  ASSERT_EQ(graph->nodes[0].op, OpType::kAffine);
  const auto scale = graph->value(graph->nodes[0].inputs[1]).constant->f32();
  const auto shift = graph->value(graph->nodes[0].inputs[2]).constant->f32();
  EXPECT_EQ(std::vector<float>(scale.begin(), scale.end()), (std::vector<float>{1, 1}));
  EXPECT_EQ(std::vector<float>(shift.begin(), shift.end()), (std::vector<float>{-2, 1}));
}

TEST(Import, TrainingIsRefused) {
  TestModel model;
  model.input("x", {1, 4});
  model.floats("ratio", {}, {0.5f});
  onnx::TensorProto& training = model.ints("training", {1});
  training.set_data_type(onnx::TensorProto::BOOL);
  training.clear_int64_data();
  training.add_int32_data(1);
  model.node("Dropout", {"x", "ratio", "training"}, {"y"});
  model.output("y");
  std::vector<std::string> unsupported;
  ASSERT_FALSE(model.import(&unsupported).ok());
  EXPECT_EQ(unsupported, (std::vector<std::string>{"Dropout#0: Dropout: training"}));
}

}  // namespace
}  // namespace carrel
