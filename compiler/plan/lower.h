#pragma once
// Lowers a schedule of a layer graph to program tables.
#include "compiler/plan/layers.h"
#include "compiler/plan/placement.h"
#include "compiler/plan/plan.h"
#include "compiler/plan/program_builder.h"
#include "compiler/schedule/schedule.h"

namespace carrel {

struct Lowered {
  ProgramTables tables;
  uint64_t arena_bytes = 0;
  uint64_t store_bytes = 0;
  std::vector<LifetimeReport> lifetimes;
  std::vector<KeptWeights> kept_weights;
};

// Arena below `arena_limit_bytes` that the schedule leaves free keeps weights from one inference to the next.
Result<Lowered> lower_schedule(const LayerGraph& graph, const StreamPlan& streams, const SchedProblem& problem,
                               const Schedule& schedule, uint64_t arena_limit_bytes);

}  // namespace carrel
