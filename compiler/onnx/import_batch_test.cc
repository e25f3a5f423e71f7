// Which batches become an outer loop over images.
#include <gtest/gtest.h>

#include "compiler/onnx/test_model.h"

namespace carrel {
namespace {

TestModel classifier(int64_t batch, const std::vector<int64_t>& target) {
  TestModel model;
  model.input("x", {batch, 2, 2});
  model.ints("target", target);
  model.floats("w", {4, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  model.node("Reshape", {"x", "target"}, {"flat"});
  model.node("MatMul", {"flat", "w"}, {"y"});
  model.output("y");
  return model;
}

TEST(Batch, SymbolicAndFixedBecomeAnOuterLoop) {
  const auto symbolic = classifier(0, {-1, 4}).import();
  ASSERT_TRUE(symbolic.ok());
  EXPECT_EQ(symbolic->batch, 0);
  const auto fixed = classifier(8, {8, -1}).import();
  ASSERT_TRUE(fixed.ok());
  EXPECT_EQ(fixed->batch, 8);
  EXPECT_EQ(fixed->value(fixed->inputs[0]).shape, (Shape{1, 2, 2}));
  const auto images = eval_batch(*fixed, {ramp(Shape{8, 2, 2})});
  ASSERT_TRUE(images.ok());
  EXPECT_EQ((*images)[0].shape, (Shape{8, 3}));
}

TEST(Batch, WhatMixesImagesStaysWhole) {
  TestModel model;
  model.input("x", {4, 6});
  set_ints(model.node("ReduceMean", {"x"}, {"y"}), "axes", {0});
  model.output("y");
  const auto mean = model.import();
  ASSERT_TRUE(mean.ok());
  EXPECT_EQ(mean->batch, 1);
  EXPECT_EQ(mean->value(mean->inputs[0]).shape, (Shape{4, 6}));
  // Only the first image: one at a time would give another answer.
  TestModel first;
  first.input("x", {4, 6});
  first.ints("starts", {0});
  first.ints("ends", {1});
  first.node("Slice", {"x", "starts", "ends"}, {"y"});
  first.output("y");
  const auto slice = first.import();
  ASSERT_TRUE(slice.ok());
  EXPECT_EQ(slice->batch, 1);
  // Divided by the batch size.
  TestModel share;
  share.input("x", {4, 6});
  share.node("Shape", {"x"}, {"shape"});
  share.ints("zero", {0});
  share.node("Gather", {"shape", "zero"}, {"n"});
  set_int(share.node("Cast", {"n"}, {"count"}), "to", onnx::TensorProto::FLOAT);
  share.node("Div", {"x", "count"}, {"y"});
  share.output("y");
  const auto divided = share.import();
  ASSERT_TRUE(divided.ok()) << divided.error().message();
  EXPECT_EQ(divided->batch, 1);
}

// The batch of a symbolic file as a number: adds `n` of shape [1].
void add_batch_size(TestModel* model) {
  model->input("x", {0, 8});
  model->ints("zero", {0});
  model->node("Shape", {"x"}, {"shape"});
  model->node("Gather", {"shape", "zero"}, {"n"});
}

int64_t batch_of(const TestModel& model) {
  const auto graph = model.import();
  EXPECT_TRUE(graph.ok()) << graph.error().message();
  return graph.ok() ? graph->batch : -1;
}

TEST(Batch, AttributesThatFollowTheBatch) {
  // x[:, n:n + 3]
  TestModel columns;
  add_batch_size(&columns);
  columns.ints("three", {3});
  columns.ints("one", {1});
  columns.node("Add", {"n", "three"}, {"end"});
  columns.node("Slice", {"x", "n", "end", "one"}, {"y"});
  columns.output("y");
  EXPECT_EQ(batch_of(columns), 1);
  // x[0:n] is every image.
  TestModel rows;
  add_batch_size(&rows);
  rows.node("Slice", {"x", "zero", "n", "zero"}, {"y"});
  rows.output("y");
  EXPECT_EQ(batch_of(rows), 0);
}

TEST(Batch, ActivationsThatFollowTheBatch) {
  TestModel model;
  add_batch_size(&model);
  set_int(model.node("Cast", {"n"}, {"count"}), "to", onnx::TensorProto::FLOAT);
  model.floats("low", {}, {0});
  model.node("Squeeze", {"count"}, {"high"});
  model.node("Clip", {"x", "low", "high"}, {"y"});
  model.output("y");
  EXPECT_EQ(batch_of(model), 1);
}

TEST(Batch, ResizedImages) {
  const auto resized = [](float images, float pixels) {
    TestModel model;
    model.input("x", {0, 8});
    model.floats("scales", {2}, {images, pixels});
    model.node("Resize", {"x", "", "scales"}, {"y"});
    model.output("y");
    return batch_of(model);
  };
  EXPECT_EQ(resized(1, 1.5f), 0);
  EXPECT_EQ(resized(1.2f, 1), 1);  // one or two images, but not five
}

}  // namespace
}  // namespace carrel
