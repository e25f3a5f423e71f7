#include "compiler/schedule/schedule.h"

#include <algorithm>
#include <map>
#include <set>

namespace carrel {
namespace {

// Cuts with more undecided tensors than this choose all kept or all spilled: the states stay few.
constexpr size_t kMaxFreeTensors = 5;
// Longer depth-first chains were never better on the networks of the zoo, and the search is linear in this.
constexpr NodeIndex kMaxSegmentNodes = 28;

using State = std::vector<TensorIndex>;  // the tensors alive at a cut that are kept, ascending

struct Entry {
  double seconds = 0;
  NodeIndex from = -1;  // previous cut
  State from_state;
  uint32_t rounds = 0;
  std::vector<WeightsChoice> weights;
  uint64_t memory_bytes = 0;
  double segment_seconds = 0;
};
using Frontier = std::map<State, Entry>;

// What a segment with given rounds costs apart from the choice of what stays.
struct Candidate {
  NodeIndex first = 0, end = 0;
  uint32_t rounds = 0;
  const Simulation& sim;
  std::vector<TensorIndex> leaving;  // wanted later
  uint64_t ring_bytes = 0;           // every tensor a ring
  uint64_t scratch_bytes = 0;
  double compute_seconds = 0;
};

class Scheduler {
 public:
  Scheduler(const SchedProblem& problem, const CostModel& cost, const ScheduleLimits& limits, SimulationCache* cache)
      : problem_(problem), cost_(cost), limits_(limits), cache_(*cache), kept_mark_(problem.tensors.size(), 0) {}

  Result<Schedule> run() {
    const NodeIndex n = static_cast<NodeIndex>(problem_.nodes.size());
    best_.resize(static_cast<size_t>(n) + 1);
    best_[0][{}] = Entry{};
    NodeIndex reached = 0;
    for (NodeIndex first = 0; first < n; ++first) {
      if (best_[static_cast<size_t>(first)].empty()) continue;
      reached = std::max(reached, extend(first));
    }
    if (best_[static_cast<size_t>(n)].empty()) {
      return Error(ErrorCode::kBudgetTooSmall, "budget too small for %s",
                   problem_.nodes[static_cast<size_t>(std::min(reached, n - 1))].name.c_str());
    }
    return trace_back();
  }

 private:
  const SchedTensor& tensor(TensorIndex t) const { return problem_.tensors[static_cast<size_t>(t)]; }
  const SchedNode& node(NodeIndex n) const { return problem_.nodes[static_cast<size_t>(n)]; }
  uint64_t whole_bytes(TensorIndex t) const { return tensor(t).rows * tensor(t).row_bytes; }

  // Tries every segment that starts at `first`; returns the furthest cut reached.
  NodeIndex extend(NodeIndex first) {
    const NodeIndex n = static_cast<NodeIndex>(problem_.nodes.size());
    const NodeIndex last = limits_.fuse ? std::min<NodeIndex>(n, first + kMaxSegmentNodes) : first + 1;
    NodeIndex reached = first;
    int misses = 0;
    for (NodeIndex end = first + 1; end <= last && misses < 3; ++end) {
      bool fits = false;
      for (uint32_t rounds : round_choices(first, end)) {
        if (try_candidate(make_candidate(first, end, rounds))) fits = true;
      }
      misses = fits ? 0 : misses + 1;
      if (fits) reached = end;
    }
    return reached;
  }

  std::vector<uint32_t> round_choices(NodeIndex first, NodeIndex end) const {
    uint32_t rows = 1;
    bool multiples = false;
    for (NodeIndex n = first; n < end; ++n) {
      multiples |= node(n).row_multiple > 1;
      for (size_t i = 0; i < node(n).inputs.size(); ++i) {
        if (node(n).needs[i].kind == RowNeed::Kind::kAccumulate) rows = std::max(rows, tensor(node(n).inputs[i]).rows);
      }
      for (TensorIndex t : node(n).outputs) {
        const SchedTensor& out = tensor(t);
        const bool leaves = out.is_output || out.consumers.empty() || out.consumers.back() >= end;
        if (leaves) rows = std::max(rows, out.rows);
      }
    }
    std::set<uint32_t> rounds = {1};
    if (limits_.slabs) {
      for (uint32_t slab : {rows / 2, rows / 4, 28u, 14u, 8u, 7u, 4u, 2u, 1u}) {
        if (slab >= 1 && slab <= rows) rounds.insert((rows + slab - 1) / slab);
      }
      // What such nodes transform per action is worth a closer fit.
      for (uint32_t slab : {12u, 16u, 20u, 24u}) {
        if (multiples && slab <= rows) rounds.insert((rows + slab - 1) / slab);
      }
    }
    return {rounds.begin(), rounds.end()};
  }

  Candidate make_candidate(NodeIndex first, NodeIndex end, uint32_t rounds) {
    Candidate c{first, end, rounds, cache_.get(first, end, rounds), {}, 0, 0, 0};
    for (const SegmentTensor& s : c.sim.tensors) {
      const bool later = !tensor(s.tensor).consumers.empty() && tensor(s.tensor).consumers.back() >= end;
      if (!s.external && later) c.leaving.push_back(s.tensor);
      c.ring_bytes += s.ring_rows * tensor(s.tensor).row_bytes;
      c.compute_seconds += passing_seconds(c, s);
    }
    for (NodeIndex n = first; n < end; ++n) {
      c.scratch_bytes = std::max(c.scratch_bytes, scratch_bytes(problem_, c.sim, first, n));
      c.compute_seconds += cost_.compute_seconds(n, actions(c, n));
    }
    return c;
  }

  // From the node that makes a tensor to those of the segment that read it: nothing while its rows stay in the next cache.
  // How a tensor leaves has its own price.
  double passing_seconds(const Candidate& c, const SegmentTensor& s) const {
    if (s.external || cost_.carry_seconds(s.ring_rows * tensor(s.tensor).row_bytes) == 0) return 0;
    int ways = s.leaves ? 0 : 1;
    for (NodeIndex n : tensor(s.tensor).consumers) ways += n < c.end;
    return ways * cost_.carry_seconds(whole_bytes(s.tensor));
  }

  // Adds the candidate to the frontier at its end for every state at its start; false if none fits.
  bool try_candidate(const Candidate& c) {
    const std::vector<State> choices = keep_choices(c.leaving);
    bool fits = false;
    for (const auto& [state, entry] : best_[static_cast<size_t>(c.first)]) {
      for (const State& fresh : choices) fits |= try_state(c, state, entry, fresh);
    }
    return fits;
  }

  // Which of the leaving tensors stay: every subset if there are few.
  std::vector<State> keep_choices(const std::vector<TensorIndex>& leaving) const {
    State forced, free;
    for (TensorIndex t : leaving) (tensor(t).spillable ? free : forced).push_back(t);
    std::vector<State> choices;
    const bool few = free.size() <= kMaxFreeTensors;
    const uint32_t count = few ? 1u << free.size() : 2u;
    for (uint32_t mask = 0; mask < count; ++mask) {
      State kept = forced;
      for (size_t i = 0; i < free.size(); ++i) {
        if (few ? (mask >> i) & 1 : mask) kept.push_back(free[i]);
      }
      choices.push_back(std::move(kept));
    }
    return choices;
  }

  bool try_state(const Candidate& c, const State& state, const Entry& from, const State& fresh) {
    ++mark_;
    uint64_t memory = c.ring_bytes + c.scratch_bytes;
    State next;
    for (const State* kept : {&state, &fresh}) {
      for (TensorIndex t : *kept) {
        kept_mark_[static_cast<size_t>(t)] = mark_;
        memory += whole_bytes(t);
        if (!tensor(t).consumers.empty() && tensor(t).consumers.back() >= c.end) next.push_back(t);
      }
    }
    double seconds = c.compute_seconds;
    for (const SegmentTensor& s : c.sim.tensors) {
      if (kept_mark_[static_cast<size_t>(s.tensor)] == mark_) {
        memory -= s.ring_rows * tensor(s.tensor).row_bytes;
        seconds += cost_.carry_seconds(whole_bytes(s.tensor));
      } else if (s.external || s.leaves) {
        seconds += cost_.spill_seconds(whole_bytes(s.tensor), static_cast<double>(tensor(s.tensor).rows) / c.rounds);
      }
    }
    if (memory > limits_.budget_bytes) return false;
    Entry entry;
    if (!choose_weights(c, &memory, &seconds, &entry.weights)) return false;
    std::sort(next.begin(), next.end());
    entry.seconds = from.seconds + seconds;
    entry.segment_seconds = seconds;
    entry.from = c.first;
    entry.from_state = state;
    entry.rounds = c.rounds;
    entry.memory_bytes = memory;
    Frontier& frontier = best_[static_cast<size_t>(c.end)];
    const auto found = frontier.find(next);
    if (found == frontier.end()) {
      frontier.emplace(std::move(next), std::move(entry));
    } else if (entry.seconds < found->second.seconds) {
      found->second = std::move(entry);
    }
    return true;
  }

  // Keeps weights where that saves fetching, best saving first, while there is room.
  bool choose_weights(const Candidate& c, uint64_t* memory, double* seconds,
                      std::vector<WeightsChoice>* choices) const {
    choices->assign(static_cast<size_t>(c.end - c.first), WeightsChoice::kNone);
    std::vector<NodeIndex> optional;
    for (NodeIndex n = c.first; n < c.end; ++n) {
      const SchedNode& me = node(n);
      if (me.weight_stored_bytes == 0) continue;
      const bool stream = me.streamable && limits_.stream_weights;
      if (!stream && me.streamable && !limits_.resident_weights) return false;
      (*choices)[static_cast<size_t>(n - c.first)] = stream ? WeightsChoice::kStreamed : WeightsChoice::kResident;
      if (!stream) *memory += me.weight_resident_bytes;
      else if (limits_.resident_weights && !limits_.weights_stay && actions(c, n) > 1) optional.push_back(n);
    }
    if (*memory > limits_.budget_bytes) return false;
    std::stable_sort(optional.begin(), optional.end(), [&](NodeIndex a, NodeIndex b) { return actions(c, a) > actions(c, b); });
    for (NodeIndex n : optional) {
      if (*memory + node(n).weight_resident_bytes > limits_.budget_bytes) continue;
      *memory += node(n).weight_resident_bytes;
      (*choices)[static_cast<size_t>(n - c.first)] = WeightsChoice::kResident;
    }
    for (NodeIndex n = c.first; n < c.end; ++n) {
      const bool streamed = (*choices)[static_cast<size_t>(n - c.first)] == WeightsChoice::kStreamed;
      if (streamed && limits_.weights_stay) continue;
      const uint64_t bytes = node(n).weight_stored_bytes;
      *seconds += streamed ? cost_.stream_seconds(n, bytes, actions(c, n)) : cost_.fetch_seconds(bytes);
    }
    return true;
  }

  static uint32_t actions(const Candidate& c, NodeIndex n) {
    return c.sim.actions_of_node[static_cast<size_t>(n - c.first)];
  }

  Result<Schedule> trace_back() {
    const NodeIndex n = static_cast<NodeIndex>(problem_.nodes.size());
    Schedule schedule;
    schedule.kept.assign(problem_.tensors.size(), false);
    const Frontier& finish = best_[static_cast<size_t>(n)];
    NodeIndex cut = n;
    State state = std::min_element(finish.begin(), finish.end(), [](const auto& a, const auto& b) {
                    return a.second.seconds < b.second.seconds;
                  })->first;
    schedule.seconds = finish.at(state).seconds;
    while (cut > 0) {
      const Entry& entry = best_[static_cast<size_t>(cut)].at(state);
      for (TensorIndex t : state) schedule.kept[static_cast<size_t>(t)] = true;
      Segment segment{entry.from, cut, entry.rounds, simulate_segment(problem_, entry.from, cut, entry.rounds, true),
                      entry.weights, entry.memory_bytes, entry.segment_seconds};
      schedule.segments.push_back(std::move(segment));
      cut = entry.from;
      state = entry.from_state;
    }
    std::reverse(schedule.segments.begin(), schedule.segments.end());
    return schedule;
  }

  const SchedProblem& problem_;
  const CostModel& cost_;
  const ScheduleLimits& limits_;
  SimulationCache& cache_;
  std::vector<uint32_t> kept_mark_;  // by tensor: == mark_ if kept in the state being tried
  uint32_t mark_ = 0;
  std::vector<Frontier> best_;
};

}  // namespace

uint64_t scratch_bytes(const SchedProblem& problem, const Simulation& simulation, NodeIndex first, NodeIndex node) {
  const SchedNode& me = problem.nodes[static_cast<size_t>(node)];
  const uint32_t rows = simulation.most_rows_of_node[static_cast<size_t>(node - first)];
  return me.scratch_bytes + me.scratch_bytes_per_row * ((rows + me.row_multiple - 1) / me.row_multiple * me.row_multiple);
}

Result<Schedule> make_schedule(const SchedProblem& problem, const CostModel& cost, const ScheduleLimits& limits,
                               SimulationCache* cache) {
  return Scheduler(problem, cost, limits, cache).run();
}

}  // namespace carrel
