#pragma once
// States a layer graph as a scheduling problem, and prices it.
#include "compiler/cost/cost.h"
#include "compiler/plan/layers.h"
#include "compiler/plan/plan.h"
#include "compiler/schedule/problem.h"

namespace carrel {

struct PlanProblem {
  SchedProblem problem;        // tensors and nodes with the indices of the layer graph
  std::vector<NodeWork> work;  // by node
};
Result<PlanProblem> state_problem(const LayerGraph& graph, const StreamPlan& streams, uint32_t threads);

}  // namespace carrel
