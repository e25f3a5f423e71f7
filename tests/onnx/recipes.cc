#include "tests/onnx/recipes.h"

namespace carrel::conformance {

std::vector<float> Maker::draw(std::initializer_list<int64_t> dims, float low, float high) {
  int64_t count = 1;
  for (int64_t d : dims) count *= d;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) {
    state_ = state_ * 1664525u + 1013904223u;  // Numerical Recipes' generator
    v = low + (high - low) * static_cast<float>(state_ >> 8) * 0x1p-24f;
  }
  return values;
}

void Maker::in(const std::string& name, std::initializer_list<int64_t> dims, float low,
               float high) {
  model_.input(name, dims);
  Shape shape;
  for (int64_t d : dims) CARREL_CHECK(shape.push_back(d));
  inputs_.push_back({name, Tensor::from_f32(shape, draw(dims, low, high))});
}

void Maker::weight(const std::string& name, std::initializer_list<int64_t> dims, float low,
                   float high) {
  model_.floats(name, dims, draw(dims, low, high));
}

void Maker::list(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values,
                 int since) {
  if (opset_ < since) return set_ints(node, name, values);
  ints(name, values);
  node.add_input(name);
}

TestCase Maker::finish(std::initializer_list<std::string> outputs) {
  TestCase test;
  // A trailing omitted input is left out: ONNX Runtime crashes on some that are spelled out.
  for (onnx::NodeProto& node : *model_.graph().mutable_node()) {
    auto& inputs = *node.mutable_input();
    while (!inputs.empty() && inputs[inputs.size() - 1].empty()) inputs.RemoveLast();
  }
  for (const std::string& name : outputs) {
    model_.output(name);
    onnx::ValueInfoProto* output = model_.graph().mutable_output(model_.graph().output_size() - 1);
    output->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
    test.outputs.push_back({name, {}});
  }
  if (opset_ > 20) model_.model().set_ir_version(10);
  test.folder = "/nonexistent";
  test.model = model_.bytes();
  test.inputs = std::move(inputs_);
  return test;
}

}  // namespace carrel::conformance
