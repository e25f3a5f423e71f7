#pragma once
// Limits that keep constant folding of hostile graphs small.
#include "compiler/graph/graph.h"

namespace carrel {

// Masks and position tables of real networks are a few MiB; a folded constant may also be as large
// as its inputs.
inline constexpr uint64_t kFoldBytesLimit = uint64_t{64} << 20;
// Multiply-adds spent on one node: about a second of the plain kernels.
inline constexpr uint64_t kFoldWorkLimit = uint64_t{1} << 30;

// The node's outputs (shapes known) stay within these limits.
bool fold_is_cheap(const Graph& graph, const Node& node);

}  // namespace carrel
