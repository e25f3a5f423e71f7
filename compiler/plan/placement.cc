#include "compiler/plan/placement.h"

#include <algorithm>

namespace carrel {
namespace {

class Placer {
 public:
  Placer(const LayerGraph& graph, const SchedProblem& problem, const Schedule& schedule)
      : graph_(graph), problem_(problem), schedule_(schedule) {
    out_.parts = parts_in_place(graph, problem, schedule);
    for (const auto& [part, place] : out_.parts) {
      NodeIndex& begin = first_part_.try_emplace(place.whole, tensor(part).producer).first->second;
      begin = std::min(begin, tensor(part).producer);
    }
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
    KeptWeights weights;
    double saved_per_byte;
  };

  const Segment& segment(uint32_t s) const { return schedule_.segments[s]; }
  const SchedTensor& tensor(TensorIndex t) const { return problem_.tensors[static_cast<size_t>(t)]; }
  const SchedNode& node(NodeIndex n) const { return problem_.nodes[static_cast<size_t>(n)]; }
  WeightsChoice choice(uint32_t s, NodeIndex n) const {
    return segment(s).weights[static_cast<size_t>(n - segment(s).first)];
  }
  uint32_t segment_of(NodeIndex n) const {
    uint32_t s = 0;
    while (segment(s).end <= n) ++s;
    return s;
  }

  // The layers during which something lives, both included.
  struct Span {
    NodeIndex first, last;
  };
  int add_object(uint64_t bytes, Span span, const std::string& name) {
    out_.objects.push_back({round_up(bytes, 64), static_cast<uint32_t>(span.first), static_cast<uint32_t>(span.last), 0});
    out_.names.push_back(name);
    return static_cast<int>(out_.objects.size()) - 1;
  }

  // The layers of a segment with one round run one after another, each once; those of others take turns.
  Span span_of(const Segment& segment, Span used) const {
    if (segment.rounds > 1) return {segment.first, segment.end - 1};
    return {std::max(used.first, segment.first), std::min(used.last, segment.end - 1)};
  }
  // From where a tensor is made, or fetched for its first reader in the segment, to its last reader there.
  Span used_in(const Segment& segment, TensorIndex t) const {
    const SchedTensor& wanted = tensor(t);
    Span used = {wanted.producer, wanted.producer};
    const auto part = first_part_.find(t);
    if (part != first_part_.end()) used.first = part->second;
    if (wanted.producer < segment.first) used.first = segment.end;
    for (NodeIndex n : wanted.consumers) {
      if (n < segment.first || n >= segment.end) continue;
      used = {std::min(used.first, n), std::max(used.last, n)};
    }
    return used;
  }

  void place_segment(uint32_t s) {
    for (const SegmentTensor& t : segment(s).simulation.tensors) place_tensor(s, t);
    uint64_t scratch = 0;
    for (NodeIndex n = segment(s).first; n < segment(s).end; ++n) {
      const auto i = static_cast<size_t>(n);
      if (choice(s, n) == WeightsChoice::kResident && node(n).weight_resident_bytes > 0) {
        const Span span = span_of(segment(s), {segment(s).first, n});  // loaded when the segment begins
        out_.weights[i].object = add_object(node(n).weight_resident_bytes, span, node(n).name + " weights");
      }
      scratch = std::max(scratch, scratch_bytes(problem_, segment(s).simulation, segment(s).first, n));
    }
    if (scratch > 0) out_.scratch[s] = add_object(scratch, {segment(s).first, segment(s).end - 1}, "scratch");
  }

  void place_tensor(uint32_t s, const SegmentTensor& t) {
    const auto i = static_cast<size_t>(t.tensor);
    if (out_.parts.count(t.tensor) > 0) return;
    const SchedTensor& wanted = tensor(t.tensor);
    const Span here = span_of(segment(s), used_in(segment(s), t.tensor));
    if (!schedule_.kept[i]) {
      out_.rings[s][t.tensor] = add_object(ring_rows(t) * wanted.row_bytes, here, wanted.name + ring_note(t));
    } else if (out_.kept[i] < 0) {
      const NodeIndex end = wanted.consumers.back();
      const Span there = span_of(segment(segment_of(end)), {end, end});
      out_.kept[i] = add_object(wanted.rows * wanted.row_bytes, {here.first, there.last}, wanted.name);
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
        const bool streamed = choice(s, n) == WeightsChoice::kStreamed;
        const uint64_t fetched = node(n).weight_stored_bytes * (streamed ? actions : 1);
        gains.push_back({{n, actions, streamed}, static_cast<double>(fetched) / static_cast<double>(node(n).weight_resident_bytes)});
      }
    }
    std::stable_sort(gains.begin(), gains.end(), [](const Gain& a, const Gain& b) { return a.saved_per_byte > b.saved_per_byte; });
    return gains;
  }

  void keep_weights(uint64_t limit_bytes) {
    const Span always = {0, static_cast<NodeIndex>(problem_.nodes.size()) - 1};
    for (const Gain& gain : gains()) {
      const SchedNode& me = node(gain.weights.node);
      const uint64_t bytes = round_up(me.weight_resident_bytes, 64);
      if (out_.arena_bytes + bytes > limit_bytes) continue;
      const int object = add_object(bytes, always, me.name + " weights (kept)");
      out_.objects[static_cast<size_t>(object)].offset = out_.arena_bytes;
      out_.arena_bytes += bytes;
      out_.kept_weights.push_back(gain.weights);
      out_.weights[static_cast<size_t>(gain.weights.node)] = {object, true};
    }
  }

  const LayerGraph& graph_;
  const SchedProblem& problem_;
  const Schedule& schedule_;
  std::map<TensorIndex, NodeIndex> first_part_;  // of concatenations made in place
  Placement out_;
};

}  // namespace

Placement place(const LayerGraph& graph, const SchedProblem& problem, const Schedule& schedule,
                uint64_t arena_limit_bytes) {
  return Placer(graph, problem, schedule).run(arena_limit_bytes);
}

}  // namespace carrel
