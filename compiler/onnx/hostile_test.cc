// Files that are wrong on purpose: each is refused with one clear message.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "compiler/onnx/test_model.h"

namespace carrel {
namespace {

void expect_invalid(const TestModel& model, const std::string& part) {
  const Result<Graph> graph = model.import();
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.error().code(), ErrorCode::kInvalidInput) << graph.error().message();
  EXPECT_NE(std::string(graph.error().message()).find(part), std::string::npos)
      << graph.error().message();
}

TestModel relu_model() {
  TestModel model;
  model.input("x", {1, 4});
  model.node("Relu", {"x"}, {"y"});
  model.output("y");
  return model;
}

TestModel weight_model() {
  TestModel model;
  model.input("x", {1, 4});
  model.node("Add", {"x", "w"}, {"y"});
  model.output("y");
  return model;
}

Result<Graph> import_string(const std::string& data) {
  ImportOptions options;
  options.fold = eval_node;
  std::vector<std::string> unsupported;
  return import_onnx_bytes(std::as_bytes(std::span(data)), "", options, &unsupported);
}

TEST(Hostile, NotOnnx) {
  for (const std::string& data : {std::string(), std::string("hello, world"),
                                  std::string(100, '\0'), std::string("\x08\x08", 2)}) {
    const Result<Graph> graph = import_string(data);
    ASSERT_FALSE(graph.ok());
    EXPECT_EQ(graph.error().code(), ErrorCode::kInvalidInput);
  }
}

TEST(Hostile, EveryTruncationIsRefusedOrMeansLess) {
  TestModel model = weight_model();
  model.floats("w", {1, 4}, {1, 2, 3, 4});
  const std::string data = model.bytes();
  ASSERT_TRUE(import_string(data).ok());
  int refused = 0;
  for (size_t size = 0; size < data.size(); ++size)
    refused += !import_string(data.substr(0, size)).ok();
  // Only a cut at the last boundary between top-level fields can leave a whole model.
  EXPECT_GE(refused, static_cast<int>(data.size()) - 1);
}

TEST(Hostile, FlippedBytesNeverCrash) {
  TestModel model = weight_model();
  model.floats("w", {1, 4}, {1, 2, 3, 4});
  const std::string data = model.bytes();
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string changed = data;
    for (auto flips = 1 + random() % 3; flips > 0; --flips) {
      changed[random() % changed.size()] = static_cast<char>(random());
    }
    (void)import_string(changed).ok();
  }
}

TEST(Hostile, HugeTensorInASmallFile) {
  TestModel model = weight_model();
  onnx::TensorProto& w = model.floats("w", {1 << 20, 1280}, {});
  w.set_raw_data("abcd");
  expect_invalid(model, "tensor w");
  w.clear_raw_data();
  expect_invalid(model, "tensor w");
  w.set_dims(0, int64_t{1} << 62);
  expect_invalid(model, "tensor w");
  w.set_dims(0, -4);
  expect_invalid(model, "tensor w");
}

TEST(Hostile, RawDataOfAnotherLength) {
  TestModel model = weight_model();
  model.floats("w", {1, 4}, {}).set_raw_data(std::string(15, 'a'));
  expect_invalid(model, "do not agree");
}

TEST(Hostile, TooManyDimensions) {
  TestModel model = weight_model();
  model.floats("w", {1, 1, 1, 1, 1, 1, 1, 1, 4}, {1, 2, 3, 4});
  expect_invalid(model, "more than 8 dimensions");
}

TEST(Hostile, NotFiniteWeights) {
  TestModel nan = weight_model();
  nan.floats("w", {1, 4}, {1, NAN, 3, 4});
  expect_invalid(nan, "tensor w: it holds NaN");
  TestModel infinite = weight_model();
  infinite.floats("w", {1, 4}, {1, 2, INFINITY, 4});
  expect_invalid(infinite, "tensor w");
}

TEST(Hostile, Cycle) {
  TestModel model;
  model.input("x", {1, 4});
  model.node("Add", {"x", "b"}, {"a"});
  model.node("Relu", {"a"}, {"b"}).set_name("loop");
  model.output("b");
  expect_invalid(model, "cycle");
}

TEST(Hostile, NamesUndefinedOrRepeated) {
  TestModel undefined = relu_model();
  undefined.node("Relu", {"nothing"}, {"z"});
  expect_invalid(undefined, "'nothing' is not defined");
  TestModel repeated = relu_model();
  repeated.node("Relu", {"x"}, {"y"});
  expect_invalid(repeated, "defined twice");
  TestModel inputs = relu_model();
  inputs.input("x", {1, 4});
  expect_invalid(inputs, "listed twice");
  TestModel output = relu_model();
  output.output("z");
  expect_invalid(output, "'z' is not defined");
  TestModel outputs = relu_model();
  outputs.output("y");
  expect_invalid(outputs, "graph output 'y': it is unnamed or listed twice");
}

TEST(Hostile, NamesThatAreNoIdentity) {
  TestModel inputs;
  inputs.input("a\x01", {1, 4});
  inputs.input("a\x02", {1, 4});
  inputs.node("Add", {"a\x01", "a\x02"}, {"y"});
  inputs.output("y");
  expect_invalid(inputs, "graph input 'a?': its name has control characters");
  TestModel output;
  output.input("x", {1, 4});
  output.node("Relu", {"x"}, {"y\n"});
  output.output("y\n");
  expect_invalid(output, "graph output 'y?': its name has control characters");
  TestModel endless;
  endless.input(std::string(5000, 'x'), {1, 4});
  endless.node("Relu", {std::string(5000, 'x')}, {"y"});
  endless.output("y");
  expect_invalid(endless, "its name is too long");
}

TEST(Hostile, ShapesThatDoNotFit) {
  TestModel model = weight_model();
  model.floats("w", {1, 3}, {1, 2, 3});
  expect_invalid(model, "do not broadcast");
}

TEST(Hostile, WrongAttributeType) {
  TestModel model;
  model.input("x", {1, 4});
  onnx::NodeProto& node = model.node("Softmax", {"x"}, {"y"});
  set_string(node, "axis", "last");
  model.output("y");
  expect_invalid(model, "attribute axis");
}

TEST(Hostile, NotANumberAmongAttributes) {
  TestModel model;
  model.input("x", {1, 2});
  set_floats(model.node("Constant", {}, {"c"}), "value_floats", {1, NAN});
  model.node("Add", {"x", "c"}, {"y"});
  model.output("y");
  expect_invalid(model, "node Constant#0: attribute value_floats has the wrong type or is NaN");
}

TEST(Hostile, ConstantsThatGrow) {
  TestModel model;
  model.input("x", {1, 4});
  model.ints("shape", {1 << 20, 1 << 19});
  model.node("ConstantOfShape", {"shape"}, {"big"});
  model.node("Add", {"x", "big"}, {"y"});
  model.output("y");
  expect_invalid(model, "ConstantOfShape#0");
}

TEST(Hostile, NewlinesInNamesStayOut) {
  TestModel model = relu_model();
  model.node("Mystery\nOperator", {"x"}, {"z"}).set_name("two\nlines");
  std::vector<std::string> unsupported;
  ASSERT_FALSE(model.import(&unsupported).ok());
  ASSERT_EQ(unsupported.size(), 1u);
  EXPECT_EQ(unsupported[0], "two?lines: Mystery?Operator: unknown operator");
}

class ExternalData : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "carrel_external_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    std::filesystem::create_directory(root_ / "model");
    write(root_ / "model" / "weights.bin");
    write(root_ / "outside.bin");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  static void write(const std::filesystem::path& path) {
    const float values[6] = {9, 1, 2, 3, 4, 9};
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(values), sizeof(values));
  }
  static TestModel model(const std::string& location, int64_t offset, int64_t length) {
    TestModel model = weight_model();
    onnx::TensorProto& w = model.floats("w", {1, 4}, {});
    w.set_data_location(onnx::TensorProto::EXTERNAL);
    const std::pair<const char*, std::string> entries[] = {{"location", location},
                                                           {"offset", std::to_string(offset)},
                                                           {"length", std::to_string(length)}};
    for (const auto& [key, value] : entries) {
      onnx::StringStringEntryProto* entry = w.add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    }
    return model;
  }
  Result<Graph> import(const std::string& location, int64_t offset = 4, int64_t length = 16) {
    return model(location, offset, length).import(nullptr, (root_ / "model").string());
  }
  void expect_refused(const Result<Graph>& graph, const std::string& part) {
    ASSERT_FALSE(graph.ok());
    EXPECT_EQ(graph.error().code(), ErrorCode::kInvalidInput);
    EXPECT_NE(std::string(graph.error().message()).find(part), std::string::npos)
        << graph.error().message();
  }
  std::filesystem::path root_;
};

TEST_F(ExternalData, IsRead) {
  const Result<Graph> graph = import("weights.bin");
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const Tensor& weight = *graph->value(graph->nodes[0].inputs[1]).constant;
  EXPECT_EQ(std::vector<float>(weight.f32().begin(), weight.f32().end()),
            (std::vector<float>{1, 2, 3, 4}));
}

TEST_F(ExternalData, MissingShortOrOdd) {
  expect_refused(import("nowhere.bin"), "missing");
  expect_refused(import("weights.bin", 12), "too short");
  expect_refused(import("weights.bin", -4), "not a number");
  expect_refused(import("weights.bin", 4, 12), "length");
  expect_refused(import("."), "outside");
}

TEST_F(ExternalData, MayNotLeaveTheFolder) {
  expect_refused(import("../outside.bin"), "outside");
  expect_refused(import((root_ / "outside.bin").string()), "outside");
  expect_refused(import("x/../../outside.bin"), "outside");
  std::filesystem::create_symlink(root_ / "outside.bin", root_ / "model" / "link.bin");
  expect_refused(import("link.bin"), "outside");
  std::filesystem::create_directory_symlink(root_, root_ / "model" / "up");
  expect_refused(import("up/outside.bin"), "outside");
}

TEST_F(ExternalData, OnlyRegularFiles) {
  ASSERT_EQ(mkfifo((root_ / "model" / "pipe").c_str(), 0600), 0);
  expect_refused(import("pipe"), "cannot be read");
}

}  // namespace
}  // namespace carrel
