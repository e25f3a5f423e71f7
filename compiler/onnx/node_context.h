#pragma once
// What a handler sees of the ONNX node it maps to canonical operators.
#include <initializer_list>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "compiler/onnx/onnx.h"
#include "compiler/onnx/proto.h"
#include "compiler/onnx/tensor_reader.h"

namespace carrel {

// Constants computed during one import, all together; position tables and masks of real networks
// are far smaller.
inline constexpr uint64_t kMaxFoldedTotal = uint64_t{2} << 30;

// The graph under construction.
struct Build {
  Graph graph;
  const ImportOptions* options = nullptr;
  const TensorTable* tensors = nullptr;
  int opset = 0;
  // Leading dimension of every input and the file's own one. Where they differ the graph is being
  // specialised, and an explicit `file_batch` at the front of a Reshape target means the batch.
  int64_t batch = 0;
  int64_t file_batch = 0;
  uint64_t folded_bytes = 0;  // all constants computed so far
};

class NodeContext {
 public:
  NodeContext(Build* build, const onnx::NodeProto* proto, std::string name,
              std::vector<ValueId> inputs)
      : build_(*build), proto_(*proto), name_(std::move(name)), inputs_(std::move(inputs)) {
    outputs_.assign(static_cast<size_t>(proto->output_size()), kNoValue);
  }

  int opset() const { return build_.opset; }
  const Build& build() const { return build_; }
  const std::string& name() const { return name_; }

  size_t input_count() const { return inputs_.size(); }
  size_t output_count() const { return outputs_.size(); }
  bool has(size_t i) const { return i < inputs_.size() && inputs_[i] != kNoValue; }
  ValueId input(size_t i) const { return has(i) ? inputs_[i] : kNoValue; }
  const Value& value(ValueId id) const { return build_.graph.value(id); }
  const Value& in(size_t i) const { return value(inputs_[i]); }
  const Shape& shape(size_t i) const { return in(i).shape; }
  bool is_const(size_t i) const { return has(i) && in(i).is_const(); }

  // Attributes; an attribute of another type, or NaN, is an error that attribute_status() keeps.
  bool has_attribute(const char* name) const { return find(name) != nullptr; }
  int64_t int_attribute(const char* name, int64_t fallback);
  float float_attribute(const char* name, float fallback);
  std::string string_attribute(const char* name, const char* fallback);
  std::vector<int64_t> ints_attribute(const char* name);
  std::vector<float> floats_attribute(const char* name);
  const onnx::TensorProto* tensor_attribute(const char* name);
  Status attribute_status() const;
  // All constants computed so far stay within kMaxFoldedTotal.
  Status constants_status() const;

  // A constant input's elements. kUnsupported: "WHAT is not constant".
  Result<std::vector<int64_t>> const_ints(size_t i, const char* what) const;
  Result<std::vector<float>> const_floats(size_t i, const char* what) const;
  // The list as an attribute before `since`, as constant input i from then on; empty where absent.
  Result<std::vector<int64_t>> ints_at(const char* name, int since, size_t i);
  // `axis` counted from the front; kInvalidInput unless it lies in [-rank, rank).
  Result<int> normal_axis(int64_t axis, int rank) const;

  // A node with the given inputs, named after this one.
  Node make(OpType op, std::initializer_list<ValueId> inputs) const;
  // Adds the node: infers shapes, and folds it where all inputs are constant.
  Result<ValueId> emit(Node node);
  Result<std::vector<ValueId>> emit_many(Node node, size_t output_count);
  ValueId add_const(Tensor tensor);
  ValueId add_shared(TensorPtr tensor);
  // emit() as the node's first output.
  Status finish(Node node);
  // A file may name fewer outputs than the operator has: the others are dropped.
  void set_output(size_t i, ValueId id) {
    if (i < outputs_.size()) outputs_[i] = id;
  }
  const std::vector<ValueId>& outputs() const { return outputs_; }

  Error unsupported(const char* format, ...) const __attribute__((format(printf, 2, 3)));
  Error invalid(const char* format, ...) const __attribute__((format(printf, 2, 3)));

 private:
  const onnx::AttributeProto* find(const char* name) const;
  const onnx::AttributeProto* find_typed(const char* name,
                                         onnx::AttributeProto::AttributeType type);
  Status fold(const Node& node);

  Build& build_;
  const onnx::NodeProto& proto_;
  std::string name_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
  std::string bad_attribute_;
  int emitted_ = 0;
};

using Handler = Status (*)(NodeContext&);
struct OperatorEntry {
  const char* name;
  Handler handler;
  int min_inputs;  // these may not be omitted
  int max_inputs;
  bool narrow = false;  // takes int8 and uint8 constants as they are; others get them as int64
};
// Null if carrel does not know the operator.
const OperatorEntry* find_operator(const std::string& name);

// The first opset whose definition of the operator is the one of opset 7.
int first_same_opset(const std::string& name);

// One file per family; each lists its operators.
std::span<const OperatorEntry> conv_operators();
std::span<const OperatorEntry> pool_operators();
std::span<const OperatorEntry> activation_operators();
std::span<const OperatorEntry> elementwise_operators();
std::span<const OperatorEntry> norm_operators();
std::span<const OperatorEntry> matrix_operators();
std::span<const OperatorEntry> reduce_operators();
std::span<const OperatorEntry> shape_operators();
std::span<const OperatorEntry> movement_operators();
std::span<const OperatorEntry> resize_operators();
std::span<const OperatorEntry> constant_operators();
std::span<const OperatorEntry> quantize_operators();
std::span<const OperatorEntry> integer_operators();

}  // namespace carrel
