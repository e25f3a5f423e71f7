#pragma once
// A canonical graph as bytes, for the public part of a sealed model: architecture without weights.
#include <span>
#include <vector>

#include "compiler/graph/graph.h"

namespace carrel {

// Float, int8, uint8 and int32 constants (weights, scales, biases) keep only their shape (a Tensor
// with empty data); int64 constants (architecture: shapes, axes, indices) are kept. Deterministic.
std::vector<std::byte> serialize_architecture(const Graph& graph);
// Hostile input: every id, count and shape is checked, then verify_graph(). Weights come back
// as shape-only constants.
Result<Graph> parse_architecture(std::span<const std::byte> bytes);

}  // namespace carrel
