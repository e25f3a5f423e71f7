// Which layer does a node.
#include <algorithm>

#include "baseline/network_builder.h"

namespace carrel::unmodified {
namespace {

int64_t number_at(const Node& node, const char* name, size_t i, int64_t fallback) {
  const std::vector<int64_t>& list = node.attributes.int_list(name);
  return i < list.size() ? list[i] : fallback;
}

// The window of a 2-D convolution or pool; false where pads are negative.
bool read_window(const Node& node, const Shape& x, const Shape& y, PlaneWindow* w) {
  w->in_h = x[2], w->in_w = x[3], w->out_h = y[2], w->out_w = y[3];
  w->stride_h = number_at(node, "strides", 0, 1), w->stride_w = number_at(node, "strides", 1, 1);
  w->dilation_h = number_at(node, "dilations", 0, 1);
  w->dilation_w = number_at(node, "dilations", 1, 1);
  w->pad_top = number_at(node, "pads", 0, 0), w->pad_left = number_at(node, "pads", 1, 0);
  const std::vector<int64_t>& pads = node.attributes.int_list("pads");
  return std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p >= 0; });
}

bool has_pads(const Node& node) {
  const std::vector<int64_t>& pads = node.attributes.int_list("pads");
  return std::any_of(pads.begin(), pads.end(), [](int64_t p) { return p != 0; });
}

}  // namespace

// (1, C, H, W)
bool NetworkBuilder::is_map(ValueId id) const {
  return value(id).shape.rank() == 4 && value(id).shape[0] == 1 && value(id).shape.count() > 0;
}

bool NetworkBuilder::add_conv(NodeId id, Layer* layer) {
  const Node& node = graph_.node(id);
  if (node.op != OpType::kConv || !is_map(node.inputs[0]) || !is_map(node.outputs[0])) return false;
  const Shape& x = value(node.inputs[0]).shape;
  const Shape& w = value(node.inputs[1]).shape;
  const NodeWeights& sealed = node_weights_[static_cast<size_t>(id)];
  const bool is_sealed = sealed.matrix.place >= 0;
  if (!is_sealed && !value(node.inputs[1]).is_const()) return false;
  if (!read_window(node, x, value(node.outputs[0]).shape, &layer->window)) return false;
  layer->window.kernel_h = w[2], layer->window.kernel_w = w[3];
  layer->groups = node.attributes.int_or("group", 1);
  const bool depthwise = layer->groups == x[1] && layer->groups > 1;
  layer->kind = depthwise ? LayerKind::kDepthwise : LayerKind::kConv;
  const bool biased = node.inputs.size() > 2 && node.inputs[2] != kNoValue;
  layer->inputs = {read(node.inputs[0])};
  layer->inputs.push_back(is_sealed ? read(sealed.matrix) : read(node.inputs[1]));
  if (biased) layer->inputs.push_back(is_sealed ? read(sealed.bias) : read(node.inputs[2]));
  add_outputs(node, layer);
  return true;
}

bool NetworkBuilder::add_pool(const Node& node, Layer* layer) {
  const bool average = node.op == OpType::kAveragePool;
  if (node.op != OpType::kMaxPool && (!average || has_pads(node))) return false;
  const Shape& x = value(node.inputs[0]).shape;
  if (x.rank() != 4 || !read_window(node, x, value(node.outputs[0]).shape, &layer->window)) {
    return false;
  }
  layer->window.kernel_h = number_at(node, "kernel_shape", 0, 1);
  layer->window.kernel_w = number_at(node, "kernel_shape", 1, 1);
  layer->kind = average ? LayerKind::kAveragePool : LayerKind::kMaxPool;
  layer->inputs = {read(node.inputs[0])};
  add_outputs(node, layer);
  return true;
}

bool NetworkBuilder::add_elementwise(const Node& node, Layer* layer) {
  const auto variable = [&](size_t i) { return !value(node.inputs[i]).is_const(); };
  const Shape& y = value(node.outputs[0]).shape;
  if (node.op == OpType::kUnary && variable(0)) {
    layer->kind = LayerKind::kUnary;
  } else if (node.op == OpType::kAdd && variable(0) && variable(1) &&
             value(node.inputs[0]).shape == y && value(node.inputs[1]).shape == y) {
    layer->kind = LayerKind::kAdd;
  } else {
    return false;
  }
  for (ValueId id : node.inputs) layer->inputs.push_back(read(id));
  add_output_in_place(node, layer);
  return true;
}

// Nodes whose constants are sealed in a form of their own: fully-connected layers, vectors.
bool NetworkBuilder::add_sealed(NodeId id, Layer* layer) {
  const Node& node = graph_.node(id);
  const NodeWeights& sealed = node_weights_[static_cast<size_t>(id)];
  if (sealed.matrix.place < 0) return false;
  const bool dense = node.op == OpType::kGemm || node.op == OpType::kMatMul;
  const size_t x = value(node.inputs[0]).is_const() ? 1 : 0;
  layer->inputs = {read(node.inputs[x]), read(sealed.matrix)};
  if (dense) {
    layer->kind = LayerKind::kDense;
    if (sealed.bias.place >= 0) layer->inputs.push_back(read(sealed.bias));
    add_outputs(node, layer);
  } else if (node.op == OpType::kPRelu) {
    layer->plain.op = PlainOp::kPRelu;
    Shape& slope = layer->inputs[1].shape;  // one per channel, broadcast to x
    slope = {sealed.matrix.shape[1]};
    for (int d = 2; d < layer->inputs[0].shape.rank(); ++d) CARREL_CHECK(slope.push_back(1));
    add_outputs(node, layer);
  } else {
    layer->kind = LayerKind::kAffine;
    add_output_in_place(node, layer);
  }
  return true;
}

Status NetworkBuilder::add_plain(const Node& node, Layer* layer) {
  CARREL_ASSIGN(layer->plain, encode_plain(graph_, node));
  if (layer->plain.op == PlainOp::kLrn && is_map(node.inputs[0])) layer->kind = LayerKind::kLrn;
  layer->activation = layer->plain.activation;
  for (ValueId id : layer->plain.inputs) {
    if (id != kNoValue && place_of(id) < 0) {
      return Error(ErrorCode::kUnsupported, "%s (%s): input %s is not sealed as floats",
                   node.name.c_str(), op_name(node.op), value(id).name.c_str());
    }
    layer->inputs.push_back(id == kNoValue ? Operand() : read(id));
  }
  add_outputs(node, layer);
  return ok_status();
}

}  // namespace carrel::unmodified
