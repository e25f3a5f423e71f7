#include "compiler/graph/patch.h"

#include <set>

#include "compiler/graph/pass_util.h"

namespace carrel {
namespace {

bool in_graph(const Graph& graph, ValueId id) {
  return id >= 0 && static_cast<size_t>(id) < graph.values.size();
}

Status check_patch(const Patch& patch, const Graph& graph) {
  bool valid = true;
  for (const auto& [from, to] : patch.shunts) valid &= in_graph(graph, from) && in_graph(graph, to);
  for (const auto& [id, tensor] : patch.constants)
    valid &= in_graph(graph, id) && tensor != nullptr;
  for (NodeId id : patch.dead_nodes) {
    valid &= id >= 0 && static_cast<size_t>(id) < graph.nodes.size();
  }
  if (valid) return ok_status();
  return Error(ErrorCode::kInvalidInput, "pass %s: an id is out of range", patch.context.c_str());
}

void apply_shunts(const Patch& patch, Graph* graph) {
  std::vector<ValueId> target(graph->values.size());
  for (size_t v = 0; v < target.size(); ++v) target[v] = static_cast<ValueId>(v);
  for (const auto& [from, to] : patch.shunts) target[static_cast<size_t>(from)] = to;
  // Follows chains; as many steps as there are shunts reach the end unless they form a ring.
  const auto resolve = [&](ValueId id) {
    for (size_t step = 0; id != kNoValue && step <= patch.shunts.size(); ++step) {
      id = target[static_cast<size_t>(id)];
    }
    return id;
  };
  for (Node& node : graph->nodes) {
    if (node.dead) continue;
    for (ValueId& id : node.inputs) id = resolve(id);
  }
  for (ValueId& id : graph->outputs) {
    const ValueId replacement = resolve(id);
    if (replacement == id) continue;
    graph->value(replacement).name = graph->value(id).name;
    id = replacement;
  }
}

}  // namespace

Status apply_patch(const Patch& patch, Graph* graph) {
  for (const Value& value : patch.new_values) graph->add_value(value);
  CARREL_RETURN_IF_ERROR(check_patch(patch, *graph));
  for (const auto& [id, tensor] : patch.constants) {
    Value& value = graph->value(id);
    value.type = tensor->type;
    value.shape = tensor->shape;
    value.shape_known = true;
    value.constant = tensor;
  }
  for (NodeId id : patch.dead_nodes) graph->node(id).dead = true;
  for (const Node& node : patch.new_nodes) {
    for (ValueId id : node.inputs) {
      if (id != kNoValue && !in_graph(*graph, id)) {
        return Error(ErrorCode::kInvalidInput, "pass %s: an id is out of range",
                     patch.context.c_str());
      }
    }
    graph->add_node(node);
  }
  apply_shunts(patch, graph);
  return ok_status();
}

UseMap::UseMap(const Graph& graph)
    : uses_(find_uses(graph)), is_output_(graph.values.size(), false) {
  for (ValueId id : graph.outputs) is_output_[static_cast<size_t>(id)] = true;
}

PatchBuilder::PatchBuilder(const Graph& graph, const char* context)
    : value_count_(graph.values.size()), touched_(graph.nodes.size(), false) {
  patch_.context = context;
}

void PatchBuilder::kill(NodeId id) {
  touched_[static_cast<size_t>(id)] = true;
  patch_.dead_nodes.push_back(id);
}

void PatchBuilder::replace(std::initializer_list<NodeId> old, Node node) {
  for (NodeId id : old) kill(id);
  patch_.new_nodes.push_back(std::move(node));
}

ValueId PatchBuilder::add_const(std::string name, Tensor tensor) {
  return add_const(std::move(name), std::make_shared<const Tensor>(std::move(tensor)));
}

ValueId PatchBuilder::add_const(std::string name, TensorPtr tensor) {
  Value value;
  value.name = std::move(name);
  value.type = tensor->type;
  value.shape = tensor->shape;
  value.shape_known = true;
  value.constant = std::move(tensor);
  return add_value(std::move(value));
}

ValueId PatchBuilder::add_value(Value value) {
  patch_.new_values.push_back(std::move(value));
  return static_cast<ValueId>(value_count_ + patch_.new_values.size() - 1);
}

bool is_weight(const Graph& graph, ValueId id) {
  if (id == kNoValue) return false;
  const Value& value = graph.value(id);
  return value.is_const() && value.type == DType::kF32 && !value.constant->data.empty();
}

namespace {

using Pass = std::function<Result<Patch>(const Graph&)>;

Result<Graph> to_fixed_point(Graph graph, const std::vector<Pass>& passes) {
  for (bool changed = true; changed;) {
    changed = false;
    for (const Pass& pass : passes) {
      // Each patch removes a node or an indirection or moves a kDequantize on, so this ends.
      for (;;) {
        CARREL_ASSIGN(const Patch patch, pass(graph));
        if (patch.empty()) break;
        CARREL_RETURN_IF_ERROR(apply_patch(patch, &graph));
        changed = true;
      }
    }
    CARREL_ASSIGN(graph, compact(graph));
  }
  return graph;
}

}  // namespace

Result<Graph> optimize(Graph graph, const FoldFunction& fold) {
  // Weights that no quantized operator takes become floats only after the fusion.
  CARREL_ASSIGN(graph, to_fixed_point(std::move(graph), {remove_dead, fuse_quantized}));
  CARREL_ASSIGN(
      graph, to_fixed_point(std::move(graph),
                            {remove_dead, [&](const Graph& g) { return fold_constants(g, fold); },
                             fuse_bias, fold_batch_norm, fuse_activations}));
  CARREL_RETURN_IF_ERROR(verify_graph(graph));
  return graph;
}

}  // namespace carrel
