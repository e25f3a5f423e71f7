#pragma once
// Small ONNX models for tests, built with the protobuf classes.
#include <initializer_list>
#include <string>
#include <vector>

#include "compiler/eval/eval.h"
#include "compiler/onnx/onnx.h"
#include "compiler/onnx/proto.h"

namespace carrel {

class TestModel {
 public:
  explicit TestModel(int opset = 17) {
    model_.set_ir_version(8);
    model_.add_opset_import()->set_version(opset);
    graph().set_name("test");
  }
  onnx::ModelProto& model() { return model_; }
  onnx::GraphProto& graph() { return *model_.mutable_graph(); }

  // A dim of 0 is symbolic ("N").
  void input(const std::string& name, std::initializer_list<int64_t> dims,
             int type = onnx::TensorProto::FLOAT) {
    onnx::ValueInfoProto* info = graph().add_input();
    info->set_name(name);
    onnx::TypeProto_Tensor* tensor = info->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(type);
    tensor->mutable_shape();
    for (int64_t dim : dims) {
      auto* added = tensor->mutable_shape()->add_dim();
      if (dim == 0)
        added->set_dim_param("N");
      else
        added->set_dim_value(dim);
    }
  }
  void output(const std::string& name) { graph().add_output()->set_name(name); }
  onnx::TensorProto& floats(const std::string& name, std::initializer_list<int64_t> dims,
                            const std::vector<float>& values) {
    onnx::TensorProto* tensor = graph().add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(onnx::TensorProto::FLOAT);
    for (int64_t dim : dims) tensor->add_dims(dim);
    for (float value : values) tensor->add_float_data(value);
    return *tensor;
  }
  onnx::TensorProto& ints(const std::string& name, const std::vector<int64_t>& values) {
    onnx::TensorProto* tensor = graph().add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(onnx::TensorProto::INT64);
    tensor->add_dims(static_cast<int64_t>(values.size()));
    for (int64_t value : values) tensor->add_int64_data(value);
    return *tensor;
  }
  onnx::NodeProto& node(const std::string& op, std::initializer_list<std::string> inputs,
                        std::initializer_list<std::string> outputs) {
    onnx::NodeProto* added = graph().add_node();
    added->set_op_type(op);
    for (const std::string& name : inputs) added->add_input(name);
    for (const std::string& name : outputs) added->add_output(name);
    return *added;
  }
  std::string bytes() const { return model_.SerializeAsString(); }

  Result<Graph> import(std::vector<std::string>* unsupported = nullptr,
                       const std::string& folder = "/nonexistent") const {
    ImportOptions options;
    options.fold = eval_node;
    const std::string data = bytes();
    return import_onnx_bytes(std::as_bytes(std::span(data)), folder, options, unsupported);
  }

 private:
  onnx::ModelProto model_;
};

inline void set_int(onnx::NodeProto& node, const std::string& name, int64_t value) {
  onnx::AttributeProto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::INT);
  attribute->set_i(value);
}
inline void set_float(onnx::NodeProto& node, const std::string& name, float value) {
  onnx::AttributeProto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::FLOAT);
  attribute->set_f(value);
}
inline void set_string(onnx::NodeProto& node, const std::string& name, const std::string& value) {
  onnx::AttributeProto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::STRING);
  attribute->set_s(value);
}
inline void set_ints(onnx::NodeProto& node, const std::string& name,
                     const std::vector<int64_t>& values) {
  onnx::AttributeProto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::INTS);
  for (int64_t value : values) attribute->add_ints(value);
}
inline void set_floats(onnx::NodeProto& node, const std::string& name,
                       const std::vector<float>& values) {
  onnx::AttributeProto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::FLOATS);
  for (float value : values) attribute->add_floats(value);
}

// Ascending small numbers, different per position.
inline Tensor ramp(const Shape& shape) {
  Tensor tensor = Tensor::zeros(DType::kF32, shape);
  for (size_t i = 0; i < tensor.f32().size(); ++i) {
    tensor.f32()[i] = static_cast<float>(static_cast<int>(i * 7 % 23) - 11) / 8.0f;
  }
  return tensor;
}

}  // namespace carrel
