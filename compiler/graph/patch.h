#pragma once
// Passes return a Patch; apply_patch is the one place that changes a graph.
#include <functional>

#include "compiler/graph/graph.h"

namespace carrel {

struct Patch {
  std::string context;            // which pass and why, for auditing
  std::vector<Value> new_values;  // ids: graph.values.size() + index
  std::vector<Node> new_nodes;
  std::vector<std::pair<ValueId, ValueId>>
      shunts;  // every use of first becomes second; a graph output keeps its name
  std::vector<std::pair<ValueId, TensorPtr>> constants;  // value becomes a constant
  std::vector<NodeId> dead_nodes;
  bool empty() const {
    return new_nodes.empty() && shunts.empty() && constants.empty() && dead_nodes.empty();
  }
};
Status apply_patch(const Patch& patch, Graph* graph);

// Computes a node whose inputs are all constant; supplied by compiler/eval (graph cannot depend on
// it).
using FoldFunction = std::function<Result<std::vector<Tensor>>(const Graph&, const Node&)>;

// Each pass looks at the graph and returns what it would change; empty when nothing is left to do.
Result<Patch> fold_constants(const Graph& graph, const FoldFunction& fold);
// BatchNorm with constant statistics to Affine; Affine into the Conv/ConvTranspose/Gemm before it
// (single use).
Result<Patch> fold_batch_norm(const Graph& graph);
// MatMul of a matrix and a constant to Gemm; Add of a constant per channel into the Conv/Gemm
// before it.
Result<Patch> fuse_bias(const Graph& graph);
Result<Patch> fuse_activations(
    const Graph& graph);  // Unary into its producer (single use); Mul(x, Sigmoid(x)) to Swish
// Operators between kDequantize and kQuantize to those on levels (kQConv and so on), and those that
// move elements to before the kDequantize. Where weights are not symmetric or something is used
// twice, the pattern stays; it is right as it is.
Result<Patch> fuse_quantized(const Graph& graph);
Result<Patch> remove_dead(const Graph& graph);  // nodes no output needs; Identity
// All passes to a fixed point, then compact() and verify_graph().
Result<Graph> optimize(Graph graph, const FoldFunction& fold);

}  // namespace carrel
