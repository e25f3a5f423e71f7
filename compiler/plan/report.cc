#include "compiler/plan/report.h"

#include <set>

namespace carrel {
namespace {

std::string shape_of(const PlanTensor& t) {
  if (t.kind == TensorKind::kMap) {
    return std::to_string(t.map.channels) + " x " + std::to_string(t.map.height) + " x " + std::to_string(t.map.width);
  }
  std::string text;
  for (int64_t d : t.dims) text += (text.empty() ? "" : " x ") + std::to_string(d);
  return text.empty() ? "scalar" : text;
}

struct Reporter {
  const LayerGraph& graph;
  const SchedProblem& problem;
  const Schedule& schedule;
  const StreamPlan& streams;
  const std::set<uint16_t> kept_streams;  // resident from one inference to the next

  uint64_t whole_bytes(TensorIndex t) const {
    const SchedTensor& s = problem.tensors[static_cast<size_t>(t)];
    return s.rows * s.row_bytes;
  }

  bool leaves_small_tier(const Segment& segment, const SegmentTensor& t) const {
    const SchedTensor& s = problem.tensors[static_cast<size_t>(t.tensor)];
    const bool later = !s.consumers.empty() && s.consumers.back() >= segment.end;
    return t.leaves && (s.is_output || (later && !schedule.kept[static_cast<size_t>(t.tensor)]));
  }

  SegmentReport segment_report(const Segment& segment, std::vector<LayerReport>* layers, uint32_t index) const {
    SegmentReport r;
    r.first_layer = static_cast<uint32_t>(segment.first);
    r.last_layer = static_cast<uint32_t>(segment.end - 1);
    r.rounds = segment.rounds;
    r.memory_bytes = segment.memory_bytes;
    r.predicted_ms = segment.seconds * 1e3;
    for (const SegmentTensor& t : segment.simulation.tensors) {
      const bool kept = schedule.kept[static_cast<size_t>(t.tensor)];
      if (t.external && !kept) r.spill_bytes += whole_bytes(t.tensor);
      if (leaves_small_tier(segment, t)) r.spill_bytes += whole_bytes(t.tensor);
    }
    const Layer& last = graph.layers[static_cast<size_t>(segment.end - 1)];
    if (!last.outputs.empty()) {
      const uint32_t rows = graph.tensors[static_cast<size_t>(last.outputs[0])].rows();
      r.slab_rows = (rows + segment.rounds - 1) / segment.rounds;
    }
    for (NodeIndex n = segment.first; n < segment.end; ++n) {
      layers->push_back(layer_report(segment, n, index));
      r.weight_bytes_fetched += layers->back().fetched_bytes;
    }
    return r;
  }

  LayerReport layer_report(const Segment& segment, NodeIndex n, uint32_t index) const {
    const Layer& layer = graph.layers[static_cast<size_t>(n)];
    const SchedNode& node = problem.nodes[static_cast<size_t>(n)];
    const size_t local = static_cast<size_t>(n - segment.first);
    LayerReport r;
    r.name = layer.name;
    r.op = opcode_name(layer.opcode);
    r.segment = index;
    r.weight_bytes = node.weight_stored_bytes;
    const uint32_t actions = segment.simulation.actions_of_node[local];
    r.fetched_bytes = node.weight_stored_bytes;
    r.weights = r.stored = "-";
    if (layer.first_stream >= 0) {
      r.stored = stored_name(streams.streams[static_cast<size_t>(layer.first_stream)].shape.stored);
    }
    if (layer.first_stream >= 0 && kept_streams.contains(static_cast<uint16_t>(layer.first_stream))) {
      r.weights = "kept";
    } else if (segment.weights[local] == WeightsChoice::kResident) {
      r.weights = "resident";
    } else if (segment.weights[local] == WeightsChoice::kStreamed) {
      r.weights = "streamed x " + std::to_string(actions);
      r.fetched_bytes *= actions;
    }
    if (layer.outputs.empty()) return r;
    describe_output(segment, layer.outputs[0], &r);
    return r;
  }

  void describe_output(const Segment& segment, TensorIndex t, LayerReport* r) const {
    r->shape = shape_of(graph.tensors[static_cast<size_t>(t)]);
    const SchedTensor& s = problem.tensors[static_cast<size_t>(t)];
    for (const SegmentTensor& local : segment.simulation.tensors) {
      if (local.tensor != t) continue;
      const bool kept = schedule.kept[static_cast<size_t>(t)];
      const uint32_t rows = kept ? s.rows : local.ring_rows;
      r->ring_bytes = rows * s.row_bytes;
      r->output = rows >= s.rows ? "whole" : "ring " + std::to_string(rows) + " rows";
      if (leaves_small_tier(segment, local)) r->output += s.is_output ? ", output" : ", spilled";
    }
  }
};

std::set<uint16_t> streams_kept(const ProgramTables& tables) {
  std::set<uint16_t> kept;
  for (const OpDesc& op : tables.ops) {
    if (op.opcode == Opcode::kLoad && op.once) kept.insert(op.stream);
  }
  return kept;
}

}  // namespace

Result<std::vector<LayerName>> layer_names(const Graph& graph) {
  CARREL_ASSIGN(const LayerGraph layers, build_layers(graph, false));
  std::vector<LayerName> names;
  for (const Layer& layer : layers.layers) {
    const std::string shape = layer.outputs.empty() ? "" : shape_of(layers.tensors[static_cast<size_t>(layer.outputs[0])]);
    names.push_back({layer.name, opcode_name(layer.opcode), shape});
  }
  return names;
}

const char* stored_name(StoredType stored) {
  constexpr const char* kNames[] = {"fp32", "fp16", "int8", "int4"};
  return kNames[static_cast<size_t>(stored)];
}

void fill_report(const LayerGraph& graph, const SchedProblem& problem, const Schedule& schedule, const StreamPlan& streams,
                 const Lowered& lowered, Plan* plan) {
  const Reporter reporter{graph, problem, schedule, streams, streams_kept(lowered.tables)};
  for (uint32_t s = 0; s < schedule.segments.size(); ++s) {
    plan->segments.push_back(reporter.segment_report(schedule.segments[s], &plan->layers, s));
  }
  plan->lifetimes = lowered.lifetimes;
}

}  // namespace carrel
