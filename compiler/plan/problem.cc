#include "compiler/plan/problem.h"

namespace carrel {
namespace {

RowNeed need_of(const LayerGraph& graph, const Layer& layer, size_t input) {
  const PlanTensor& in = graph.tensors[static_cast<size_t>(layer.inputs[input])];
  RowNeed need;
  switch (layer.opcode) {
    case Opcode::kConv:
    case Opcode::kDepthwise:
    case Opcode::kPool:
    case Opcode::kQuantConv:
    case Opcode::kQuantDepthwise:
    case Opcode::kQuantPool:
      need.stride = layer.window.stride_h;
      need.span = static_cast<uint32_t>(layer.window.span_h());
      need.pad = layer.window.pad_top;
      if (need.span >= in.rows()) need.kind = RowNeed::Kind::kAll;
      return need;
    case Opcode::kGlobalPool:
    case Opcode::kRowsToPlain:
      need.kind = RowNeed::Kind::kAccumulate;
      return need;
    case Opcode::kPlain:
    case Opcode::kPlainToRows:
      need.kind = RowNeed::Kind::kAll;
      return need;
    case Opcode::kBinary: {
      const PlanTensor& out = graph.tensors[static_cast<size_t>(layer.outputs[0])];
      if (in.rows() != out.rows()) need.kind = RowNeed::Kind::kAll;
      return need;
    }
    default:
      return need;
  }
}

// A product of bytes in products of floats: four and a half times as fast where VNNI is (bench/kernels).
constexpr double kQuantMacs = 0.22;

NodeWork work_of(const LayerGraph& graph, const Layer& layer, uint32_t units) {
  NodeWork work;
  for (int t : layer.outputs) {
    const PlanTensor& out = graph.tensors[static_cast<size_t>(t)];
    work.touched_bytes += static_cast<double>(out.rows()) * static_cast<double>(out.row_bytes());
  }
  for (int t : layer.inputs) {
    const PlanTensor& in = graph.tensors[static_cast<size_t>(t)];
    work.touched_bytes += static_cast<double>(in.rows()) * static_cast<double>(in.row_bytes());
  }
  if (layer.outputs.empty()) return work;
  const PlanTensor& out = graph.tensors[static_cast<size_t>(layer.outputs[0])];
  if (in_wide_panels(layer.weights.kind)) {
    work = conv_work(graph, layer);
    work.units = units;
    if (quantized(layer.weights.kind)) work.macs *= kQuantMacs, work.weight_bytes /= sizeof(float);
    return work;
  }
  work.rows = out.rows();
  if (layer.opcode == Opcode::kDepthwise || layer.opcode == Opcode::kQuantDepthwise) {
    work.touched_bytes *= 0.2 * layer.weights.kernel_h * layer.weights.kernel_w;
  }
  return work;
}

// Groups of tiles that threads may divide.
Result<uint32_t> units_of(const StreamPlan& streams, const Layer& layer) {
  if (layer.first_stream < 0) return 0u;
  CARREL_ASSIGN(const TileGrid grid, make_tile_grid(streams.streams[static_cast<size_t>(layer.first_stream)].shape));
  return grid.tile_count / grid.chunks_per_panel;
}

// An affine bound of winograd_scratch_bytes(): the larger constant, the larger slope.
void set_winograd(const LayerGraph& graph, const Layer& layer, uint32_t threads, SchedNode* node) {
  const uint32_t width = graph.tensors[static_cast<size_t>(layer.outputs[0])].map.width;
  const uint32_t side = winograd_side(layer.algorithm);
  const WinogradPlanes none = winograd_planes(side, 0, width, layer.weights.in_channels);
  const WinogradPlanes one = winograd_planes(side, side, width, layer.weights.in_channels);
  node->row_multiple = side;
  node->scratch_bytes = threads * none.scratch_bytes(1);
  node->scratch_bytes_per_row = (one.scratch_bytes(threads) - none.scratch_bytes(threads)) / side;
}

Result<SchedNode> node_of(const LayerGraph& graph, const StreamPlan& streams, const Layer& layer, uint32_t threads) {
  SchedNode node;
  node.name = layer.name;
  node.inputs.assign(layer.inputs.begin(), layer.inputs.end());
  node.outputs.assign(layer.outputs.begin(), layer.outputs.end());
  for (size_t i = 0; i < layer.inputs.size(); ++i) node.needs.push_back(need_of(graph, layer, i));
  if (layer.algorithm != ConvAlgorithm::kDirect) set_winograd(graph, layer, threads, &node);
  if (layer.first_stream < 0) return node;
  for (uint32_t g = 0; g < layer.groups; ++g) {
    CARREL_ASSIGN(const TileGrid grid, make_tile_grid(streams.streams[static_cast<size_t>(layer.first_stream) + g].shape));
    node.weight_stored_bytes += grid.stored_bytes;
    if (layer.constant == kNoValue) node.weight_resident_bytes += grid.expanded_bytes;
  }
  node.streamable = in_wide_panels(layer.weights.kind);
  return node;
}

}  // namespace

Result<PlanProblem> state_problem(const LayerGraph& graph, const StreamPlan& streams, uint32_t threads) {
  PlanProblem out;
  for (const PlanTensor& t : graph.tensors) {
    SchedTensor s;
    s.name = t.name;
    s.rows = t.rows();
    s.row_bytes = t.row_bytes();
    s.spillable = t.kind == TensorKind::kMap;
    s.is_input = t.input >= 0;
    s.is_output = t.output >= 0;
    out.problem.tensors.push_back(std::move(s));
  }
  for (size_t i = 0; i < graph.layers.size(); ++i) {
    CARREL_ASSIGN(SchedNode node, node_of(graph, streams, graph.layers[i], threads));
    const NodeIndex n = static_cast<NodeIndex>(i);
    for (TensorIndex t : node.outputs) out.problem.tensors[static_cast<size_t>(t)].producer = n;
    for (TensorIndex t : node.inputs) {
      std::vector<NodeIndex>& consumers = out.problem.tensors[static_cast<size_t>(t)].consumers;
      if (consumers.empty() || consumers.back() != n) consumers.push_back(n);
    }
    out.problem.nodes.push_back(std::move(node));
    CARREL_ASSIGN(const uint32_t units, units_of(streams, graph.layers[i]));
    out.work.push_back(work_of(graph, graph.layers[i], units));
  }
  return out;
}

}  // namespace carrel
