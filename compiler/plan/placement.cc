#include "compiler/plan/placement.h"

#include <algorithm>

namespace carrel {
namespace {

class Placer {
 public:
  Placer(const LayerGraph& graph, const SchedProblem& problem, const Schedule& schedule)
      : graph_(graph), problem_(problem), schedule_(schedule) {
    out_.parts = parts_in_place(graph, problem, schedule);
    out_.kept.assign(graph.tensors.size(), -1);
    out_.rings.resize(schedule.segments.size());
    out_.weights.resize(graph.layers.size());
    out_.scratch.assign(schedule.segments.size(), -1);
  }

  Placement run(uint64_t limit_bytes) {
    for (uint32_t s = 0; s < schedule_.segments.size(); ++s) place_segment(s);
    out_.arena_bytes = allocate(&out_.objects);
    keep_weights(limit_bytes);
    return std::move(out_);
  }

 private:
  // Weights that would stay for good, and what that saves.
  struct Gain {
    NodeIndex node;
    uint64_t fetched;
    double saved_per_byte;
  };

  const Segment& segment(uint32_t s) const { return schedule_.segments[s]; }
  const SchedNode& node(NodeIndex n) const { return problem_.nodes[static_cast<size_t>(n)]; }
  WeightsChoice choice(uint32_t s, NodeIndex n) const {
    return segment(s).weights[static_cast<size_t>(n - segment(s).first)];
  }
  uint32_t segment_of(NodeIndex n) const {
    uint32_t s = 0;
    while (segment(s).end <= n) ++s;
    return s;
  }

  int add_object(uint64_t bytes, uint32_t first, uint32_t last, const std::string& name) {
    out_.objects.push_back({round_up(bytes, 64), first, last, 0});
    out_.names.push_back(name);
    return static_cast<int>(out_.objects.size()) - 1;
  }

  void place_segment(uint32_t s) {
    for (const SegmentTensor& t : segment(s).simulation.tensors) place_tensor(s, t);
    uint64_t scratch = 0;
    for (NodeIndex n = segment(s).first; n < segment(s).end; ++n) {
      const auto i = static_cast<size_t>(n);
      if (choice(s, n) == WeightsChoice::kResident && node(n).weight_resident_bytes > 0) {
        out_.weights[i].object = add_object(node(n).weight_resident_bytes, s, s, node(n).name + " weights");
      }
      scratch = std::max(scratch, scratch_bytes(problem_, segment(s).simulation, segment(s).first, n));
    }
    if (scratch > 0) out_.scratch[s] = add_object(scratch, s, s, "scratch");
  }

  void place_tensor(uint32_t s, const SegmentTensor& t) {
    const auto i = static_cast<size_t>(t.tensor);
    if (out_.parts.count(t.tensor) > 0) return;
    const SchedTensor& wanted = problem_.tensors[i];
    if (!schedule_.kept[i]) {
      out_.rings[s][t.tensor] = add_object(ring_rows(t) * wanted.row_bytes, s, s, wanted.name + ring_note(t));
    } else if (out_.kept[i] < 0) {
      const uint32_t last = segment_of(wanted.consumers.back());
      out_.kept[i] = add_object(wanted.rows * wanted.row_bytes, s, last, wanted.name);
    }
  }

  static uint32_t ring_rows(const SegmentTensor& t) { return std::max(1u, t.ring_rows); }
  std::string ring_note(const SegmentTensor& t) const {
    const uint32_t rows = graph_.tensors[static_cast<size_t>(t.tensor)].rows();
    return ring_rows(t) < rows ? " (" + std::to_string(ring_rows(t)) + " of " + std::to_string(rows) + " rows)" : "";
  }

  std::vector<Gain> gains() const {
    std::vector<Gain> gains;
    for (uint32_t s = 0; s < schedule_.segments.size(); ++s) {
      for (NodeIndex n = segment(s).first; n < segment(s).end; ++n) {
        if (choice(s, n) == WeightsChoice::kNone || node(n).weight_resident_bytes == 0) continue;
        const uint32_t actions = segment(s).simulation.actions_of_node[static_cast<size_t>(n - segment(s).first)];
        const uint64_t fetched = node(n).weight_stored_bytes * (choice(s, n) == WeightsChoice::kStreamed ? actions : 1);
        gains.push_back({n, fetched, static_cast<double>(fetched) / static_cast<double>(node(n).weight_resident_bytes)});
      }
    }
    std::stable_sort(gains.begin(), gains.end(), [](const Gain& a, const Gain& b) { return a.saved_per_byte > b.saved_per_byte; });
    return gains;
  }

  void keep_weights(uint64_t limit_bytes) {
    const uint32_t last = static_cast<uint32_t>(schedule_.segments.size() - 1);
    for (const Gain& gain : gains()) {
      const uint64_t bytes = round_up(node(gain.node).weight_resident_bytes, 64);
      if (out_.arena_bytes + bytes > limit_bytes) continue;
      const int object = add_object(bytes, 0, last, node(gain.node).name + " weights (kept)");
      out_.objects[static_cast<size_t>(object)].offset = out_.arena_bytes;
      out_.arena_bytes += bytes;
      out_.kept_fetch_bytes += gain.fetched;
      out_.weights[static_cast<size_t>(gain.node)] = {object, true};
    }
  }

  const LayerGraph& graph_;
  const SchedProblem& problem_;
  const Schedule& schedule_;
  Placement out_;
};

}  // namespace

Placement place(const LayerGraph& graph, const SchedProblem& problem, const Schedule& schedule,
                uint64_t arena_limit_bytes) {
  return Placer(graph, problem, schedule).run(arena_limit_bytes);
}

}  // namespace carrel
