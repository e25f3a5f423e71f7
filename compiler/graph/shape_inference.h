#pragma once
// Output shapes and dtypes of canonical operators.
#include "compiler/graph/graph.h"

namespace carrel {

// Sets type and shape of `node`'s outputs from its inputs and attributes. kInvalidInput (naming
// node and shapes) on a mismatch; sizes from files are untrusted, so every product is checked.
// kUnsupported: an operand type that the operator has no arithmetic for.
Status infer_node(const Graph& graph, const Node& node, std::vector<Value>* outputs);
// Every node in topological order.
Status infer_shapes(Graph* graph);

}  // namespace carrel
