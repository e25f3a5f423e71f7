#pragma once
// Strides, pads and dilations of convolutions and pools, auto_pad resolved.
#include "compiler/onnx/node_context.h"

namespace carrel {

struct Window {
  std::vector<int64_t> kernel, strides, dilations;
  std::vector<int64_t> pads;  // begin..., end...
  int spatial() const { return static_cast<int>(kernel.size()); }
  int64_t span(size_t i) const { return (kernel[i] - 1) * dilations[i] + 1; }
};

// 1 to 3, else kUnsupported.
Result<int> spatial_rank(const NodeContext& context);
// Reads strides, dilations and pads; `kernel` comes from the weight or kernel_shape. Entries are
// below 2^31.
Result<Window> read_window(NodeContext& context, std::vector<int64_t> kernel);
// Sets pads for auto_pad (SAME_UPPER, SAME_LOWER, VALID) over the spatial dims of input 0; NOTSET
// keeps them.
Status resolve_auto_pad(NodeContext& context, Window* window);
void set_window(const Window& window, Node* node);
// A Conv with the node's window attributes; x has the shape of the node's input 0.
Result<ValueId> emit_conv(NodeContext& context, ValueId x, ValueId weight, ValueId bias);

}  // namespace carrel
