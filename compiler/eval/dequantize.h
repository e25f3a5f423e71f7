#pragma once
// Constants of quantized models as floats.
#include "compiler/graph/graph.h"

namespace carrel {

// (x - zero) * scale of a kDequantizeConst node, in float32. kInvalidInput if a constant has no
// data.
Result<std::vector<Tensor>> dequantize_const(const Graph& graph, const Node& node);

}  // namespace carrel
