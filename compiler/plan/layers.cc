#include "compiler/plan/layers.h"

#include <algorithm>

#include "base/checked.h"
#include "compiler/plan/layer_builder.h"

namespace carrel {
namespace {

// A row is sealed as one block: its bytes fit 32 bits with room for padding.
constexpr int64_t kMaxRowElements = int64_t{1} << 26;

}  // namespace

uint64_t PlanTensor::row_bytes() const {
  if (kind == TensorKind::kMap) return map.row_bytes();
  uint64_t bytes = sizeof(float);
  for (int64_t d : dims) bytes *= static_cast<uint64_t>(d);
  return std::max<uint64_t>(64, round_up(bytes, 64));
}

uint32_t boundary_block_bytes(const PlanTensor& tensor) {
  if (tensor.kind == TensorKind::kPlain) return kPlainBlockBytes;
  return tensor.map.channels * tensor.map.width * static_cast<uint32_t>(sizeof(float));
}

bool is_map_shape(const Shape& shape, MapShape* map) {
  if ((shape.rank() != 4 && shape.rank() != 2) || shape[0] != 1) return false;
  for (int i = 1; i < shape.rank(); ++i) {
    if (shape[i] < 1 || shape[i] > 0xffff * (i == 1 ? 64 : 1)) return false;
  }
  const int64_t width = shape.rank() == 4 ? shape[3] : 1;
  if (shape[1] * width > kMaxRowElements) return false;
  *map = MapShape{};
  map->channels = static_cast<uint32_t>(shape[1]);
  map->height = shape.rank() == 4 ? static_cast<uint32_t>(shape[2]) : 1;
  map->width = shape.rank() == 4 ? static_cast<uint32_t>(shape[3]) : 1;
  return true;
}

namespace {

// Columns right of the map that a window reads.
uint32_t right_pad(const Window& w, const MapShape& in, const MapShape& out) {
  const int64_t last = int64_t{out.width - 1} * w.stride_w + w.span_w() - w.pad_left;
  return static_cast<uint32_t>(std::max<int64_t>(0, last - in.width));
}

}  // namespace

NodeWork conv_work(const LayerGraph& graph, const Layer& layer) {
  const MapShape& out = graph.tensors[static_cast<size_t>(layer.outputs[0])].map;
  NodeWork work;
  work.rows = out.height;
  work.width = out.width;
  const PlanTensor& in = graph.tensors[static_cast<size_t>(layer.inputs[0])];
  work.input_bytes = static_cast<double>(in.rows()) * static_cast<double>(in.row_bytes());
  work.input_reads = static_cast<uint32_t>(ceil_div(layer.weights.out_channels, kPanelWidth));
  work.weight_bytes = sizeof(float) * static_cast<double>(layer.weights.in_channels) * layer.weights.out_channels *
                      layer.weights.kernel_h * layer.weights.kernel_w * layer.groups;
  work.algorithm = layer.algorithm;
  work.in_channels = layer.weights.in_channels;
  work.out_channels = layer.weights.out_channels;
  work.macs = static_cast<double>(work.rows) * work.width * layer.weights.kernel_h * layer.weights.kernel_w *
              work.in_channels * work.out_channels * layer.groups;
  return work;
}

namespace {

void choose_algorithms(LayerGraph* graph) {
  for (Layer& layer : graph->layers) {
    if (layer.weights.kind != WeightsKind::kConv || layer.groups != 1 || !winograd_window(layer.window)) continue;
    const NodeWork work = conv_work(*graph, layer);
    if (work.rows > 1 || work.width > 1) layer.algorithm = choose_algorithm(work);
  }
}

bool reads_pads(Opcode opcode) {
  return has_window(opcode) && opcode != Opcode::kPool && opcode != Opcode::kQuantPool;
}

// Convolutions read pad columns from the map; pools skip them on their own.
void set_pads(LayerGraph* graph) {
  for (const Layer& layer : graph->layers) {
    if (!reads_pads(layer.opcode)) continue;
    MapShape& in = graph->tensors[static_cast<size_t>(layer.inputs[0])].map;
    const MapShape& out = graph->tensors[static_cast<size_t>(layer.outputs[0])].map;
    in.pad_left = std::max<uint32_t>(in.pad_left, layer.window.pad_left);
    in.pad_right = std::max(in.pad_right, right_pad(layer.window, in, out));
    if (layer.algorithm == ConvAlgorithm::kDirect) continue;
    const uint32_t side = winograd_side(layer.algorithm);
    in.pad_right = std::max(in.pad_right, winograd_right_pad(side, layer.window, in.width, out.width));
  }
}

// Whether `layer` may read tensor `t` from a planar map. An output of 1 x 1 sums whole taps at a time: its bits would
// not be those of the blocked map.
bool reads_planar(const LayerGraph& graph, const Layer& layer, int t) {
  const PlanTensor& in = graph.tensors[static_cast<size_t>(t)];
  if (layer.opcode == Opcode::kQuantize) return true;
  const MapShape& out = graph.tensors[static_cast<size_t>(layer.outputs[0])].map;
  return layer.opcode == Opcode::kConv && layer.algorithm == ConvAlgorithm::kDirect && layer.groups == 1 &&
         layer.inputs[0] == t && std::count(layer.inputs.begin(), layer.inputs.end(), t) == 1 &&
         layer.weights.in_channels == in.map.channels && (out.height > 1 || out.width > 1);
}

// Inputs of few channels that only convolutions and quantization read become planar maps.
void set_planar_inputs(LayerGraph* graph) {
  for (int t : graph->inputs) {
    PlanTensor& in = graph->tensors[static_cast<size_t>(t)];
    bool planar = in.kind == TensorKind::kMap && in.map.type == ElementType::kF32 &&
                  in.map.channels <= kMaxPlanarChannels && in.output < 0;
    for (const Layer& layer : graph->layers) {
      const bool reads = std::count(layer.inputs.begin(), layer.inputs.end(), t) > 0;
      planar = planar && (!reads || reads_planar(*graph, layer, t));
    }
    if (planar) in.map.type = ElementType::kPlanarF32;
  }
}

void number_streams(LayerGraph* graph) {
  int next = 0;
  for (Layer& layer : graph->layers) {
    if (layer.weights.kind == WeightsKind::kNone) continue;
    layer.first_stream = next;
    next += static_cast<int>(layer.groups);
  }
}

}  // namespace

Result<LayerGraph> build_layers(const Graph& graph, bool winograd) {
  LayerBuilder builder(graph);
  CARREL_RETURN_IF_ERROR(builder.build());
  LayerGraph layers = builder.take();
  if (winograd) choose_algorithms(&layers);
  set_pads(&layers);
  set_planar_inputs(&layers);
  number_streams(&layers);
  return layers;
}

}  // namespace carrel
