#pragma once
// The executor that carrel is for: optimize, seal to a file, run in the trusted engine.
#include "compiler/graph/graph.h"

namespace carrel::conformance {

// Budget of every case; also the bound on what the engine measured.
inline constexpr uint64_t kSealedBudgetBytes = uint64_t{64} << 20;

// Outputs of the sealed graph on platform inproc, one thread, in kSealedBudgetBytes. Errors:
// kUnsupported with the planner's message; kInternal-like failures keep their own code;
// kInvalidInput if the measured peak is not the planned one. Thread safety: one call at a time per
// process.
Result<std::vector<Tensor>> run_sealed(const Graph& graph, const std::vector<Tensor>& inputs);

}  // namespace carrel::conformance
