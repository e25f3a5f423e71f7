#pragma once
#include "compiler/graph/graph.h"
#include "compiler/plan/plan.h"

namespace carrel::suite {

// What ONNX Runtime answers for the network with the numbers that its weights have when they are
// stored so: separates what the format loses from what the engine does. Errors: kIo, kUnsupported
// for a fully-connected layer with a factor.
Result<Tensor> stored_output(const Graph& graph, const WeightTypes& types, const Tensor& input,
                             int64_t batch);

}  // namespace carrel::suite
