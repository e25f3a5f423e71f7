// The weight streams of a graph: their geometry and their numbers.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "compiler/plan/layers.h"
#include "compiler/plan/layer_builder.h"
#include "compiler/plan/plan.h"
#include "engine/format/sealed_model.h"

namespace carrel {
namespace {

constexpr uint64_t kStreamAlignment = 64;
constexpr uint64_t kTagBytesPerTile = 16;

bool has_input(const Node& node, size_t i) { return node.inputs.size() > i && node.inputs[i] != kNoValue; }

std::vector<float> copy_range(std::span<const float> all, size_t begin, size_t count) {
  return {all.begin() + static_cast<std::ptrdiff_t>(begin), all.begin() + static_cast<std::ptrdiff_t>(begin + count)};
}

// Constant `value` as `count` numbers: itself, or its only number repeated.
std::vector<float> spread(const Tensor& value, size_t count) {
  const std::span<const float> f = value.f32();
  if (f.size() == count) return {f.begin(), f.end()};
  return std::vector<float>(count, f[0]);
}

// (Cout, Cin / groups, kh, kw) of the groups of one stream to (Cout, Cin, kh, kw) with zeros between the groups.
template <typename T>
std::vector<T> spread_groups(std::span<const T> w, size_t out_channels, size_t groups, size_t group_row) {
  std::vector<T> dense(out_channels * groups * group_row, T{});
  const size_t outs_per_group = out_channels / groups;
  for (size_t oc = 0; oc < out_channels; ++oc) {
    const size_t group = oc / outs_per_group;
    std::copy_n(w.begin() + static_cast<std::ptrdiff_t>(oc * group_row), group_row,
                dense.begin() + static_cast<std::ptrdiff_t>((oc * groups + group) * group_row));
  }
  return dense;
}

StreamWeights conv_weights(const Graph& graph, const Node& node, const WeightsShape& shape, int32_t part) {
  const std::span<const float> w = graph.value(node.inputs[1]).constant->f32();
  const size_t group_row = size_t{shape.kernel_h} * shape.kernel_w * static_cast<size_t>(graph.value(node.inputs[1]).shape[1]);
  const size_t outs = shape.out_channels;
  const size_t merged = shape.kind == WeightsKind::kDepthwise ? 1 : groups_per_stream(graph, node);
  StreamWeights out;
  const std::span<const float> mine = w.subspan(static_cast<size_t>(part) * outs * group_row, outs * group_row);
  out.weights = spread_groups(mine, outs, merged, group_row);
  if (has_input(node, 2)) {
    out.bias = copy_range(graph.value(node.inputs[2]).constant->f32(), static_cast<size_t>(part) * outs, outs);
  }
  return out;
}

// Gemm and MatMul as a convolution over the whole map: rows of the transposed B, times alpha; beta C as the bias.
StreamWeights dense_weights(const Graph& graph, const Node& node) {
  const Tensor& b = *graph.value(node.inputs[1]).constant;
  const bool gemm = node.op == OpType::kGemm;
  const bool transposed = gemm && node.attributes.int_or("transB", 0) != 0;
  const float alpha = gemm ? node.attributes.float_or("alpha", 1.0f) : 1.0f;
  const float beta = gemm ? node.attributes.float_or("beta", 1.0f) : 1.0f;
  const size_t outs = static_cast<size_t>(b.shape[transposed ? 0 : 1]);
  const size_t ins = static_cast<size_t>(b.shape[transposed ? 1 : 0]);
  const std::span<const float> w = b.f32();
  StreamWeights out;
  out.weights.resize(outs * ins);
  if (transposed) {
    for (size_t i = 0; i < outs * ins; ++i) out.weights[i] = alpha * w[i];
  } else {
    constexpr size_t kBlock = 64;  // both sides of the transpose stay in cache
    for (size_t n0 = 0; n0 < outs; n0 += kBlock) {
      for (size_t k = 0; k < ins; ++k) {
        for (size_t n = n0; n < std::min(outs, n0 + kBlock); ++n) out.weights[n * ins + k] = alpha * w[k * outs + n];
      }
    }
  }
  if (gemm && has_input(node, 2)) {
    out.bias = spread(*graph.value(node.inputs[2]).constant, outs);
    for (float& v : out.bias) v *= beta;
  }
  return out;
}

// int8 weights, the bias over raw bytes (less the input's zero point times the channel's weights), multipliers. The
// weights of a Gemm lie as those of a convolution over the whole map.
StreamWeights quant_weights(const Graph& graph, const Node& node, const WeightsShape& shape, int32_t part) {
  const Tensor& w = *graph.value(node.inputs[1]).constant;
  const std::span<const int8_t> all{reinterpret_cast<const int8_t*>(w.data.data()), w.data.size()};
  const size_t outs = shape.out_channels, first = static_cast<size_t>(part) * outs;
  const size_t row = all.size() / static_cast<size_t>(w.shape[0]);
  const bool merges = node.op == OpType::kQConv && shape.kind == WeightsKind::kQuantConv;
  const std::span<const int8_t> mine = all.subspan(first * row, outs * row);
  StreamWeights out;
  out.quant_weights = spread_groups(mine, outs, merges ? groups_per_stream(graph, node) : 1, row);
  const std::vector<int64_t> bias = has_input(node, 3) ? graph.value(node.inputs[3]).constant->to_i64()
                                                       : std::vector<int64_t>(first + outs, 0);
  const std::span<const float> scales = graph.value(node.inputs[2]).constant->f32();
  const float x_scale = node.attributes.float_or("x_scale", 1), y_scale = node.attributes.float_or("y_scale", 1);
  const int64_t zero = node.attributes.int_or("x_zero", 0);
  for (size_t c = 0; c < outs; ++c) {
    int64_t sum = bias[first + c];
    for (size_t i = 0; i < row; ++i) sum -= zero * mine[c * row + i];
    out.quant_bias.push_back(static_cast<int32_t>(sum));
    out.multipliers.push_back(x_scale * scales[first + c] / y_scale);
  }
  return out;
}

// Rows of numbers per channel: affine scale and shift, or slopes.
Result<StreamWeights> vector_weights(const Graph& graph, const Node& node, const WeightsShape& shape) {
  const size_t channels = shape.out_channels;
  const auto constant = [&](size_t i) { return graph.value(node.inputs[i]).constant; };
  std::vector<float> scale(channels, 1.0f), shift(channels, 0.0f);
  const bool first = has_input(node, 0) && constant(0) != nullptr;
  switch (node.op) {
    case OpType::kPRelu:
      return StreamWeights{spread(*constant(1), channels), {}};
    case OpType::kAffine:
      scale = spread(*constant(1), channels);
      shift = spread(*constant(2), channels);
      break;
    case OpType::kAdd:
      shift = spread(*constant(first ? 0 : 1), channels);
      break;
    case OpType::kSub:
      shift = spread(*constant(first ? 0 : 1), channels);
      if (first) scale.assign(channels, -1.0f);
      else for (float& v : shift) v = -v;
      break;
    case OpType::kMul:
      scale = spread(*constant(first ? 0 : 1), channels);
      break;
    case OpType::kDiv:
      scale = spread(*constant(1), channels);
      for (float& v : scale) {
        // Kernels flush subnormal numbers.
        if (!std::isnormal(1.0f / v)) {
          return Error(ErrorCode::kUnsupported, "%s: Div by a number whose reciprocal is not a normal one",
                       node.name.c_str());
        }
        v = 1.0f / v;
      }
      break;
    default:
      return Error(ErrorCode::kUnsupported, "%s: no weights for %s", node.name.c_str(), op_name(node.op));
  }
  scale.insert(scale.end(), shift.begin(), shift.end());
  return StreamWeights{std::move(scale), {}};
}

// Field by field over zeros: the bytes, padding included, depend on the geometry alone.
StreamDesc stream_of(const WeightsShape& weights, const WeightTypes& types) {
  StreamDesc stream;
  std::memset(static_cast<void*>(&stream), 0, sizeof stream);
  stream.shape.kind = weights.kind;
  const bool one_form = weights.kind == WeightsKind::kVectors || quantized(weights.kind);
  stream.shape.stored = one_form                              ? StoredType::kF32
                        : weights.kind == WeightsKind::kDense ? types.dense
                                                              : types.maps;
  stream.shape.in_channels = weights.in_channels;
  stream.shape.out_channels = weights.out_channels;
  stream.shape.kernel_h = weights.kernel_h;
  stream.shape.kernel_w = weights.kernel_w;
  stream.shape.element_count = weights.element_count;
  return stream;
}

}  // namespace

Result<StreamPlan> plan_streams(const Graph& graph, WeightTypes types) {
  CARREL_ASSIGN(const LayerGraph layers, build_layers(graph, false));
  StreamPlan plan;
  uint64_t offset = kTilesOffset;
  for (const Layer& layer : layers.layers) {
    if (layer.weights.kind == WeightsKind::kNone) continue;
    for (uint32_t group = 0; group < layer.groups; ++group) {
      StreamDesc stream = stream_of(layer.weights, types);
      CARREL_ASSIGN(const TileGrid grid, make_tile_grid(stream.shape));
      offset = round_up(offset, kStreamAlignment);
      stream.file_offset = offset;
      stream.first_tile = plan.tile_count;
      offset += grid.stored_bytes + kTagBytesPerTile * grid.tile_count;
      plan.tile_count += grid.tile_count;
      plan.streams.push_back(stream);
      plan.sources.push_back({layer.node, static_cast<int32_t>(group), layer.constant});
    }
  }
  plan.tiles_bytes = round_up(offset, kStreamAlignment) - kTilesOffset;
  return plan;
}

Result<StreamWeights> stream_weights(const Graph& graph, const StreamPlan& plan, size_t index) {
  const StreamPlan::Source& source = plan.sources[index];
  const WeightsShape& shape = plan.streams[index].shape;
  if (source.plain_value != kNoValue) {
    const std::span<const float> f = graph.value(source.plain_value).constant->f32();
    return StreamWeights{{f.begin(), f.end()}, {}};
  }
  const Node& node = graph.node(source.node);
  if (quantized(shape.kind)) return quant_weights(graph, node, shape, source.part);
  if (shape.kind == WeightsKind::kVectors) return vector_weights(graph, node, shape);
  if (node.op == OpType::kConv) return conv_weights(graph, node, shape, source.part);
  return dense_weights(graph, node);
}

}  // namespace carrel
