#include "compiler/quantize/prepare.h"

#include <algorithm>

namespace carrel {
namespace {

bool is_bound(UnaryFn fn) {
  return fn == UnaryFn::kNone || fn == UnaryFn::kRelu || fn == UnaryFn::kClip;
}

void split_activation(Graph* graph, NodeId id) {
  if (graph->node(id).op == OpType::kUnary || is_bound(graph->node(id).activation.fn)) return;
  const ValueId result = graph->node(id).outputs[0];
  Value before = graph->value(result);
  before.name += ".before";
  Node bend;
  bend.op = OpType::kUnary;
  bend.name = graph->node(id).name + ".activation";
  bend.activation = graph->node(id).activation;
  bend.inputs = {graph->add_value(std::move(before))};
  bend.outputs = {result};
  graph->node(id).activation = {};
  graph->node(id).outputs[0] = bend.inputs[0];
  graph->add_node(std::move(bend));
}

bool has_floats(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  return value.is_const() && value.type == DType::kF32 && !value.constant->data.empty();
}

void affine_to_conv(Graph* graph, NodeId id) {
  const Node affine = graph->node(id);
  if (affine.op != OpType::kAffine || graph->value(affine.inputs[0]).shape.rank() != 4) return;
  if (!has_floats(*graph, affine.inputs[1]) || !has_floats(*graph, affine.inputs[2])) return;
  Tensor weight = *graph->value(affine.inputs[1]).constant;
  const int64_t channels = weight.count();
  weight.shape = Shape{channels, 1, 1, 1};
  Node conv = affine;
  conv.op = OpType::kConv;
  conv.attributes.ints["group"] = {channels};
  conv.inputs[1] = graph->add_const(affine.name + ".weight", std::move(weight));
  graph->node(id) = std::move(conv);
}

bool is_run_time(const Graph& graph, ValueId id) {
  return id != kNoValue && !graph.value(id).is_const();
}

bool weighted(const Graph& graph, const Node& node, int rank) {
  const bool bias =
      node.inputs.size() < 3 || node.inputs[2] == kNoValue ||
      (has_floats(graph, node.inputs[2]) &&
       graph.value(node.inputs[2]).shape.count() == graph.value(node.outputs[0]).shape[1]);
  return bias && is_run_time(graph, node.inputs[0]) && has_floats(graph, node.inputs[1]) &&
         graph.value(node.inputs[0]).shape.rank() == rank &&
         graph.value(node.inputs[1]).shape.rank() == rank;
}

bool is_plain_gemm(const Node& node) {
  const Attributes& a = node.attributes;
  return a.int_or("transA", 0) == 0 && a.float_or("alpha", 1) == 1 && a.float_or("beta", 1) == 1;
}

bool pads_within(const Node& pool) {
  const std::vector<int64_t>& kernel = pool.attributes.int_list("kernel_shape");
  const std::vector<int64_t>& pads = pool.attributes.int_list("pads");
  for (size_t i = 0; i < pads.size(); ++i) {
    if (pads[i] >= kernel[i % kernel.size()]) return false;
  }
  const std::vector<int64_t>& dilations = pool.attributes.int_list("dilations");
  return std::all_of(dilations.begin(), dilations.end(), [](int64_t d) { return d == 1; });
}

bool quantizable(const Graph& graph, const Node& node, const std::vector<bool>& has_levels) {
  const auto levels = [&](ValueId id) { return has_levels[static_cast<size_t>(id)]; };
  const Value& first = graph.value(node.inputs[0]);
  const bool all = std::all_of(node.inputs.begin(), node.inputs.end(),
                               [&](ValueId id) { return is_run_time(graph, id) && levels(id); });
  const bool plain = node.activation.fn == UnaryFn::kNone;
  switch (node.op) {
    case OpType::kConv:
      return weighted(graph, node, 4);
    case OpType::kGemm:
    case OpType::kMatMul:
      return weighted(graph, node, 2) && is_plain_gemm(node);
    case OpType::kAdd:
      return is_run_time(graph, node.inputs[0]) && is_run_time(graph, node.inputs[1]) &&
             first.shape == graph.value(node.inputs[1]).shape;
    case OpType::kAveragePool:
    case OpType::kGlobalAveragePool:
      return plain && is_run_time(graph, node.inputs[0]) && first.shape.rank() == 4;
    case OpType::kMaxPool:
      return plain && all && first.shape.rank() == 4 && pads_within(node);
    case OpType::kConcat:
    case OpType::kReshape:
    case OpType::kTranspose:
      return plain && all;
    default:
      return false;
  }
}

}  // namespace

bool keeps_levels(OpType op) {
  return op == OpType::kMaxPool || op == OpType::kReshape || op == OpType::kTranspose;
}

Graph prepare_for_quantization(const Graph& graph) {
  Graph prepared = graph;
  const auto nodes = static_cast<NodeId>(prepared.nodes.size());
  for (NodeId n = 0; n < nodes; ++n) {
    if (prepared.node(n).dead) continue;
    affine_to_conv(&prepared, n);
    split_activation(&prepared, n);
  }
  return prepared;
}

QuantizedSet choose_quantized(const Graph& graph) {
  QuantizedSet set;
  set.node.assign(graph.nodes.size(), false);
  set.has_levels.assign(graph.values.size(), false);
  for (ValueId id : graph.inputs) set.has_levels[static_cast<size_t>(id)] = true;
  const Result<std::vector<NodeId>> order = topological_order(graph);
  CARREL_CHECK(order.ok());
  for (NodeId n : *order) {
    const Node& node = graph.node(n);
    if (!quantizable(graph, node, set.has_levels)) continue;
    set.node[static_cast<size_t>(n)] = true;
    set.has_levels[static_cast<size_t>(node.outputs[0])] = true;
  }
  return set;
}

}  // namespace carrel
