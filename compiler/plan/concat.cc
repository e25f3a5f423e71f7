#include "compiler/plan/concat.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace carrel {
namespace {

using Ranges = std::vector<std::pair<uint32_t, uint32_t>>;

Ranges rows_of(const Simulation& simulation, NodeIndex node) {
  Ranges ranges;
  for (const Action& a : simulation.actions) {
    if (a.kind == Action::Kind::kCompute && a.node == node) ranges.emplace_back(a.row_begin, a.row_end);
  }
  return ranges;
}

bool is_concat(const Layer& layer) {
  const bool copies = layer.opcode == Opcode::kCopy || layer.opcode == Opcode::kQuantCopy;
  return copies && layer.args[1] == 0 && layer.inputs.size() > 1;
}

// One group and no residual: blocks are counted from the output's first. Fully-connected layers make whole maps.
bool may_shift(const Layer& layer) {
  const bool conv = layer.opcode == Opcode::kConv && layer.weights.kind == WeightsKind::kConv;
  return (conv || layer.opcode == Opcode::kQuantConv) && layer.groups == 1 && layer.inputs.size() == 1;
}

}  // namespace

std::map<TensorIndex, ConcatPart> parts_in_place(const LayerGraph& graph, const SchedProblem& problem,
                                                 const Schedule& schedule) {
  std::map<TensorIndex, ConcatPart> parts;
  for (const Segment& segment : schedule.segments) {
    for (NodeIndex n = segment.first; n < segment.end; ++n) {
      const Layer& concat = graph.layers[static_cast<size_t>(n)];
      if (!is_concat(concat)) continue;
      uint32_t channel = 0;
      for (size_t i = 0; i < concat.inputs.size(); ++i) {
        const int t = concat.inputs[i];
        const uint32_t first = channel;
        channel += graph.tensors[static_cast<size_t>(t)].map.channels;
        const SchedTensor& part = problem.tensors[static_cast<size_t>(t)];
        const bool alone = part.consumers.size() == 1 && !part.is_output && !schedule.kept[static_cast<size_t>(t)];
        const bool once = std::count(concat.inputs.begin(), concat.inputs.end(), t) == 1;
        const bool requantized = !concat.input_scales.empty() && concat.input_scales[i] != 0;
        if (requantized || first % kLanes != 0 || !alone || !once || part.producer < segment.first) continue;
        if (!may_shift(graph.layers[static_cast<size_t>(part.producer)])) continue;
        if (rows_of(segment.simulation, part.producer) != rows_of(segment.simulation, n)) continue;
        parts[t] = {concat.outputs[0], first / kLanes};
      }
    }
  }
  return parts;
}

}  // namespace carrel
