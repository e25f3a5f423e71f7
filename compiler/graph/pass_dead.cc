// remove_dead: nodes that no output needs, and nodes that change nothing.
#include <set>

#include "compiler/graph/pass_util.h"

namespace carrel {
namespace {

bool all_equal(const std::vector<int64_t>& list, int64_t value) {
  for (int64_t entry : list) {
    if (entry != value) return false;
  }
  return true;
}

bool is_ascending(const std::vector<int64_t>& perm) {
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

// The node's output is its first input, element by element.
bool changes_nothing(const Graph& graph, const Node& node) {
  if (node.activation.fn != UnaryFn::kNone || node.outputs.size() != 1) return false;
  const Value& in = graph.value(node.inputs[0]);
  const Value& out = graph.value(node.outputs[0]);
  const bool same =
      in.shape_known && out.shape_known && in.shape == out.shape && in.type == out.type;
  switch (node.op) {
    case OpType::kIdentity:
      return true;
    case OpType::kConcat:
      return node.inputs.size() == 1;
    case OpType::kReshape:
    case OpType::kExpand:
    case OpType::kSplit:
      return same;
    case OpType::kSlice:
      return same && all_equal(node.attributes.int_list("steps"), 1);
    case OpType::kPad:
      return same && all_equal(node.attributes.int_list("pads"), 0);
    case OpType::kTranspose:
      return is_ascending(node.attributes.int_list("perm"));
    default:
      return false;
  }
}

std::vector<bool> needed_nodes(const Graph& graph, const UseMap& uses) {
  std::vector<bool> needed(graph.nodes.size(), false);
  std::vector<ValueId> pending(graph.outputs);
  while (!pending.empty()) {
    const ValueId id = pending.back();
    pending.pop_back();
    const NodeId producer = id == kNoValue ? -1 : uses.producer(id);
    if (producer < 0 || needed[static_cast<size_t>(producer)]) continue;
    needed[static_cast<size_t>(producer)] = true;
    const std::vector<ValueId>& inputs = graph.node(producer).inputs;
    pending.insert(pending.end(), inputs.begin(), inputs.end());
  }
  return needed;
}

}  // namespace

Result<Patch> remove_dead(const Graph& graph) {
  const UseMap uses(graph);
  PatchBuilder builder(graph, "remove_dead");
  const std::vector<bool> needed = needed_nodes(graph, uses);
  std::set<ValueId> renamed;  // values that take a graph output's name in this patch
  for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes.size()); ++n) {
    const Node& node = graph.node(n);
    if (node.dead) continue;
    if (!needed[static_cast<size_t>(n)]) {
      builder.kill(n);
      continue;
    }
    if (!changes_nothing(graph, node)) continue;
    const ValueId in = node.inputs[0];
    if (uses.is_output(node.outputs[0])) {
      // An output keeps a producer and a name of its own.
      const NodeId producer = uses.producer(in);
      const bool free = producer >= 0 && !uses.is_output(in) && !builder.touched(producer);
      if (!free || !renamed.insert(in).second) continue;
    }
    builder.shunt(node.outputs[0], in);
    builder.kill(n);
  }
  return builder.take();
}

}  // namespace carrel
