#include "compiler/schedule/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "compiler/schedule/allocate.h"

namespace carrel {
namespace {

class FlatCost : public CostModel {
 public:
  double compute_seconds(NodeIndex, uint32_t actions) const override { return 1e-3 + 1e-6 * actions; }
  double fetch_seconds(uint64_t bytes) const override { return static_cast<double>(bytes) * 1e-9; }
  double stream_seconds(NodeIndex, uint64_t bytes, uint32_t actions) const override { return fetch_seconds(bytes * actions); }
  double carry_seconds(uint64_t) const override { return 0; }
  double spill_seconds(uint64_t bytes, double) const override { return static_cast<double>(bytes) * 1e-9; }
};

TensorIndex add_tensor(SchedProblem* p, uint32_t rows, uint64_t row_bytes, NodeIndex producer) {
  SchedTensor t;
  t.name.append("t").append(std::to_string(p->tensors.size()));
  t.rows = rows;
  t.row_bytes = row_bytes;
  t.producer = producer;
  t.is_input = producer < 0;
  p->tensors.push_back(t);
  return static_cast<TensorIndex>(p->tensors.size()) - 1;
}

TensorIndex add_node(SchedProblem* p, const std::vector<TensorIndex>& inputs, const std::vector<RowNeed>& needs,
                     uint32_t rows, uint64_t row_bytes, uint64_t weights) {
  const NodeIndex n = static_cast<NodeIndex>(p->nodes.size());
  SchedNode node;
  node.name = "n" + std::to_string(n);
  node.inputs = inputs;
  node.needs = needs;
  node.weight_stored_bytes = node.weight_resident_bytes = weights;
  node.streamable = weights > 0;
  const TensorIndex out = add_tensor(p, rows, row_bytes, n);
  node.outputs = {out};
  p->nodes.push_back(node);
  for (TensorIndex t : inputs) {
    std::vector<NodeIndex>& c = p->tensors[static_cast<size_t>(t)].consumers;
    if (c.empty() || c.back() != n) c.push_back(n);
  }
  return out;
}

RowNeed window(uint32_t stride, uint32_t span, int32_t pad) { return {RowNeed::Kind::kWindow, stride, span, pad}; }

TensorIndex add_pool(SchedProblem* p, TensorIndex x) {
  return add_node(p, {x}, {{RowNeed::Kind::kAccumulate, 1, 1, 0}}, 1, 64, 0);
}

// Several accumulating readers of one tensor, joined.
TensorIndex add_pools(SchedProblem* p, TensorIndex x, uint32_t count) {
  std::vector<TensorIndex> pooled;
  for (uint32_t i = 0; i < count; ++i) pooled.push_back(add_pool(p, x));
  return add_node(p, pooled, std::vector<RowNeed>(count, window(1, 1, 0)), 1, 64 * count, 1000);
}

// A random network of strided windows, residual adds, gates and a pooled head.
SchedProblem random_network(uint32_t seed) {
  std::mt19937 random(seed);
  const auto pick = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  SchedProblem p;
  uint32_t rows = 8 + pick(60);
  TensorIndex x = add_tensor(&p, rows, 640, -1);
  const uint32_t depth = 2 + pick(10);
  for (uint32_t i = 0; i < depth; ++i) {
    const uint32_t span = 1 + 2 * pick(3);
    const uint32_t stride = rows > 6 ? 1 + pick(2) : 1;
    const int32_t pad = static_cast<int32_t>(span / 2);
    const uint32_t out_rows = (rows + 2 * static_cast<uint32_t>(pad) - span) / stride + 1;
    const TensorIndex y = add_node(&p, {x}, {window(stride, span, pad)}, out_rows, 64 * (1 + pick(20)), 1000 * pick(30));
    rows = out_rows;
    if (pick(2) == 0) {
      const uint64_t bytes = p.tensors[static_cast<size_t>(y)].row_bytes;
      const TensorIndex z = add_node(&p, {y}, {window(1, 3, 1)}, rows, bytes, 5000);
      x = add_node(&p, {z, y}, {window(1, 1, 0), window(1, 1, 0)}, rows, bytes, 0);
    } else {
      x = y;
    }
    if (pick(4) == 0) {
      const uint64_t bytes = p.tensors[static_cast<size_t>(x)].row_bytes;
      const TensorIndex gate = add_pools(&p, x, 1 + pick(3));
      x = add_node(&p, {x, gate}, {window(1, 1, 0), {RowNeed::Kind::kAll, 1, 1, 0}}, rows, bytes, 0);
    }
  }
  if (pick(2) == 0) p.tensors[static_cast<size_t>(x)].is_output = true;
  if (pick(2) == 0) p.tensors[static_cast<size_t>(add_pool(&p, x))].is_output = true;
  const TensorIndex pooled = add_pools(&p, x, 1 + pick(3));
  const TensorIndex last = add_node(&p, {pooled}, {{RowNeed::Kind::kAll, 1, 1, 0}}, 1, 64, 40000);
  p.tensors[static_cast<size_t>(last)].is_output = true;
  return p;
}

// Replays a schedule and fails if a row is missing, computed twice, or no longer in its ring when it is read.
class Replay {
 public:
  Replay(const SchedProblem& problem, const Schedule& schedule) : problem_(problem), schedule_(schedule) {}

  void run() {
    for (const Segment& s : schedule_.segments) {
      ring_.clear();
      made_here_.clear();
      for (const SegmentTensor& t : s.simulation.tensors) {
        const bool kept = schedule_.kept[static_cast<size_t>(t.tensor)];
        ring_[t.tensor] = kept ? tensor(t.tensor).rows : t.ring_rows;
        if (t.external && kept) made_here_[t.tensor] = tensor(t.tensor).rows;
      }
      for (const Action& a : s.simulation.actions) step(a);
    }
    for (size_t t = 0; t < problem_.tensors.size(); ++t) {
      const TensorIndex index = static_cast<TensorIndex>(t);
      if (tensor(index).is_output) {
        EXPECT_EQ(stored_[index], tensor(index).rows);
      }
    }
    for (size_t n = 0; n < problem_.nodes.size(); ++n) {
      const SchedNode& node = problem_.nodes[n];
      // Others may leave out a last row that no window reaches.
      if (node.needs[0].kind != RowNeed::Kind::kAccumulate) continue;
      EXPECT_EQ(covered_[static_cast<NodeIndex>(n)], tensor(node.inputs[0]).rows) << node.name;
    }
  }

 private:
  const SchedTensor& tensor(TensorIndex t) const { return problem_.tensors[static_cast<size_t>(t)]; }

  void step(const Action& a) {
    if (a.kind == Action::Kind::kFetch) {
      if (schedule_.kept[static_cast<size_t>(a.tensor)]) return;
      const bool spilled = tensor(a.tensor).is_input || stored_[a.tensor] >= a.row_end;
      EXPECT_TRUE(spilled) << tensor(a.tensor).name;
      EXPECT_EQ(made_here_[a.tensor], a.row_begin);
      made_here_[a.tensor] = a.row_end;
    } else if (a.kind == Action::Kind::kStore) {
      EXPECT_EQ(stored_[a.tensor], a.row_begin);
      stored_[a.tensor] = a.row_end;
    } else {
      compute(a);
    }
  }

  void compute(const Action& a) {
    const SchedNode& node = problem_.nodes[static_cast<size_t>(a.node)];
    EXPECT_EQ(covered_[a.node], a.row_begin) << node.name;
    covered_[a.node] = a.row_end;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const TensorIndex t = node.inputs[i];
      int64_t first = 0, end = tensor(t).rows;
      if (node.needs[i].kind == RowNeed::Kind::kWindow) {
        first = int64_t{a.row_begin} * node.needs[i].stride - node.needs[i].pad;
        end = int64_t{a.row_end - 1} * node.needs[i].stride - node.needs[i].pad + node.needs[i].span;
      } else if (node.needs[i].kind == RowNeed::Kind::kAccumulate) {
        first = a.row_begin;
        end = a.row_end;
      }
      first = std::clamp<int64_t>(first, 0, tensor(t).rows);
      end = std::clamp<int64_t>(end, 0, tensor(t).rows);
      EXPECT_LE(end, made_here_[t]) << node.name;
      EXPECT_GE(first + ring_[t], made_here_[t]) << node.name << " reads a row that left the ring";
    }
    const TensorIndex out = node.outputs[0];
    if (node.needs[0].kind == RowNeed::Kind::kAccumulate) {
      if (a.row_end == tensor(node.inputs[0]).rows) made_here_[out] = 1;
      return;
    }
    made_here_[out] = a.row_end;
  }

  const SchedProblem& problem_;
  const Schedule& schedule_;
  std::map<TensorIndex, uint32_t> ring_, made_here_, stored_;
  std::map<NodeIndex, uint32_t> covered_;  // rows of its output; of its input where the node accumulates
};

TEST(Schedule, ReplaysOnRandomNetworksUnderEveryBudget) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const SchedProblem problem = random_network(seed);
    SimulationCache cache(problem);
    for (uint64_t budget : {uint64_t{20000}, uint64_t{60000}, uint64_t{200000}, uint64_t{4000000}}) {
      for (bool fuse : {false, true}) {
        const ScheduleLimits limits{budget, fuse, true, true, true};
        const Result<Schedule> schedule = make_schedule(problem, FlatCost(), limits, &cache);
        if (!schedule.ok()) {
          EXPECT_EQ(schedule.error().code(), ErrorCode::kBudgetTooSmall);
          EXPECT_LT(budget, 4000000u);
          continue;
        }
        for (const Segment& s : schedule->segments) EXPECT_LE(s.memory_bytes, budget);
        Replay(problem, *schedule).run();
      }
    }
  }
}

TEST(Schedule, LargerBudgetIsNeverSlower) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    const SchedProblem problem = random_network(seed);
    SimulationCache cache(problem);
    double before = 1e9;
    for (uint64_t budget = 30000; budget < 4000000; budget *= 2) {
      const ScheduleLimits limits{budget, true, true, true, true};
      const Result<Schedule> schedule = make_schedule(problem, FlatCost(), limits, &cache);
      if (!schedule.ok()) continue;
      EXPECT_LE(schedule->seconds, before * (1 + 1e-9)) << "seed " << seed << " budget " << budget;
      before = schedule->seconds;
    }
  }
}

TEST(Schedule, WeightsThatStayTakeNeitherTimeNorMemory) {
  for (uint32_t seed = 1; seed <= 10; ++seed) {
    const SchedProblem problem = random_network(seed);
    SimulationCache cache(problem);
    ScheduleLimits limits{4000000, true, true, true, true};
    const Result<Schedule> fetched = make_schedule(problem, FlatCost(), limits, &cache);
    limits.weights_stay = true;
    const Result<Schedule> stay = make_schedule(problem, FlatCost(), limits, &cache);
    ASSERT_TRUE(fetched.ok() && stay.ok());
    EXPECT_LT(stay->seconds, fetched->seconds) << "seed " << seed;
    for (const Segment& s : stay->segments) {
      for (size_t i = 0; i < s.weights.size(); ++i) {
        const SchedNode& node = problem.nodes[static_cast<size_t>(s.first) + i];
        if (!node.streamable || node.weight_stored_bytes == 0) continue;
        EXPECT_EQ(s.weights[i], WeightsChoice::kStreamed);
      }
    }
  }
}

// Three windows over maps of 64 rows of 1 KiB.
SchedProblem chain() {
  SchedProblem p;
  TensorIndex x = add_tensor(&p, 64, 1024, -1);
  for (int i = 0; i < 3; ++i) x = add_node(&p, {x}, {window(1, 3, 1)}, 64, 1024, 0);
  p.tensors[static_cast<size_t>(x)].is_output = true;
  return p;
}

// As FlatCost, with a cache of 16 rows.
class CachedCost : public FlatCost {
 public:
  double carry_seconds(uint64_t bytes) const override {
    return bytes > 16 * 1024 ? static_cast<double>(bytes) * 1e-9 : 0;
  }
};

TEST(Schedule, LargeMapsAreCutThoughMemoryIsPlenty) {
  const SchedProblem problem = chain();
  SimulationCache cache(problem);
  const ScheduleLimits limits{10 << 20, true, true, true, true};
  const Result<Schedule> schedule = make_schedule(problem, CachedCost(), limits, &cache);
  ASSERT_TRUE(schedule.ok());
  ASSERT_EQ(schedule->segments.size(), 1u);
  for (const SegmentTensor& t : schedule->segments[0].simulation.tensors) EXPECT_LE(t.ring_rows, 16u);
}

TEST(Allocate, NeverOverlapsAndStaysCloseToTheSumAlive) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<MemoryObject> objects;
    for (int i = 0; i < 40; ++i) {
      const uint32_t first = static_cast<uint32_t>(random() % 20);
      objects.push_back({64 * (1 + random() % 100), first, first + static_cast<uint32_t>(random() % 5), 0});
    }
    const uint64_t top = allocate(&objects);
    uint64_t most = 0;
    for (uint32_t t = 0; t < 25; ++t) {
      uint64_t alive = 0;
      for (const MemoryObject& o : objects) alive += o.first <= t && t <= o.last ? o.bytes : 0;
      most = std::max(most, alive);
    }
    EXPECT_LE(top, most * 3 / 2);
    for (size_t i = 0; i < objects.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        const MemoryObject &a = objects[i], &b = objects[j];
        const bool together = a.first <= b.last && b.first <= a.last;
        EXPECT_TRUE(!together || a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset);
      }
    }
  }
}

}  // namespace
}  // namespace carrel
