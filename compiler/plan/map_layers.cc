// Which operators become layers over row maps.
#include <algorithm>

#include "compiler/plan/layer_builder.h"
#include "engine/layout/row_ops.h"

namespace carrel {
namespace {

bool fits16(int64_t v) { return v >= 0 && v <= 0xffff; }

bool has_input(const Node& node, size_t i) { return node.inputs.size() > i && node.inputs[i] != kNoValue; }

}  // namespace

bool read_window(const Node& node, int64_t kernel_h, int64_t kernel_w, Window* w) {
  const auto at = [&](const char* name, size_t i, int64_t fallback) {
    const std::vector<int64_t>& list = node.attributes.int_list(name);
    return i < list.size() ? list[i] : fallback;
  };
  const int64_t numbers[] = {kernel_h,
                             kernel_w,
                             at("strides", 0, 1),
                             at("strides", 1, 1),
                             at("dilations", 0, 1),
                             at("dilations", 1, 1),
                             at("pads", 0, 0),
                             at("pads", 1, 0),
                             at("pads", 2, 0),
                             at("pads", 3, 0)};
  for (int64_t v : numbers) {
    if (!fits16(v)) return false;
  }
  uint16_t* const fields[] = {&w->kernel_h,   &w->kernel_w, &w->stride_h, &w->stride_w,   &w->dilation_h,
                              &w->dilation_w, &w->pad_top,  &w->pad_left, &w->pad_bottom, &w->pad_right};
  for (size_t i = 0; i < 10; ++i) *fields[i] = static_cast<uint16_t>(numbers[i]);
  return w->span_h() <= 0xffff && w->span_w() <= 0xffff;
}

bool read_counted_pads(const Node& node, const Window& window, uint32_t* pads) {
  *pads = uint32_t{window.pad_bottom} << 16 | window.pad_right;
  const std::vector<int64_t>& counted = node.attributes.int_list("pads_counted");
  if (counted.size() != 4) return true;
  if (counted[0] != window.pad_top || counted[1] != window.pad_left) return false;
  *pads = static_cast<uint32_t>(counted[2]) << 16 | static_cast<uint32_t>(counted[3]);
  return fits16(counted[2]) && fits16(counted[3]);
}

uint32_t groups_per_stream(const Graph& graph, const Node& conv) {
  const int64_t groups = conv.attributes.int_or("group", 1);
  const Shape& w = graph.value(conv.inputs[1]).shape;
  for (uint32_t merged = 1; merged <= kLanes; merged *= 2) {
    const bool blocks = merged * w[1] % kLanes == 0 && merged * (w[0] / groups) % kLanes == 0;
    if (blocks && groups % merged == 0) return merged;
  }
  return static_cast<uint32_t>(groups);
}

bool LayerBuilder::add_conv(NodeId id) {
  const Node& me = node(id);
  MapShape in, out;
  if (!is_map_value(me.inputs[0], &in) || !is_map_value(me.outputs[0], &out)) return false;
  if (!is_float_const(me.inputs[1]) || (has_input(me, 2) && !is_float_const(me.inputs[2]))) return false;
  const Shape& w = value(me.inputs[1]).shape;
  Window window;
  if (w.rank() != 4 || !read_window(me, w[2], w[3], &window)) return false;
  const uint32_t groups = static_cast<uint32_t>(me.attributes.int_or("group", 1));
  const bool depthwise = groups == in.channels && out.channels == in.channels && groups > 1;
  const uint32_t merged = groups_per_stream(graph_, me);
  if (!depthwise && merged > kMostMergedGroups) return false;
  Layer& layer = new_layer(id, depthwise ? Opcode::kDepthwise : Opcode::kConv, {as_map(me.inputs[0])}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  layer.window = window;
  layer.weights.kind = depthwise ? WeightsKind::kDepthwise : WeightsKind::kConv;
  layer.weights.kernel_h = window.kernel_h;
  layer.weights.kernel_w = window.kernel_w;
  layer.groups = depthwise ? 1 : groups / merged;
  layer.weights.in_channels = depthwise ? 1 : in.channels / layer.groups;
  layer.weights.out_channels = out.channels / layer.groups;
  return true;
}

// Gemm or MatMul of one row with constant weights: a window that is the whole map.
bool LayerBuilder::add_fully_connected(NodeId id) {
  const Node& me = node(id);
  MapShape in, out;
  if (!is_map_value(me.inputs[0], &in) || !is_map_value(me.outputs[0], &out)) return false;
  const bool gemm = me.op == OpType::kGemm;
  if (value(me.inputs[0]).shape.rank() != 2 || !is_float_const(me.inputs[1])) return false;
  if (value(me.inputs[1]).shape.rank() != 2 || (gemm && me.attributes.int_or("transA", 0) != 0)) return false;
  if (has_input(me, 2)) {
    const Shape& c = value(me.inputs[2]).shape;
    const bool row = c.count() == 1 || (c.count() == out.channels && c[c.rank() - 1] == out.channels);
    if (!is_float_const(me.inputs[2]) || !row) return false;
  }
  ValueId source = me.inputs[0];
  const ValueId flat = forms(source).flattened_from;
  MapShape wide;
  if (forms(source).map < 0 && forms(source).plain < 0 && flat != kNoValue && is_map_value(flat, &wide) &&
      wide.height <= 0xffff && wide.width <= 0xffff) {
    source = flat;
    in = wide;
  }
  Layer& layer = new_layer(id, Opcode::kConv, {as_map(source)}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  layer.window.kernel_h = static_cast<uint16_t>(in.height);
  layer.window.kernel_w = static_cast<uint16_t>(in.width);
  layer.weights.kind = WeightsKind::kDense;
  layer.weights.kernel_h = in.height;
  layer.weights.kernel_w = in.width;
  layer.weights.in_channels = in.channels;
  layer.weights.out_channels = out.channels;
  return true;
}

bool LayerBuilder::add_pool(NodeId id) {
  const Node& me = node(id);
  MapShape in, out;
  if (!is_map_value(me.inputs[0], &in) || !is_map_value(me.outputs[0], &out)) return false;
  const std::vector<int64_t>& kernel = me.attributes.int_list("kernel_shape");
  Window window;
  if (kernel.size() != 2 || !read_window(me, kernel[0], kernel[1], &window)) return false;
  uint32_t end_pads = 0;
  if (!read_counted_pads(me, window, &end_pads)) return false;
  const Opcode opcode = in.type == ElementType::kU8 ? Opcode::kQuantPool : Opcode::kPool;
  Layer& layer = new_layer(id, opcode, {as_map(me.inputs[0])}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  layer.window = window;
  const bool average = me.op == OpType::kAveragePool;
  layer.args[0] = static_cast<uint32_t>(average ? PoolKind::kAverage : PoolKind::kMax);
  layer.args[1] = average && me.attributes.int_or("count_include_pad", 0) != 0;
  layer.args[2] = end_pads;
  return true;
}

bool LayerBuilder::add_global_pool(NodeId id) {
  const Node& me = node(id);
  MapShape in;
  if (!is_map_value(me.inputs[0], &in) || value(me.inputs[0]).shape.rank() != 4) return false;
  const bool reduce = me.op == OpType::kReduceMean || me.op == OpType::kReduceMax;
  if (reduce && me.attributes.int_list("axes") != std::vector<int64_t>{2, 3}) return false;
  MapShape out;
  if (!is_map_value(me.outputs[0], &out)) return false;
  const bool average = me.op == OpType::kGlobalAveragePool || me.op == OpType::kReduceMean;
  Layer& layer = new_layer(id, Opcode::kGlobalPool, {as_map(me.inputs[0])}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  layer.args[0] = static_cast<uint32_t>(average ? PoolKind::kAverage : PoolKind::kMax);
  return true;
}

bool LayerBuilder::add_unary(NodeId id) {
  const Node& me = node(id);
  MapShape map;
  if (!is_map_value(me.inputs[0], &map)) return false;
  new_layer(id, Opcode::kUnary, {as_map(me.inputs[0])}, {}).outputs = {new_map(me.outputs[0], map)};
  return true;
}

// Affine (scale, shift) or PRelu (slope): `rows` constants per channel.
bool LayerBuilder::add_vectors(NodeId id, uint32_t rows, bool prelu) {
  const Node& me = node(id);
  MapShape map;
  if (!is_map_value(me.inputs[0], &map)) return false;
  for (uint32_t i = 1; i <= rows; ++i) {
    const ValueId v = me.inputs[i];
    const bool fits = prelu ? channel_const(v, value(me.inputs[0]).shape, map.channels)
                            : is_float_const(v) && value(v).shape.count() == map.channels;
    if (!fits) return false;
  }
  Layer& layer = new_layer(id, Opcode::kUnary, {as_map(me.inputs[0])}, {});
  layer.outputs = {new_map(me.outputs[0], map)};
  layer.args[0] = prelu;
  layer.weights.kind = WeightsKind::kVectors;
  layer.weights.out_channels = map.channels;
  layer.weights.kernel_h = rows;
  return true;
}

bool LayerBuilder::add_binary(NodeId id) {
  const Node& me = node(id);
  MapShape a, b, out;
  if (!is_map_value(me.outputs[0], &out)) return false;
  const bool map_a = is_map_value(me.inputs[0], &a) && value(me.inputs[0]).shape.rank() == value(me.outputs[0]).shape.rank();
  const bool map_b = is_map_value(me.inputs[1], &b) && value(me.inputs[1]).shape.rank() == value(me.outputs[0]).shape.rank();
  if (map_a && a == out && !map_b) return add_binary_const(id, me.inputs[0], me.inputs[1], false);
  if (map_b && b == out && !map_a) return add_binary_const(id, me.inputs[1], me.inputs[0], true);
  if (!map_a || !map_b) return false;
  const auto broadcasts = [&](const MapShape& m) { return m.channels == out.channels && m.height == 1 && m.width == 1; };
  if (me.op == OpType::kAdd && a == b && fuse_residual(id)) return true;
  const bool swap = !(a == out);
  if (!(swap ? b == out && broadcasts(a) : b == out || broadcasts(b))) return false;
  static constexpr std::pair<OpType, BinaryFn> kFunctions[] = {
      {OpType::kAdd, BinaryFn::kAdd}, {OpType::kSub, BinaryFn::kSub}, {OpType::kMul, BinaryFn::kMul},
      {OpType::kDiv, BinaryFn::kDiv}, {OpType::kMax, BinaryFn::kMax}, {OpType::kMin, BinaryFn::kMin},
      {OpType::kPow, BinaryFn::kPow}};
  const int first = as_map(me.inputs[swap ? 1 : 0]);
  const int second = as_map(me.inputs[swap ? 0 : 1]);
  Layer& layer = new_layer(id, Opcode::kBinary, {first, second}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  for (const auto& [op, fn] : kFunctions) {
    if (op == me.op) layer.args[0] = static_cast<uint32_t>(fn);
  }
  layer.args[1] = swap;
  return true;
}

// Gives the addition `id` of two equal maps to the convolution that makes one of them for nobody else.
bool LayerBuilder::fuse_residual(NodeId id) {
  const Node& me = node(id);
  for (size_t i = 0; i < 2; ++i) {
    const ValueId sum = me.inputs[i], other = me.inputs[1 - i];
    const int map = forms(sum).map;
    const bool output = std::find(graph_.outputs.begin(), graph_.outputs.end(), sum) != graph_.outputs.end();
    if (map < 0 || output || sum == other || uses_.consumers[static_cast<size_t>(sum)].size() != 1) continue;
    const auto makes = [&](const Layer& l) { return l.outputs.size() == 1 && l.outputs[0] == map; };
    const auto found = std::find_if(out_.layers.begin(), out_.layers.end(), makes);
    if (found == out_.layers.end()) continue;
    const bool fits = found->opcode == Opcode::kConv && found->groups == 1 && found->inputs.size() == 1 &&
                      found->activation.fn == UnaryFn::kNone;
    const MapShape& shape = out_.tensors[static_cast<size_t>(map)].map;
    if (!fits || (shape.height == 1 && shape.width == 1)) continue;
    const auto position = found - out_.layers.begin();
    const int residual = as_map(other);  // may append layers
    Layer layer = std::move(out_.layers[static_cast<size_t>(position)]);
    out_.layers.erase(out_.layers.begin() + position);
    layer.inputs.push_back(residual);
    layer.activation = me.activation;
    forms(me.outputs[0]).map = map;
    out_.tensors[static_cast<size_t>(map)].name = value(me.outputs[0]).name;
    out_.layers.push_back(std::move(layer));
    return true;
  }
  return false;
}

// Arithmetic with one constant per channel is an affine map: x * scale + shift.
bool LayerBuilder::add_binary_const(NodeId id, ValueId map_value, ValueId constant, bool constant_first) {
  const Node& me = node(id);
  MapShape map;
  if (!is_map_value(map_value, &map) || !channel_const(constant, value(map_value).shape, map.channels)) return false;
  const bool linear = me.op == OpType::kAdd || me.op == OpType::kSub || me.op == OpType::kMul ||
                      (me.op == OpType::kDiv && !constant_first);
  if (!linear) return false;
  Layer& layer = new_layer(id, Opcode::kUnary, {as_map(map_value)}, {});
  layer.outputs = {new_map(me.outputs[0], map)};
  layer.weights.kind = WeightsKind::kVectors;
  layer.weights.out_channels = map.channels;
  layer.weights.kernel_h = 2;
  return true;
}

bool LayerBuilder::add_concat(NodeId id) {
  const Node& me = node(id);
  MapShape out;
  if (me.attributes.int_or("axis", 0) != 1 || !is_map_value(me.outputs[0], &out)) return false;
  MapShape in;
  for (ValueId v : me.inputs) {
    if (!is_map_value(v, &in)) return false;
  }
  std::vector<int> inputs;
  for (ValueId v : me.inputs) inputs.push_back(as_map(v));
  const Opcode opcode = out.type == ElementType::kU8 ? Opcode::kQuantCopy : Opcode::kCopy;
  new_layer(id, opcode, inputs, {}).outputs = {new_map(me.outputs[0], out)};
  return true;
}

bool LayerBuilder::add_split(NodeId id) {
  const Node& me = node(id);
  MapShape in, part;
  if (me.attributes.int_or("axis", 0) != 1 || !is_map_value(me.inputs[0], &in)) return false;
  for (ValueId v : me.outputs) {
    if (v == kNoValue || !is_map_value(v, &part)) return false;
  }
  uint32_t channel = 0;
  for (ValueId v : me.outputs) {
    is_map_value(v, &part);
    const Opcode opcode = part.type == ElementType::kU8 ? Opcode::kQuantCopy : Opcode::kCopy;
    Layer& layer = new_layer(id, opcode, {as_map(me.inputs[0])}, {});
    layer.outputs = {new_map(v, part)};
    layer.args[0] = channel;
    layer.args[1] = 1;
    channel += part.channels;
  }
  return true;
}

bool LayerBuilder::add_lrn(NodeId id) {
  const Node& me = node(id);
  MapShape map;
  if (!is_map_value(me.inputs[0], &map)) return false;
  Layer& layer = new_layer(id, Opcode::kLrn, {as_map(me.inputs[0])}, {});
  layer.outputs = {new_map(me.outputs[0], map)};
  layer.args[0] = static_cast<uint32_t>(me.attributes.int_or("size", 1));
  layer.fargs[0] = me.attributes.float_or("alpha", 0.0001f);
  layer.fargs[1] = me.attributes.float_or("beta", 0.75f);
  layer.fargs[2] = me.attributes.float_or("bias", 1.0f);
  return true;
}

bool LayerBuilder::add_softmax(NodeId id) {
  const Node& me = node(id);
  MapShape map;
  if (me.attributes.int_or("axis", -1) != 1 || !is_map_value(me.inputs[0], &map)) return false;
  Layer& layer = new_layer(id, Opcode::kSoftmax, {as_map(me.inputs[0])}, {});
  layer.outputs = {new_map(me.outputs[0], map)};
  layer.args[0] = me.op == OpType::kLogSoftmax;
  return true;
}

// (1, C, 1, 1) and (1, C) are the same map; a flattened larger map is remembered for a fully-connected layer.
bool LayerBuilder::add_reshape(NodeId id) {
  const Node& me = node(id);
  MapShape in, out;
  if (!is_map_value(me.inputs[0], &in) || !is_map_value(me.outputs[0], &out)) return false;
  if (in == out && forms(me.inputs[0]).map >= 0) {
    forms(me.outputs[0]).map = forms(me.inputs[0]).map;
    return true;
  }
  const bool flattens = value(me.inputs[0]).shape.rank() == 4 && value(me.outputs[0]).shape.rank() == 2;
  if (!flattens || forms(me.inputs[0]).map < 0) return false;
  forms(me.outputs[0]).flattened_from = me.inputs[0];
  return true;
}

}  // namespace carrel
