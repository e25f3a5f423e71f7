#include "compiler/schedule/simulate.h"

#include <algorithm>

namespace carrel {
namespace {

using Kind = RowNeed::Kind;

struct LocalTensor {
  uint32_t rows = 0;
  bool paced = false;  // advances evenly: leaves the segment, or somebody inside needs all of it
  uint32_t need = 0;
  uint32_t produced = 0;
  uint32_t taken = 0;  // input rows that the producer has taken, where that accumulates
};

class Simulator {
 public:
  Simulator(const SchedProblem& problem, NodeIndex first, NodeIndex end, uint32_t rounds, bool record)
      : problem_(problem), first_(first), end_(end), rounds_(rounds), record_(record) {
    local_.assign(problem.tensors.size(), -1);
    out_.actions_of_node.assign(static_cast<size_t>(end - first), 0);
    out_.most_rows_of_node = out_.actions_of_node;
    for (NodeIndex n = first; n < end; ++n) {
      for (TensorIndex t : node(n).inputs) add_tensor(t);
      for (TensorIndex t : node(n).outputs) add_tensor(t);
    }
    for (NodeIndex n = first; n < end; ++n) mark_paced(n);
  }

  Simulation run() {
    for (uint32_t round = 1; round <= rounds_; ++round) {
      set_needs(round);
      for (NodeIndex n = first_; n < end_; ++n) advance(n);
    }
    return std::move(out_);
  }

 private:
  const SchedNode& node(NodeIndex n) const { return problem_.nodes[static_cast<size_t>(n)]; }
  LocalTensor& at(TensorIndex t) { return state_[static_cast<size_t>(local_[static_cast<size_t>(t)])]; }
  SegmentTensor& segment(TensorIndex t) {
    return out_.tensors[static_cast<size_t>(local_[static_cast<size_t>(t)])];
  }

  void add_tensor(TensorIndex t) {
    if (local_[static_cast<size_t>(t)] >= 0) return;
    local_[static_cast<size_t>(t)] = static_cast<int32_t>(state_.size());
    const SchedTensor& tensor = problem_.tensors[static_cast<size_t>(t)];
    SegmentTensor s;
    s.tensor = t;
    s.external = tensor.producer < first_;
    s.leaves = !s.external && (tensor.is_output || (!tensor.consumers.empty() && tensor.consumers.back() >= end_));
    LocalTensor l;
    l.rows = tensor.rows;
    l.paced = s.leaves;
    state_.push_back(l);
    out_.tensors.push_back(s);
  }

  void mark_paced(NodeIndex n) {
    const SchedNode& me = node(n);
    for (size_t i = 0; i < me.inputs.size(); ++i) {
      if (me.needs[i].kind != Kind::kWindow) at(me.inputs[i]).paced = true;
    }
    // A tensor nobody reads still has to be made.
    for (TensorIndex t : me.outputs) {
      if (problem_.tensors[static_cast<size_t>(t)].consumers.empty()) at(t).paced = true;
    }
  }

  void set_needs(uint32_t round) {
    for (LocalTensor& l : state_) {
      const uint64_t paced = uint64_t{l.rows} * round / rounds_;
      l.need = std::max(l.produced, l.paced ? static_cast<uint32_t>(paced) : 0);
    }
    for (NodeIndex n = end_ - 1; n >= first_; --n) {
      const SchedNode& me = node(n);
      uint32_t target = 0;
      for (TensorIndex t : me.outputs) target = std::max(target, at(t).need);
      target = whole_multiple(me, target);
      for (TensorIndex t : me.outputs) at(t).need = std::min(target, at(t).rows);
      for (size_t i = 0; i < me.inputs.size(); ++i) {
        LocalTensor& in = at(me.inputs[i]);
        in.need = std::max(in.need, rows_wanted(me.needs[i], target, in.rows));
      }
    }
  }

  uint32_t whole_multiple(const SchedNode& me, uint32_t target) {
    if (me.row_multiple == 1) return target;
    const uint32_t rest = target % me.row_multiple;
    return std::min(at(me.outputs[0]).rows, rest == 0 ? target : target - rest + me.row_multiple);
  }

  static uint32_t rows_wanted(const RowNeed& need, uint32_t target, uint32_t rows) {
    if (target == 0) return 0;
    if (need.kind != Kind::kWindow) return rows;
    const int64_t last = int64_t{target - 1} * need.stride - need.pad + need.span;
    return static_cast<uint32_t>(std::clamp<int64_t>(last, 0, rows));
  }

  // First row of tensor t that a consumer inside the segment will still read.
  uint32_t first_needed(TensorIndex t) {
    const SchedTensor& tensor = problem_.tensors[static_cast<size_t>(t)];
    uint32_t first = at(t).produced;
    for (NodeIndex n : tensor.consumers) {
      if (n < first_ || n >= end_) continue;
      const SchedNode& me = node(n);
      for (size_t i = 0; i < me.inputs.size(); ++i) {
        if (me.inputs[i] == t) first = std::min(first, still_wanted(me, i));
      }
    }
    return first;
  }

  uint32_t still_wanted(const SchedNode& me, size_t i) {
    const LocalTensor& in = at(me.inputs[i]);
    if (me.needs[i].kind == Kind::kAccumulate) return at(me.outputs[0]).taken;
    uint32_t made = ~0u;
    bool done = true;
    for (TensorIndex t : me.outputs) {
      made = std::min(made, at(t).produced);
      done = done && at(t).produced == at(t).rows;
    }
    if (done) return in.rows;
    if (me.needs[i].kind == Kind::kAll) return 0;
    const int64_t row = int64_t{made} * me.needs[i].stride - me.needs[i].pad;
    return static_cast<uint32_t>(std::clamp<int64_t>(row, 0, in.rows));
  }

  void note_rows(TensorIndex t, uint32_t first) {
    SegmentTensor& s = segment(t);
    s.ring_rows = std::max(s.ring_rows, at(t).produced - std::min(first, at(t).produced));
  }

  void act(Action::Kind kind, NodeIndex n, TensorIndex t, uint32_t begin, uint32_t end) {
    if (record_) out_.actions.push_back({kind, n, t, begin, end});
  }

  void fetch_inputs(const SchedNode& me) {
    for (TensorIndex t : me.inputs) {
      LocalTensor& in = at(t);
      if (!segment(t).external || in.produced >= in.need) continue;
      const uint32_t first = first_needed(t);
      act(Action::Kind::kFetch, -1, t, in.produced, in.need);
      in.produced = in.need;
      note_rows(t, first);
    }
  }

  void advance(NodeIndex n) {
    const SchedNode& me = node(n);
    fetch_inputs(me);
    if (!me.needs.empty() && me.needs[0].kind == Kind::kAccumulate) return accumulate(n);
    const uint32_t begin = at(me.outputs[0]).produced;
    uint32_t end = begin;
    for (TensorIndex t : me.outputs) end = std::max(end, at(t).need);
    if (begin >= end) return;
    compute(n, begin, end);
    for (TensorIndex t : me.outputs) finish_rows(t, begin, end);
  }

  void accumulate(NodeIndex n) {
    const SchedNode& me = node(n);
    const LocalTensor& in = at(me.inputs[0]);
    LocalTensor& out = at(me.outputs[0]);
    if (out.taken >= in.produced) return;
    compute(n, out.taken, in.produced);
    out.taken = in.produced;
    segment(me.outputs[0]).ring_rows = 1;
    if (out.taken == in.rows) finish_rows(me.outputs[0], 0, 1);
  }

  void compute(NodeIndex n, uint32_t begin, uint32_t end) {
    act(Action::Kind::kCompute, n, -1, begin, end);
    const auto i = static_cast<size_t>(n - first_);
    out_.actions_of_node[i] += 1;
    out_.most_rows_of_node[i] = std::max(out_.most_rows_of_node[i], end - begin);
  }

  void finish_rows(TensorIndex t, uint32_t begin, uint32_t end) {
    const uint32_t first = first_needed(t);
    at(t).produced = std::max(at(t).produced, end);
    note_rows(t, std::min(first, begin));
    if (segment(t).leaves) act(Action::Kind::kStore, -1, t, begin, end);
  }

  const SchedProblem& problem_;
  NodeIndex first_, end_;
  uint32_t rounds_;
  bool record_;
  std::vector<int32_t> local_;
  std::vector<LocalTensor> state_;
  Simulation out_;
};

}  // namespace

Simulation simulate_segment(const SchedProblem& problem, NodeIndex first, NodeIndex end, uint32_t rounds,
                            bool record) {
  return Simulator(problem, first, end, rounds, record).run();
}

const Simulation& SimulationCache::get(NodeIndex first, NodeIndex end, uint32_t rounds) {
  constexpr int kNodeBits = 20;
  const uint64_t nodes = static_cast<uint64_t>(first) << kNodeBits | static_cast<uint64_t>(end);
  const uint64_t key = nodes << kNodeBits | rounds;
  const auto found = known_.find(key);
  if (found != known_.end()) return found->second;
  return known_.emplace(key, simulate_segment(problem_, first, end, rounds, false)).first->second;
}

}  // namespace carrel
