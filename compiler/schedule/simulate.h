#pragma once
// Runs a segment (nodes [first, end) depth-first, a slab at a time) on paper: which rows each action makes, and
// how many rows of each tensor live at once. No row is computed twice.
#include <unordered_map>
#include <vector>

#include "compiler/schedule/problem.h"

namespace carrel {

struct Action {
  enum class Kind : uint8_t { kFetch, kCompute, kStore };
  Kind kind = Kind::kCompute;
  NodeIndex node = -1;        // kCompute
  TensorIndex tensor = -1;    // kFetch: an input of the segment; kStore: a tensor that leaves it
  uint32_t row_begin = 0;     // of the tensor; kCompute: of the output, or of the input where the node accumulates
  uint32_t row_end = 0;
};

struct SegmentTensor {
  TensorIndex tensor = -1;
  bool external = false;    // made before the segment
  bool leaves = false;      // wanted after the segment
  uint32_t ring_rows = 0;   // most rows alive at once, if it is a ring here
};

struct Simulation {
  std::vector<SegmentTensor> tensors;
  std::vector<uint32_t> actions_of_node;  // by node - first
  std::vector<uint32_t> most_rows_of_node;  // of one action, likewise
  std::vector<Action> actions;            // only if recorded
};

// Every tensor that leaves the segment advances evenly over `rounds` rounds (its rows * k / rounds after round k).
// Requires 0 <= first < end <= nodes, rounds >= 1.
Simulation simulate_segment(const SchedProblem& problem, NodeIndex first, NodeIndex end, uint32_t rounds,
                            bool record);

// Remembers unrecorded simulations of one problem: they do not depend on the budget, and a planner asks for the same
// ones many times. Thread safety: none.
class SimulationCache {
 public:
  explicit SimulationCache(const SchedProblem& problem) : problem_(problem) {}
  const Simulation& get(NodeIndex first, NodeIndex end, uint32_t rounds);

 private:
  const SchedProblem& problem_;
  std::unordered_map<uint64_t, Simulation> known_;
};

}  // namespace carrel
