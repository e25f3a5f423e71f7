// fold_constants: nodes whose inputs are all constant become constants.
#include "compiler/graph/fold_cost.h"
#include "compiler/graph/pass_util.h"

namespace carrel {
namespace {

bool foldable(const Graph& graph, const UseMap& uses, const Node& node) {
  if (node.dead || node.inputs.empty()) return false;
  for (ValueId id : node.inputs) {
    if (id == kNoValue) continue;
    const Value& value = graph.value(id);
    // A shape-only constant (serialize.h) has nothing to compute with.
    if (!value.is_const() || (value.constant->data.empty() && value.shape.count() != 0))
      return false;
  }
  for (ValueId id : node.outputs) {
    if (id == kNoValue || uses.is_output(id)) return false;  // an output keeps a producer
  }
  return fold_is_cheap(graph, node);
}

}  // namespace

bool fold_is_cheap(const Graph& graph, const Node& node) {
  uint64_t in_bytes = 0;
  uint64_t inner = 1;  // multiply-adds per output element
  for (ValueId id : node.inputs) {
    if (id == kNoValue) continue;
    const Value& value = graph.value(id);
    in_bytes += static_cast<uint64_t>(value.shape.count()) * dtype_size(value.type);
  }
  const bool windows = node.op == OpType::kMaxPool || node.op == OpType::kAveragePool ||
                       node.op == OpType::kQAveragePool;
  // Grows what a file holds by its own factor of four, however large it is.
  if (node.op == OpType::kDequantizeConst) return true;
  if (node.op <= OpType::kMatMul || node.op == OpType::kQConv || node.op == OpType::kQGemm) {
    // The smaller operand bounds what one output element sums up.
    const uint64_t a = static_cast<uint64_t>(graph.value(node.inputs[0]).shape.count());
    const uint64_t b = static_cast<uint64_t>(graph.value(node.inputs[1]).shape.count());
    inner = std::max<uint64_t>(1, std::min(a, b));
  } else if (windows) {
    for (int64_t k : node.attributes.int_list("kernel_shape")) {
      if (!checked_mul(inner, static_cast<uint64_t>(k), &inner)) return false;
    }
  } else if (node.op == OpType::kLrn) {
    inner = static_cast<uint64_t>(node.attributes.int_or("size", 1));
  }
  uint64_t out_count = 0;
  uint64_t out_bytes = 0;
  for (ValueId id : node.outputs) {
    if (id == kNoValue) continue;
    const Value& value = graph.value(id);
    out_count += static_cast<uint64_t>(value.shape.count());
    out_bytes += static_cast<uint64_t>(value.shape.count()) * dtype_size(value.type);
  }
  uint64_t work = 0;
  if (!checked_mul(out_count, inner, &work)) return false;
  const bool summing = inner > 1;
  return (out_bytes <= kFoldBytesLimit || out_bytes <= in_bytes) &&
         (!summing || work <= kFoldWorkLimit);
}

Result<Patch> fold_constants(const Graph& graph, const FoldFunction& fold) {
  const UseMap uses(graph);
  PatchBuilder builder(graph, "fold_constants");
  if (!fold) return builder.take();
  for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes.size()); ++n) {
    const Node& node = graph.node(n);
    if (!foldable(graph, uses, node)) continue;
    Result<std::vector<Tensor>> folded = fold(graph, node);
    if (!folded.ok()) {
      if (folded.error().code() == ErrorCode::kUnsupported) continue;
      return folded.error();
    }
    if (folded->size() != node.outputs.size()) {
      return Error(ErrorCode::kInvalidInput, "node %s: folding gave %zu outputs", node.name.c_str(),
                   folded->size());
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      builder.patch().constants.emplace_back(
          node.outputs[i], std::make_shared<const Tensor>(std::move((*folded)[i])));
    }
    builder.kill(n);
  }
  return builder.take();
}

}  // namespace carrel
