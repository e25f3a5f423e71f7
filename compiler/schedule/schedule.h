#pragma once
// Cuts a problem into segments and decides, for the least predicted time under a hard budget of the small tier:
// slab height per segment, weights kept or fetched on every slab, and which tensors stay between segments.
#include <vector>

#include "base/result.h"
#include "compiler/schedule/cost_model.h"
#include "compiler/schedule/problem.h"
#include "compiler/schedule/simulate.h"

namespace carrel {

struct ScheduleLimits {
  uint64_t budget_bytes = 0;
  bool fuse = true;              // segments of more than one node
  bool slabs = true;             // more than one round
  bool stream_weights = true;    // filter tiles fetched inside every action
  bool resident_weights = true;  // weights kept for a segment
  bool weights_stay = false;     // streamable ones are somewhere else already: they cost neither time nor memory
};

enum class WeightsChoice : uint8_t { kNone, kStreamed, kResident };

struct Segment {
  NodeIndex first = 0, end = 0;
  uint32_t rounds = 1;
  Simulation simulation;               // recorded
  std::vector<WeightsChoice> weights;  // by node - first
  uint64_t memory_bytes = 0;
  double seconds = 0;
};

struct Schedule {
  std::vector<Segment> segments;
  std::vector<bool> kept;  // by tensor: whole in the small tier from its producer's segment to its last consumer's
  double seconds = 0;
};

// Scratch of `node` in a segment that begins at `first` and is simulated as `simulation`.
uint64_t scratch_bytes(const SchedProblem& problem, const Simulation& simulation, NodeIndex first, NodeIndex node);

// Errors: kBudgetTooSmall (detail 0) naming the node nothing fits for.
// `cache` is the problem's; sharing it over calls saves most of their time.
Result<Schedule> make_schedule(const SchedProblem& problem, const CostModel& cost, const ScheduleLimits& limits,
                               SimulationCache* cache);

}  // namespace carrel
