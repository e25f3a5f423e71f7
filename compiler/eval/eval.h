#pragma once
// Runs graphs in plain memory with the plain operators: constant folding, calibration, tests.
#include <functional>
#include <vector>

#include "compiler/graph/graph.h"

namespace carrel {

// Folding a node may not make a file's few bytes into more than this.
inline constexpr uint64_t kMaxFoldedBytes = uint64_t{1} << 30;

// The outputs of a node whose inputs are all constant; usable as FoldFunction
// (compiler/graph/patch.h). Elements other than float32 are computed as int64 (int8, uint8 and
// float64 as float32) and converted back, wrapping (int8 and uint8: saturating). Errors:
// kInvalidInput (an input not constant, shapes that do not fit, over kMaxFoldedBytes),
// kUnsupported.
Result<std::vector<Tensor>> eval_node(const Graph& graph, const Node& node);

// The graph's outputs for inputs in the order, types and shapes of graph.inputs. Intermediate
// tensors are freed after their last use. Errors: kInvalidInput naming the input or node.
Result<std::vector<Tensor>> eval_graph(const Graph& graph, const std::vector<Tensor>& inputs);

// The same, showing every input and result as soon as it is there.
using Observer = std::function<void(ValueId, const Tensor&)>;
Result<std::vector<Tensor>> eval_graph(const Graph& graph, const std::vector<Tensor>& inputs,
                                       const Observer& observe);

// Like eval_graph, where dimension 0 of every input may be a multiple n of the graph's: n
// independent runs, outputs stacked along dimension 0.
Result<std::vector<Tensor>> eval_batch(const Graph& graph, const std::vector<Tensor>& inputs);

// Part `index` of a stack `t` of tensors of `shape`.
Tensor image_of(const Tensor& t, const Shape& shape, size_t index);

}  // namespace carrel
