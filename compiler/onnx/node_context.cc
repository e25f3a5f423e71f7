#include "compiler/onnx/node_context.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "compiler/graph/fold_cost.h"
#include "compiler/graph/shape_inference.h"
#include "compiler/onnx/names.h"

namespace carrel {
namespace {

using AttributeProto = onnx::AttributeProto;

Error message(ErrorCode code, const std::string& name, const char* format, va_list arguments) {
  char text[200];
  std::vsnprintf(text, sizeof(text), format, arguments);
  if (code == ErrorCode::kUnsupported) return Error(code, "%s", text);
  return Error(code, "node %s: %s", name.c_str(), text);
}

}  // namespace

Error NodeContext::unsupported(const char* format, ...) const {
  va_list arguments;
  va_start(arguments, format);
  const Error error = message(ErrorCode::kUnsupported, name_, format, arguments);
  va_end(arguments);
  return error;
}

Error NodeContext::invalid(const char* format, ...) const {
  va_list arguments;
  va_start(arguments, format);
  const Error error = message(ErrorCode::kInvalidInput, name_, format, arguments);
  va_end(arguments);
  return error;
}

const AttributeProto* NodeContext::find(const char* name) const {
  for (const AttributeProto& attribute : proto_.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

const AttributeProto* NodeContext::find_typed(const char* name,
                                              AttributeProto::AttributeType type) {
  const AttributeProto* attribute = find(name);
  if (attribute == nullptr || attribute->type() == type) return attribute;
  bad_attribute_ = name;
  return nullptr;
}

int64_t NodeContext::int_attribute(const char* name, int64_t fallback) {
  const AttributeProto* attribute = find_typed(name, AttributeProto::INT);
  return attribute ? attribute->i() : fallback;
}

float NodeContext::float_attribute(const char* name, float fallback) {
  const AttributeProto* attribute = find_typed(name, AttributeProto::FLOAT);
  if (attribute && std::isnan(attribute->f())) bad_attribute_ = name;
  return attribute ? attribute->f() : fallback;
}

std::string NodeContext::string_attribute(const char* name, const char* fallback) {
  const AttributeProto* attribute = find_typed(name, AttributeProto::STRING);
  return attribute ? printable(attribute->s()) : fallback;
}

std::vector<int64_t> NodeContext::ints_attribute(const char* name) {
  const AttributeProto* attribute = find_typed(name, AttributeProto::INTS);
  if (!attribute) return {};
  return {attribute->ints().begin(), attribute->ints().end()};
}

std::vector<float> NodeContext::floats_attribute(const char* name) {
  const AttributeProto* attribute = find_typed(name, AttributeProto::FLOATS);
  if (!attribute) return {};
  for (float element : attribute->floats()) {
    if (std::isnan(element)) bad_attribute_ = name;
  }
  return {attribute->floats().begin(), attribute->floats().end()};
}

const onnx::TensorProto* NodeContext::tensor_attribute(const char* name) {
  const AttributeProto* attribute = find_typed(name, AttributeProto::TENSOR);
  return attribute ? &attribute->t() : nullptr;
}

Status NodeContext::attribute_status() const {
  if (bad_attribute_.empty()) return ok_status();
  return invalid("attribute %s has the wrong type or is NaN", bad_attribute_.c_str());
}

Result<std::vector<int64_t>> NodeContext::const_ints(size_t i, const char* what) const {
  if (!is_const(i)) return unsupported("%s is not constant", what);
  if (in(i).type != DType::kI64) return invalid("%s is not a list of integers", what);
  return in(i).constant->to_i64();
}

Result<std::vector<float>> NodeContext::const_floats(size_t i, const char* what) const {
  if (!is_const(i)) return unsupported("%s is not constant", what);
  if (in(i).type != DType::kF32) return invalid("%s is not a list of floats", what);
  const std::span<const float> data = in(i).constant->f32();
  for (float element : data) {
    if (std::isnan(element)) return invalid("%s is NaN", what);
  }
  return std::vector<float>(data.begin(), data.end());
}

Result<std::vector<int64_t>> NodeContext::ints_at(const char* name, int since, size_t i) {
  if (opset() < since) return ints_attribute(name);
  if (!has(i)) return std::vector<int64_t>();
  return const_ints(i, name);
}

Result<int> NodeContext::normal_axis(int64_t axis, int rank) const {
  if (axis < -rank || axis >= rank) {
    return invalid("axis %lld of %d dimensions", static_cast<long long>(axis), rank);
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Node NodeContext::make(OpType op, std::initializer_list<ValueId> inputs) const {
  Node node;
  node.op = op;
  node.name = emitted_ == 0 ? name_ : name_ + "/" + std::to_string(emitted_);
  node.inputs = inputs;
  while (!node.inputs.empty() && node.inputs.back() == kNoValue) node.inputs.pop_back();
  return node;
}

Status NodeContext::constants_status() const {
  if (build_.folded_bytes <= kMaxFoldedTotal) return ok_status();
  return invalid("its constants grow too large");
}

ValueId NodeContext::add_const(Tensor tensor) {
  build_.folded_bytes += tensor.data.size();
  return build_.graph.add_const(name_ + ".constant", std::move(tensor));
}

ValueId NodeContext::add_shared(TensorPtr tensor) {
  Value value;
  value.name = name_ + ".constant";
  value.type = tensor->type;
  value.shape = tensor->shape;
  value.shape_known = true;
  value.constant = std::move(tensor);
  return build_.graph.add_value(std::move(value));
}

Result<ValueId> NodeContext::emit(Node node) {
  CARREL_ASSIGN(const std::vector<ValueId> outputs, emit_many(std::move(node), 1));
  return outputs[0];
}

Status NodeContext::finish(Node node) {
  CARREL_ASSIGN(const ValueId id, emit(std::move(node)));
  set_output(0, id);
  return ok_status();
}

Result<std::vector<ValueId>> NodeContext::emit_many(Node node, size_t output_count) {
  Graph& graph = build_.graph;
  const size_t first = graph.values.size();
  for (size_t i = 0; i < output_count; ++i) node.outputs.push_back(graph.add_value({}));
  std::vector<Value> inferred;
  CARREL_RETURN_IF_ERROR(infer_node(graph, node, &inferred));
  for (size_t i = 0; i < output_count; ++i) graph.values[first + i] = std::move(inferred[i]);
  ++emitted_;
  std::vector<ValueId> outputs = node.outputs;
  CARREL_RETURN_IF_ERROR(fold(node));
  if (!graph.value(outputs[0]).is_const()) graph.add_node(std::move(node));
  return outputs;
}

Status NodeContext::fold(const Node& node) {
  Graph& graph = build_.graph;
  for (ValueId id : node.inputs) {
    if (id != kNoValue && !graph.value(id).is_const()) return ok_status();
  }
  // What optimize() may fuse with the operator it feeds.
  if (node.op == OpType::kDequantizeConst) return ok_status();
  if (!build_.options->fold || !fold_is_cheap(graph, node)) return ok_status();
  for (ValueId id : node.outputs) {
    const Value& value = graph.value(id);
    build_.folded_bytes += static_cast<uint64_t>(value.shape.count()) * dtype_size(value.type);
  }
  CARREL_RETURN_IF_ERROR(constants_status());
  Result<std::vector<Tensor>> folded = build_.options->fold(graph, node);
  if (!folded.ok()) {
    if (folded.error().code() == ErrorCode::kUnsupported) return ok_status();
    return folded.error();
  }
  if (folded->size() != node.outputs.size()) return invalid("folding gave too few results");
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    Value& value = graph.value(node.outputs[i]);
    if ((*folded)[i].type != value.type || !((*folded)[i].shape == value.shape)) {
      return invalid("folding gave another shape");
    }
    value.constant = std::make_shared<const Tensor>(std::move((*folded)[i]));
  }
  return ok_status();
}

}  // namespace carrel
