// Which pixels nearest resizing picks, and what it refuses.
#include <gtest/gtest.h>

#include "compiler/onnx/test_model.h"

namespace carrel {
namespace {

using Values = std::vector<float>;

// The only output for an input that counts up from `first`.
Values resized(const TestModel& model, float first) {
  const Result<Graph> graph = model.import();
  EXPECT_TRUE(graph.ok()) << graph.error().message();
  if (!graph.ok()) return {};
  Tensor x = Tensor::zeros(DType::kF32, graph->value(graph->inputs[0]).shape);
  for (size_t i = 0; i < x.f32().size(); ++i) x.f32()[i] = first + static_cast<float>(i);
  const Result<std::vector<Tensor>> outputs = eval_graph(*graph, {x});
  EXPECT_TRUE(outputs.ok()) << outputs.error().message();
  if (!outputs.ok()) return {};
  return {(*outputs)[0].f32().begin(), (*outputs)[0].f32().end()};
}

Values resized_in_opset_10(std::initializer_list<int64_t> dims, const std::vector<float>& scales) {
  TestModel model(10);
  model.input("x", dims);
  model.floats("scales", {4}, scales);
  model.node("Resize", {"x", "scales"}, {"y"});
  model.output("y");
  return resized(model, 1);
}

TEST(Resize10, ShrinkingRoundsUp) {
  // ONNX's test_resize_downsample_nearest of opset 10.
  EXPECT_EQ(resized_in_opset_10({1, 1, 2, 4}, {1, 1, 0.6f, 0.6f}), (Values{1, 3}));
}

TEST(Resize10, GrowingRoundsDown) {
  EXPECT_EQ(resized_in_opset_10({1, 1, 1, 2}, {1, 1, 2, 1.5f}), (Values{1, 1, 2, 1, 1, 2}));
}

TEST(Resize10, EachAxisRoundsByItsOwnDirection) {
  // Rows 0, 0, 1 of 2; columns 0, ceil(1 / 0.7).
  EXPECT_EQ(resized_in_opset_10({1, 1, 2, 4}, {1, 1, 1.5f, 0.7f}), (Values{1, 3, 1, 3, 5, 7}));
}

TEST(Resize10, WithoutScalingNothingIsDone) {
  EXPECT_EQ(resized_in_opset_10({1, 1, 1, 2}, {1, 1, 1, 1}), (Values{1, 2}));
}

TEST(ResizeByAxes, PositionsAreFloats) {
  TestModel model(11);
  model.input("x", {1, 1, 1, 10});
  model.floats("none", {0}, {});
  model.floats("scales", {4}, {1, 1, 1, 0.3f});
  onnx::NodeProto& node = model.node("Resize", {"x", "none", "scales"}, {"y"});
  set_string(node, "coordinate_transformation_mode", "tf_half_pixel_for_nn");
  set_string(node, "nearest_mode", "floor");
  model.output("y");
  // (1 + 0.5f) / 0.3f is 5, and less than that in double.
  EXPECT_EQ(resized(model, 0), (Values{1, 5, 8}));
}

TEST(ResizeByAxes, AxesMayNotRepeat) {
  TestModel model(18);
  model.input("x", {1, 1, 4, 4});
  model.floats("scales", {2}, {2, 2});
  set_ints(model.node("Resize", {"x", "", "scales"}, {"y"}), "axes", {2, -2});
  model.output("y");
  const Result<Graph> graph = model.import();
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(std::string(graph.error().message()), "node Resize#0: axes repeat");
}

}  // namespace
}  // namespace carrel
