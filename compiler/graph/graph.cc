#include "compiler/graph/graph.h"

#include <algorithm>
#include <queue>

namespace carrel {

const char* op_name(OpType op) {
  constexpr const char* kNames[] = {"Conv",
                                    "ConvTranspose",
                                    "Gemm",
                                    "MatMul",
                                    "Affine",
                                    "BatchNormalization",
                                    "InstanceNormalization",
                                    "LayerNormalization",
                                    "LRN",
                                    "Unary",
                                    "PRelu",
                                    "Softmax",
                                    "LogSoftmax",
                                    "MaxPool",
                                    "AveragePool",
                                    "GlobalAveragePool",
                                    "GlobalMaxPool",
                                    "Add",
                                    "Sub",
                                    "Mul",
                                    "Div",
                                    "Pow",
                                    "Max",
                                    "Min",
                                    "ReduceMean",
                                    "ReduceSum",
                                    "ReduceMax",
                                    "ReduceMin",
                                    "ReduceProd",
                                    "Concat",
                                    "Split",
                                    "Slice",
                                    "Pad",
                                    "Reshape",
                                    "Transpose",
                                    "Expand",
                                    "Gather",
                                    "Resize",
                                    "DepthToSpace",
                                    "SpaceToDepth",
                                    "Identity",
                                    "QuantizeLinear",
                                    "DequantizeLinear",
                                    "DequantizeLinear(constant)",
                                    "QLinearConv",
                                    "QLinearGemm",
                                    "QLinearAdd",
                                    "QLinearAveragePool",
                                    "QLinearGlobalAveragePool",
                                    "QLinearConcat"};
  static_assert(std::size(kNames) == static_cast<size_t>(OpType::kCount));
  return op < OpType::kCount ? kNames[static_cast<size_t>(op)] : "?";
}

const std::vector<int64_t>& Attributes::int_list(const std::string& name) const {
  static const std::vector<int64_t> kEmpty;
  const auto it = ints.find(name);
  return it == ints.end() ? kEmpty : it->second;
}

int64_t Attributes::int_or(const std::string& name, int64_t fallback) const {
  const auto it = ints.find(name);
  return it == ints.end() || it->second.empty() ? fallback : it->second[0];
}

float Attributes::float_or(const std::string& name, float fallback) const {
  const auto it = floats.find(name);
  return it == floats.end() || it->second.empty() ? fallback : it->second[0];
}

ValueId Graph::add_value(Value value) {
  values.push_back(std::move(value));
  return static_cast<ValueId>(values.size() - 1);
}

ValueId Graph::add_const(std::string value_name, Tensor tensor) {
  Value value;
  value.name = std::move(value_name);
  value.type = tensor.type;
  value.shape = tensor.shape;
  value.shape_known = true;
  value.constant = std::make_shared<const Tensor>(std::move(tensor));
  return add_value(std::move(value));
}

NodeId Graph::add_node(Node node) {
  nodes.push_back(std::move(node));
  return static_cast<NodeId>(nodes.size() - 1);
}

Uses find_uses(const Graph& graph) {
  Uses uses;
  uses.producer.assign(graph.values.size(), -1);
  uses.consumers.resize(graph.values.size());
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.dead) continue;
    for (ValueId id : node.inputs) {
      if (id != kNoValue) uses.consumers[static_cast<size_t>(id)].push_back(static_cast<NodeId>(n));
    }
    for (ValueId id : node.outputs) {
      if (id != kNoValue) uses.producer[static_cast<size_t>(id)] = static_cast<NodeId>(n);
    }
  }
  return uses;
}

Result<std::vector<NodeId>> topological_order(const Graph& graph) {
  const Uses uses = find_uses(graph);
  std::vector<int> waiting(graph.nodes.size(), 0);
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<>> ready;
  size_t live = 0;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].dead) continue;
    ++live;
    for (ValueId id : graph.nodes[n].inputs) {
      if (id != kNoValue && uses.producer[static_cast<size_t>(id)] >= 0) ++waiting[n];
    }
    if (waiting[n] == 0) ready.push(static_cast<NodeId>(n));
  }
  std::vector<NodeId> order;
  order.reserve(live);
  while (!ready.empty()) {
    const NodeId n = ready.top();
    ready.pop();
    order.push_back(n);
    for (ValueId id : graph.node(n).outputs) {
      if (id == kNoValue) continue;
      for (NodeId consumer : uses.consumers[static_cast<size_t>(id)]) {
        if (--waiting[static_cast<size_t>(consumer)] == 0) ready.push(consumer);
      }
    }
  }
  if (order.size() == live) return order;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!graph.nodes[n].dead && waiting[n] > 0) {
      return Error(ErrorCode::kInvalidInput, "node %s: the graph has a cycle",
                   graph.nodes[n].name.c_str());
    }
  }
  return Error(ErrorCode::kInvalidInput, "the graph has a cycle");
}

namespace {

// New value ids by old id; kNoValue for values that nothing live refers to.
std::vector<ValueId> renumber_values(const Graph& graph, const std::vector<NodeId>& order,
                                     Graph* compacted) {
  std::vector<bool> used(graph.values.size(), false);
  const auto mark = [&](const std::vector<ValueId>& ids) {
    for (ValueId id : ids) {
      if (id != kNoValue) used[static_cast<size_t>(id)] = true;
    }
  };
  mark(graph.inputs);
  mark(graph.outputs);
  for (NodeId n : order) {
    mark(graph.node(n).inputs);
    mark(graph.node(n).outputs);
  }
  std::vector<ValueId> renumbered(graph.values.size(), kNoValue);
  for (size_t v = 0; v < graph.values.size(); ++v) {
    if (used[v]) renumbered[v] = compacted->add_value(graph.values[v]);
  }
  return renumbered;
}

}  // namespace

Result<Graph> compact(const Graph& graph) {
  CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(graph));
  Graph result;
  result.name = graph.name;
  result.batch = graph.batch;
  const std::vector<ValueId> renumbered = renumber_values(graph, order, &result);
  const auto translate = [&](std::vector<ValueId> ids) {
    for (ValueId& id : ids) {
      if (id != kNoValue) id = renumbered[static_cast<size_t>(id)];
    }
    return ids;
  };
  result.inputs = translate(graph.inputs);
  result.outputs = translate(graph.outputs);
  for (NodeId n : order) {
    Node node = graph.node(n);
    node.inputs = translate(std::move(node.inputs));
    node.outputs = translate(std::move(node.outputs));
    result.add_node(std::move(node));
  }
  return result;
}

}  // namespace carrel
