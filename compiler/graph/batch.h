#pragma once
// Is dimension 0 of every input and output an independent batch?
#include "compiler/graph/graph.h"

namespace carrel {

// True if running the images one at a time gives the same answer as running them together: every
// operator between inputs and outputs treats dimension 0 as independent. Conservative: false when
// unsure.
bool batch_separable(const Graph& graph);

}  // namespace carrel
