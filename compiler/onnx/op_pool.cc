// MaxPool, AveragePool and the global pools.
#include "compiler/onnx/window.h"

namespace carrel {
namespace {

// Grows the end padding so that floor() gives ceil_mode's output size. A window that would start in
// the end padding is dropped.
void apply_ceil_mode(const NodeContext& context, Window* window) {
  const auto spatial = static_cast<size_t>(window->spatial());
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t begin = window->pads[i];
    const int64_t in = context.shape(0)[static_cast<int>(i) + 2];
    const int64_t stride = window->strides[i];
    const int64_t room = in + begin + window->pads[i + spatial] - window->span(i);
    if (room < 0) continue;  // shape inference reports it
    int64_t out = (room + stride - 1) / stride + 1;
    if ((out - 1) * stride >= in + begin) --out;
    if (out == room / stride + 1) continue;
    window->pads[i + spatial] =
        std::max<int64_t>((out - 1) * stride + window->span(i) - in - begin, 0);
  }
}

Status import_pool(NodeContext& context, OpType op) {
  CARREL_ASSIGN(const int spatial, spatial_rank(context));
  std::vector<int64_t> kernel = context.ints_attribute("kernel_shape");
  if (kernel.size() != static_cast<size_t>(spatial)) {
    return context.invalid("kernel_shape has %zu entries, its input %d spatial dimensions",
                           kernel.size(), spatial);
  }
  CARREL_ASSIGN(Window window, read_window(context, std::move(kernel)));
  CARREL_RETURN_IF_ERROR(resolve_auto_pad(context, &window));
  Node node = context.make(op, {context.input(0)});
  if (op == OpType::kAveragePool) {
    node.attributes.ints["count_include_pad"] = {context.int_attribute("count_include_pad", 0) !=
                                                 0};
    node.attributes.ints["pads_counted"] = window.pads;
  }
  if (context.int_attribute("ceil_mode", 0) != 0) apply_ceil_mode(context, &window);
  set_window(window, &node);
  node.attributes.ints["kernel_shape"] = window.kernel;
  return context.finish(std::move(node));
}

Status import_global(NodeContext& context, OpType op) {
  CARREL_RETURN_IF_ERROR(spatial_rank(context));
  return context.finish(context.make(op, {context.input(0)}));
}

constexpr OperatorEntry kOperators[] = {
    {"MaxPool", [](NodeContext& c) { return import_pool(c, OpType::kMaxPool); }, 1, 1},
    {"AveragePool", [](NodeContext& c) { return import_pool(c, OpType::kAveragePool); }, 1, 1},
    {"GlobalAveragePool",
     [](NodeContext& c) { return import_global(c, OpType::kGlobalAveragePool); }, 1, 1},
    {"GlobalMaxPool", [](NodeContext& c) { return import_global(c, OpType::kGlobalMaxPool); }, 1,
     1},
};

}  // namespace

std::span<const OperatorEntry> pool_operators() { return kOperators; }

}  // namespace carrel
