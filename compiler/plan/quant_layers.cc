// Which operators on quantized values become layers over maps of bytes.
#include <algorithm>

#include "compiler/plan/layer_builder.h"
#include "engine/layout/quant.h"
#include "engine/layout/row_ops.h"

namespace carrel {
namespace {

uint32_t bounds_of(const Node& node) {
  return static_cast<uint32_t>(node.attributes.int_or("y_low", 0)) << 8 |
         static_cast<uint32_t>(node.attributes.int_or("y_high", 255));
}

// The scale of an input over the output's, as every evaluation of these operators computes it.
float ratio(const Node& node, const char* input_scale) {
  return node.attributes.float_or(input_scale, 1) / node.attributes.float_or("y_scale", 1);
}

bool passes_bytes(OpType op) {
  switch (op) {
    case OpType::kMaxPool:
    case OpType::kConcat:
    case OpType::kSplit:
    case OpType::kSlice:
    case OpType::kReshape:
    case OpType::kTranspose:
    case OpType::kIdentity: return true;
    default: return false;
  }
}

}  // namespace

Status LayerBuilder::set_zero(ValueId id, int64_t zero) {
  int& known = zeros_[static_cast<size_t>(id)];
  if (known >= 0 && known != zero) {
    return Error(ErrorCode::kUnsupported, "%s: its readers disagree about its zero point", value(id).name.c_str());
  }
  known = static_cast<int>(zero);
  return ok_status();
}

Status LayerBuilder::find_zeros() {
  zeros_.assign(graph_.values.size(), -1);
  CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(graph_));
  const auto set = [&](const Node& n, ValueId id, const char* name) -> Status {
    const bool has = value(id).type == DType::kU8 && n.attributes.ints.contains(name);
    return has ? set_zero(id, n.attributes.int_or(name, 0)) : ok_status();
  };
  for (NodeId id : order) {
    const Node& n = node(id);
    if (n.dead || n.inputs.empty() || n.inputs[0] == kNoValue) continue;
    if (n.op == OpType::kQuantize) CARREL_RETURN_IF_ERROR(set(n, n.outputs[0], "zero"));
    if (n.op == OpType::kDequantize) CARREL_RETURN_IF_ERROR(set(n, n.inputs[0], "zero"));
    CARREL_RETURN_IF_ERROR(set(n, n.outputs[0], "y_zero"));
    CARREL_RETURN_IF_ERROR(set(n, n.inputs[0], "x_zero"));
    CARREL_RETURN_IF_ERROR(set(n, n.inputs[0], "a_zero"));
    if (n.op == OpType::kQAdd) CARREL_RETURN_IF_ERROR(set(n, n.inputs[1], "b_zero"));
    const std::vector<int64_t>& zeros = n.attributes.int_list("zeros");
    for (size_t i = 0; n.op == OpType::kQConcat && i < zeros.size(); ++i) {
      CARREL_RETURN_IF_ERROR(set_zero(n.inputs[i], zeros[i]));
    }
    const int zero = zeros_[static_cast<size_t>(n.inputs[0])];
    for (size_t i = 0; passes_bytes(n.op) && zero >= 0 && i < n.outputs.size(); ++i) {
      if (n.outputs[i] != kNoValue) CARREL_RETURN_IF_ERROR(set_zero(n.outputs[i], zero));
    }
  }
  return ok_status();
}

int LayerBuilder::retyped(ValueId id, int tensor, ElementType type) {
  MapShape map;
  CARREL_CHECK(is_map_value(id, &map));
  map.pad_left = map.pad_right = 0;
  map.type = type;
  if (type == ElementType::kF32) map.zero = 0;
  const int before = forms(id).map;
  const int t = new_map(id, map);
  forms(id).map = before;
  Layer& layer = new_layer(-1, type == ElementType::kU8 ? Opcode::kQuantize : Opcode::kDequantize, {tensor}, {t});
  layer.name = value(id).name + (type == ElementType::kU8 ? " (to bytes)" : " (to floats)");
  layer.fargs[0] = 1;
  return t;
}

bool LayerBuilder::try_quantized_node(NodeId id) {
  switch (node(id).op) {
    case OpType::kQuantize:
    case OpType::kDequantize: return add_type_change(id);
    case OpType::kQConv: return add_quant_conv(id);
    case OpType::kQGemm: return add_quant_gemm(id);
    case OpType::kQAdd: return add_quant_add(id);
    case OpType::kQAveragePool: return add_quant_pool(id, false);
    case OpType::kQGlobalAveragePool: return add_quant_pool(id, true);
    case OpType::kQConcat: return add_quant_concat(id);
    default: return false;
  }
}

bool LayerBuilder::add_type_change(NodeId id) {
  const Node& me = node(id);
  MapShape in, out;
  if (!is_map_value(me.inputs[0], &in) || !is_map_value(me.outputs[0], &out)) return false;
  const bool to_bytes = me.op == OpType::kQuantize;
  Layer& layer = new_layer(id, to_bytes ? Opcode::kQuantize : Opcode::kDequantize, {as_map(me.inputs[0])}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  layer.args[0] = static_cast<uint32_t>(me.attributes.int_or("zero", 0));
  layer.fargs[0] = me.attributes.float_or("scale", 1);
  return true;
}

bool LayerBuilder::add_quant_conv(NodeId id) {
  const Node& me = node(id);
  MapShape in, out;
  if (!is_map_value(me.inputs[0], &in) || !is_map_value(me.outputs[0], &out)) return false;
  const Shape& w = value(me.inputs[1]).shape;
  Window window;
  if (w.rank() != 4 || !read_window(me, w[2], w[3], &window)) return false;
  const uint32_t groups = static_cast<uint32_t>(me.attributes.int_or("group", 1));
  const bool depthwise = groups == in.channels && out.channels == in.channels && groups > 1;
  const uint32_t merged = groups_per_stream(graph_, me);
  if (!depthwise && merged > kMostMergedGroups) return false;
  const Opcode opcode = depthwise ? Opcode::kQuantDepthwise : Opcode::kQuantConv;
  Layer& layer = new_layer(id, opcode, {as_map(me.inputs[0])}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  layer.window = window;
  layer.args[0] = bounds_of(me);
  layer.weights.kind = depthwise ? WeightsKind::kQuantDepthwise : WeightsKind::kQuantConv;
  layer.weights.kernel_h = window.kernel_h;
  layer.weights.kernel_w = window.kernel_w;
  layer.groups = depthwise ? 1 : groups / merged;
  layer.weights.in_channels = depthwise ? 1 : in.channels / layer.groups;
  layer.weights.out_channels = out.channels / layer.groups;
  return true;
}

// One row with constant weights: a convolution whose window is the whole map.
bool LayerBuilder::add_quant_gemm(NodeId id) {
  const Node& me = node(id);
  MapShape in, out, wide;
  if (!is_map_value(me.inputs[0], &in) || !is_map_value(me.outputs[0], &out)) return false;
  ValueId source = me.inputs[0];
  const ValueId flat = forms(source).flattened_from;
  if (forms(source).map < 0 && forms(source).plain < 0 && flat != kNoValue && is_map_value(flat, &wide) &&
      wide.height <= 0xffff && wide.width <= 0xffff) {
    source = flat;
    in = wide;
  }
  Layer& layer = new_layer(id, Opcode::kQuantConv, {as_map(source)}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  layer.window.kernel_h = static_cast<uint16_t>(in.height);
  layer.window.kernel_w = static_cast<uint16_t>(in.width);
  layer.args[0] = bounds_of(me);
  layer.weights.kind = WeightsKind::kQuantConv;
  layer.weights.kernel_h = in.height;
  layer.weights.kernel_w = in.width;
  layer.weights.in_channels = in.channels;
  layer.weights.out_channels = out.channels;
  return true;
}

bool LayerBuilder::add_quant_add(NodeId id) {
  const Node& me = node(id);
  MapShape a, b, out;
  if (!is_map_value(me.inputs[0], &a) || !is_map_value(me.inputs[1], &b) || !is_map_value(me.outputs[0], &out)) {
    return false;
  }
  const float a_scale = ratio(me, "a_scale"), b_scale = ratio(me, "b_scale");
  if (!(a_scale <= kMaxQuantAddScale && b_scale <= kMaxQuantAddScale)) return false;
  Layer& layer = new_layer(id, Opcode::kQuantAdd, {as_map(me.inputs[0]), as_map(me.inputs[1])}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  layer.args[0] = bounds_of(me);
  layer.fargs[0] = a_scale;
  layer.fargs[1] = b_scale;
  return true;
}

// global: a window over the whole map.
bool LayerBuilder::add_quant_pool(NodeId id, bool global) {
  const Node& me = node(id);
  MapShape in, out;
  if (!is_map_value(me.inputs[0], &in) || !is_map_value(me.outputs[0], &out)) return false;
  Window window;
  uint32_t end_pads = 0;
  if (global) {
    if (in.height > 0xffff || in.width > 0xffff) return false;
    window.kernel_h = static_cast<uint16_t>(in.height);
    window.kernel_w = static_cast<uint16_t>(in.width);
  } else {
    const std::vector<int64_t>& kernel = me.attributes.int_list("kernel_shape");
    if (kernel.size() != 2 || !read_window(me, kernel[0], kernel[1], &window)) return false;
    if (!read_counted_pads(me, window, &end_pads)) return false;
  }
  if (uint64_t{window.kernel_h} * window.kernel_w > kMaxQuantPoolTaps) return false;
  Layer& layer = new_layer(id, Opcode::kQuantPool, {as_map(me.inputs[0])}, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  layer.window = window;
  layer.args[0] = static_cast<uint32_t>(PoolKind::kAverage);
  layer.args[1] = !global && me.attributes.int_or("count_include_pad", 0) != 0;
  layer.args[2] = end_pads;
  layer.fargs[0] = ratio(me, "x_scale");
  return true;
}

bool LayerBuilder::add_quant_concat(NodeId id) {
  const Node& me = node(id);
  MapShape in, out;
  if (me.attributes.int_or("axis", 0) != 1 || !is_map_value(me.outputs[0], &out)) return false;
  for (ValueId v : me.inputs) {
    if (!is_map_value(v, &in)) return false;
  }
  const std::vector<float>& scales = me.attributes.floats.at("scales");
  const std::vector<int64_t>& zeros = me.attributes.int_list("zeros");
  const float y_scale = me.attributes.float_or("y_scale", 1);
  std::vector<int> inputs;
  for (ValueId v : me.inputs) inputs.push_back(as_map(v));
  Layer& layer = new_layer(id, Opcode::kQuantCopy, inputs, {});
  layer.outputs = {new_map(me.outputs[0], out)};
  for (size_t i = 0; i < scales.size(); ++i) {
    const bool same = scales[i] == y_scale && zeros[i] == me.attributes.int_or("y_zero", 0);
    layer.input_scales.push_back(same ? 0 : scales[i] / y_scale);
  }
  return true;
}

}  // namespace carrel
