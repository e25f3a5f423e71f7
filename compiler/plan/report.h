#pragma once
// The human side of a plan.
#include "compiler/plan/lower.h"

namespace carrel {

void fill_report(const LayerGraph& graph, const SchedProblem& problem, const Schedule& schedule, const StreamPlan& streams,
                 const Lowered& lowered, Plan* plan);

}  // namespace carrel
