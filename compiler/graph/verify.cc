// verify_graph: what every other room may take for granted about a graph.
#include "compiler/graph/arity.h"
#include "compiler/graph/graph.h"
#include "compiler/graph/shape_inference.h"

namespace carrel {
namespace {

bool in_graph(const Graph& graph, ValueId id) {
  return id >= 0 && static_cast<size_t>(id) < graph.values.size();
}

Status verify_value(const Value& value) {
  if (!value.shape_known) {
    return Error(ErrorCode::kInvalidInput, "value %s: its shape is unknown", value.name.c_str());
  }
  const Result<uint64_t> count = value.shape.element_count();
  if (!count.ok()) {
    return Error(ErrorCode::kInvalidInput, "value %s: %s", value.name.c_str(),
                 count.error().message());
  }
  if (!value.is_const()) return ok_status();
  const Tensor& tensor = *value.constant;
  const bool shape_only = tensor.data.empty();
  if (tensor.type != value.type || !(tensor.shape == value.shape) ||
      (!shape_only && tensor.data.size() != *count * dtype_size(tensor.type))) {
    return Error(ErrorCode::kInvalidInput, "constant %s: type, shape or size do not agree",
                 value.name.c_str());
  }
  return ok_status();
}

Status verify_ids(const Graph& graph, const Node& node) {
  for (ValueId id : node.inputs) {
    if (id != kNoValue && !in_graph(graph, id)) {
      return Error(ErrorCode::kInvalidInput, "node %s: input out of range", node.name.c_str());
    }
  }
  for (ValueId id : node.outputs) {
    if (!in_graph(graph, id)) {
      return Error(ErrorCode::kInvalidInput, "node %s: output out of range", node.name.c_str());
    }
  }
  const Arity arity = op_arity(node.op);
  const int inputs = static_cast<int>(node.inputs.size());
  const int outputs = static_cast<int>(node.outputs.size());
  bool missing = false;
  for (int i = 0; i < arity.min_inputs && i < inputs; ++i) {
    missing |= node.inputs[static_cast<size_t>(i)] == kNoValue;
  }
  if (missing || inputs < arity.min_inputs || inputs > arity.max_inputs || outputs < 1 ||
      outputs > arity.max_outputs) {
    return Error(ErrorCode::kInvalidInput, "node %s: %s with %d inputs and %d outputs",
                 node.name.c_str(), op_name(node.op), inputs, outputs);
  }
  return ok_status();
}

// Marks what the node produces; a value has one producer and is then neither input nor constant.
Status claim_outputs(const Graph& graph, const Node& node, std::vector<bool>* produced) {
  for (ValueId id : node.outputs) {
    if ((*produced)[static_cast<size_t>(id)] || graph.value(id).is_const()) {
      return Error(ErrorCode::kInvalidInput, "node %s: value %s has two sources", node.name.c_str(),
                   graph.value(id).name.c_str());
    }
    (*produced)[static_cast<size_t>(id)] = true;
  }
  return ok_status();
}

Status verify_used(const Graph& graph, ValueId id, const std::vector<bool>& produced,
                   const char* user) {
  if (id == kNoValue) return ok_status();
  const Value& value = graph.value(id);
  if (!produced[static_cast<size_t>(id)] && !value.is_const()) {
    return Error(ErrorCode::kInvalidInput, "%s: value %s comes from nowhere", user,
                 value.name.c_str());
  }
  return verify_value(value);
}

Status verify_shapes(const Graph& graph, const Node& node) {
  std::vector<Value> expected;
  CARREL_RETURN_IF_ERROR(infer_node(graph, node, &expected));
  for (size_t i = 0; i < expected.size(); ++i) {
    const Value& value = graph.value(node.outputs[i]);
    if (value.type != expected[i].type || !(value.shape == expected[i].shape)) {
      return Error(ErrorCode::kInvalidInput, "node %s: the shape of %s does not follow from it",
                   node.name.c_str(), value.name.c_str());
    }
  }
  return ok_status();
}

}  // namespace

Status verify_graph(const Graph& graph) {
  std::vector<bool> produced(graph.values.size(), false);
  for (ValueId id : graph.inputs) {
    if (!in_graph(graph, id) || produced[static_cast<size_t>(id)] || graph.value(id).is_const()) {
      return Error(ErrorCode::kInvalidInput, "a graph input is out of range, repeated or constant");
    }
    CARREL_RETURN_IF_ERROR(verify_value(graph.value(id)));
    produced[static_cast<size_t>(id)] = true;
  }
  for (const Node& node : graph.nodes) {
    if (node.dead) continue;
    CARREL_RETURN_IF_ERROR(verify_ids(graph, node));
    CARREL_RETURN_IF_ERROR(claim_outputs(graph, node, &produced));
  }
  for (ValueId id : graph.outputs) {
    if (!in_graph(graph, id)) {
      return Error(ErrorCode::kInvalidInput, "a graph output is out of range");
    }
    CARREL_RETURN_IF_ERROR(verify_used(graph, id, produced, "graph output"));
  }
  CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(graph));
  for (NodeId n : order) {
    const Node& node = graph.node(n);
    for (ValueId id : node.inputs) {
      CARREL_RETURN_IF_ERROR(verify_used(graph, id, produced, node.name.c_str()));
    }
    for (ValueId id : node.outputs) {
      CARREL_RETURN_IF_ERROR(verify_value(graph.value(id)));
    }
    CARREL_RETURN_IF_ERROR(verify_shapes(graph, node));
  }
  return ok_status();
}

}  // namespace carrel
