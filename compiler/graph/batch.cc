#include "compiler/graph/batch.h"

namespace carrel {
namespace {

// Which values hold one slice per image along dimension 0. Correctness: the graph is specialised to
// batch 1.
class BatchTrace {
 public:
  explicit BatchTrace(const Graph& graph) : graph_(graph), batched_(graph.values.size(), false) {}

  bool run() {
    for (ValueId id : graph_.inputs) {
      if (!has_batch_dim(id)) return false;
      mark(id);
    }
    const Result<std::vector<NodeId>> order = topological_order(graph_);
    if (!order.ok()) return false;
    for (NodeId n : *order) {
      const Node& node = graph_.node(n);
      bool any = false;
      for (ValueId id : node.inputs) any |= is_batched(id);
      if (!any) continue;
      if (!keeps_batch(node)) return false;
      for (ValueId id : node.outputs) {
        if (!has_batch_dim(id)) return false;
        mark(id);
      }
    }
    for (ValueId id : graph_.outputs) {
      if (!is_batched(id)) return false;
    }
    return true;
  }

 private:
  const Shape& shape(ValueId id) const { return graph_.value(id).shape; }
  bool has_batch_dim(ValueId id) const {
    return graph_.value(id).shape_known && shape(id).rank() >= 1 && shape(id)[0] == 1;
  }
  bool is_batched(ValueId id) const { return id != kNoValue && batched_[static_cast<size_t>(id)]; }
  void mark(ValueId id) { batched_[static_cast<size_t>(id)] = true; }

  // Operands of numpy broadcasting: images stay on dimension 0 and meet only themselves or shared
  // values.
  bool broadcast_keeps(const Node& node) const {
    int rank = 0;
    for (ValueId id : node.inputs) rank = std::max(rank, shape(id).rank());
    for (ValueId id : node.inputs) {
      if (is_batched(id) ? shape(id).rank() != rank
                         : shape(id).rank() == rank && shape(id)[0] != 1) {
        return false;
      }
    }
    return true;
  }

  bool matmul_keeps(const Node& node) const {
    for (ValueId id : node.inputs) {
      const bool left = id == node.inputs[0];
      // A batched matrix may carry images as rows only on the left.
      if (is_batched(id) && shape(id).rank() < (left ? 2 : 3)) return false;
    }
    const int ranks[2] = {shape(node.inputs[0]).rank(), shape(node.inputs[1]).rank()};
    const bool rows = is_batched(node.inputs[0]) && ranks[0] == 2;
    if (rows) return !is_batched(node.inputs[1]) && ranks[1] <= 2;
    return broadcast_keeps(node);
  }

  bool only_first_batched(const Node& node) const {
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (is_batched(node.inputs[i])) return false;
    }
    return is_batched(node.inputs[0]);
  }

  bool gemm_keeps(const Node& node) const {
    if (!is_batched(node.inputs[0]) || is_batched(node.inputs[1]) ||
        node.attributes.int_or("transA", 0) != 0) {
      return false;
    }
    return node.inputs.size() < 3 || node.inputs[2] == kNoValue || !is_batched(node.inputs[2]) ||
           shape(node.inputs[2]).rank() == 2;
  }

  bool slice_keeps(const Node& node) const {
    const std::vector<int64_t>& axes = node.attributes.int_list("axes");
    for (size_t i = 0; i < axes.size(); ++i) {
      if (axes[i] == 0 && (node.attributes.int_list("starts")[i] != 0 ||
                           node.attributes.int_list("steps")[i] != 1)) {
        return false;
      }
    }
    return true;
  }

  bool reduce_keeps(const Node& node) const {
    const std::vector<int64_t>& axes = node.attributes.int_list("axes");
    return axes.empty() || axes[0] != 0;
  }

  bool keeps_batch(const Node& node) const;

  const Graph& graph_;
  std::vector<bool> batched_;
};

bool BatchTrace::keeps_batch(const Node& node) const {
  const Attributes& attributes = node.attributes;
  switch (node.op) {
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
    case OpType::kDiv:
    case OpType::kPow:
    case OpType::kMax:
    case OpType::kMin:
    case OpType::kPRelu:
      return broadcast_keeps(node);
    case OpType::kMatMul:
      return matmul_keeps(node);
    case OpType::kGemm:
      return gemm_keeps(node);
    case OpType::kConcat: {
      for (ValueId id : node.inputs) {
        if (!is_batched(id)) return false;
      }
      return attributes.int_or("axis", 0) >= 1;
    }
    case OpType::kLayerNorm:
    case OpType::kGather:
    case OpType::kSoftmax:
    case OpType::kLogSoftmax:
    case OpType::kSplit:
      return only_first_batched(node) && attributes.int_or("axis", 0) >= 1;
    case OpType::kReduceMean:
    case OpType::kReduceSum:
    case OpType::kReduceMax:
    case OpType::kReduceMin:
    case OpType::kReduceProd:
      return reduce_keeps(node);
    case OpType::kSlice:
      return slice_keeps(node);
    case OpType::kPad: {
      const std::vector<int64_t>& pads = attributes.int_list("pads");
      return pads.empty() || (pads[0] == 0 && pads[pads.size() / 2] == 0);
    }
    case OpType::kTranspose:
      return attributes.int_list("perm")[0] == 0;
    case OpType::kResize:
      return attributes.floats.at("scales")[0] == 1;
    case OpType::kExpand:
      return shape(node.inputs[0]).rank() == shape(node.outputs[0]).rank();
    default:
      return only_first_batched(node);
  }
}

}  // namespace

bool batch_separable(const Graph& graph) { return BatchTrace(graph).run(); }

}  // namespace carrel
