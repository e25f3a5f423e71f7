#pragma once
// Inside this room: one node's encoding in the making.
#include <initializer_list>

#include "compiler/lower/lower.h"

namespace carrel {

inline Error invalid(const Node& node, const char* what) {
  return Error(ErrorCode::kInvalidInput, "%s (%s): %s", node.name.c_str(), op_name(node.op), what);
}
inline Error unsupported(const Node& node, const char* what) {
  return Error(ErrorCode::kUnsupported, "%s (%s): %s", node.name.c_str(), op_name(node.op), what);
}

class Encoder {
 public:
  Encoder(const Graph& graph, const Node& node) : graph_(graph), node_(node) {
    out_.activation = node.activation;
    out_.inputs = node.inputs;
  }

  Result<PlainEncoding> encode();

 private:
  Status encode_op();
  // encode_window.cc
  Status encode_windowed();
  Status windows(bool kernel);
  Status average_windows();
  Status global_pool(PlainOp op);
  // encode_norm.cc
  Status encode_normalisation();
  // encode_movement.cc
  Status encode_movement();
  Status slice();
  Status gather();
  Status resize();
  // encode_quantized.cc
  Status encode_quantized();
  Status global_qpool();

  Status simple(PlainOp op) {
    out_.op = op;
    return ok_status();
  }
  // An operator whose further inputs have become attributes.
  Status first_input_only(PlainOp op) {
    out_.op = op;
    if (out_.inputs.empty()) return invalid(node_, "needs an input");
    out_.inputs.erase(out_.inputs.begin() + 1, out_.inputs.end());
    return ok_status();
  }
  int rank(size_t input) const {
    if (input >= node_.inputs.size() || node_.inputs[input] == kNoValue) return 0;
    return graph_.value(node_.inputs[input]).shape.rank();
  }
  const Value* input(size_t i) const {
    if (i >= node_.inputs.size() || node_.inputs[i] == kNoValue) return nullptr;
    return &graph_.value(node_.inputs[i]);
  }
  void add_int(const char* name, int64_t fallback) {
    out_.ints.push_back(node_.attributes.int_or(name, fallback));
  }
  void add_each_int(std::initializer_list<const char*> names) {
    for (const char* name : names) add_int(name, 0);
  }
  void add_each_float(std::initializer_list<const char*> names) {
    for (const char* name : names) add_float(name, 1);
  }
  void add_float(const char* name, float fallback) {
    out_.floats.push_back(node_.attributes.float_or(name, fallback));
  }
  // `n` numbers, `fallback` where the attribute is absent.
  Status add_ints(const char* name, int n, int64_t fallback) {
    const std::vector<int64_t>& list = node_.attributes.int_list(name);
    if (list.empty()) {
      out_.ints.insert(out_.ints.end(), static_cast<size_t>(n), fallback);
    } else if (list.size() == static_cast<size_t>(n)) {
      out_.ints.insert(out_.ints.end(), list.begin(), list.end());
    } else {
      return invalid(node_, name);
    }
    return ok_status();
  }

  const Graph& graph_;
  const Node& node_;
  PlainEncoding out_;
};

}  // namespace carrel
