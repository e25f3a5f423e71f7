// Conv, ConvTranspose.
#include "compiler/onnx/window.h"

namespace carrel {
namespace {

// Kernel size from the weight; kernel_shape, where given, must say the same.
Result<std::vector<int64_t>> weight_kernel(NodeContext& context, const Shape& weight, int spatial) {
  if (weight.rank() != spatial + 2) {
    return context.invalid("its weight has %d dimensions, its input %d", weight.rank(),
                           spatial + 2);
  }
  std::vector<int64_t> kernel;
  for (int i = 2; i < weight.rank(); ++i) kernel.push_back(weight[i]);
  const std::vector<int64_t> stated = context.ints_attribute("kernel_shape");
  if (!stated.empty() && stated != kernel) {
    return context.invalid("kernel_shape is not the shape of its weight");
  }
  return kernel;
}

Status import_conv(NodeContext& context) {
  CARREL_ASSIGN(const ValueId y,
                emit_conv(context, context.input(0), context.input(1), context.input(2)));
  context.set_output(0, y);
  return ok_status();
}

// Pads from output_shape or auto_pad: total = stride (in - 1) + output_padding + span - out, the
// odd one at the end for SAME_UPPER, else at the beginning. A negative total extends the end.
Status resolve_transposed_pads(NodeContext& context, const std::vector<int64_t>& extra,
                               Window* window) {
  const std::string mode = context.string_attribute("auto_pad", "NOTSET");
  std::vector<int64_t> wanted = context.ints_attribute("output_shape");
  const auto spatial = static_cast<size_t>(window->spatial());
  if (wanted.size() == spatial + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);
  if (!wanted.empty() && wanted.size() != spatial) {
    return context.invalid("output_shape has %zu entries", wanted.size());
  }
  const bool same = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  if (mode == "VALID") window->pads.assign(2 * spatial, 0);
  if (!same && mode != "VALID" && mode != "NOTSET" && !mode.empty()) {
    return context.invalid("auto_pad is '%s'", mode.c_str());
  }
  if (wanted.empty() && !same) return ok_status();
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t in = context.shape(0)[static_cast<int>(i) + 2];
    const int64_t out = wanted.empty() ? in * window->strides[i] : wanted[i];
    if (out < 1 || out >= int64_t{1} << 40) return context.invalid("output_shape is out of range");
    // Terms below 2^62 and two below 2^41: no overflow.
    const int64_t spread = window->strides[i] * (in - 1) - out;
    const int64_t total = spread + extra[i] + window->span(i);
    const int64_t trimmed = std::max<int64_t>(total, 0);
    const int64_t less = trimmed / 2;
    window->pads[i] = mode == "SAME_UPPER" ? less : trimmed - less;
    window->pads[i + spatial] = total - window->pads[i];
  }
  return ok_status();
}

Status import_conv_transpose(NodeContext& context) {
  CARREL_ASSIGN(const int spatial, spatial_rank(context));
  CARREL_ASSIGN(std::vector<int64_t> kernel, weight_kernel(context, context.shape(1), spatial));
  CARREL_ASSIGN(Window window, read_window(context, std::move(kernel)));
  std::vector<int64_t> extra = context.ints_attribute("output_padding");
  if (extra.empty()) extra.assign(static_cast<size_t>(spatial), 0);
  if (extra.size() != static_cast<size_t>(spatial)) {
    return context.invalid("output_padding has %zu entries", extra.size());
  }
  for (size_t i = 0; i < extra.size(); ++i) {
    // The definition leaves values outside its output when more is asked for.
    if (extra[i] < 0 || extra[i] >= std::max(window.strides[i], window.dilations[i])) {
      return context.invalid("output_padding is %lld", static_cast<long long>(extra[i]));
    }
    if (window.span(i) >= int64_t{1} << 40) return context.invalid("its kernel is too large");
  }
  CARREL_RETURN_IF_ERROR(resolve_transposed_pads(context, extra, &window));
  Node node =
      context.make(OpType::kConvTranspose, {context.input(0), context.input(1), context.input(2)});
  set_window(window, &node);
  node.attributes.ints["group"] = {context.int_attribute("group", 1)};
  node.attributes.ints["output_padding"] = extra;
  return context.finish(std::move(node));
}

constexpr OperatorEntry kOperators[] = {
    {"Conv", import_conv, 2, 3},
    {"ConvTranspose", import_conv_transpose, 2, 3},
};

}  // namespace

Result<ValueId> emit_conv(NodeContext& context, ValueId x, ValueId weight, ValueId bias) {
  CARREL_ASSIGN(const int spatial, spatial_rank(context));
  CARREL_ASSIGN(std::vector<int64_t> kernel,
                weight_kernel(context, context.value(weight).shape, spatial));
  CARREL_ASSIGN(Window window, read_window(context, std::move(kernel)));
  CARREL_RETURN_IF_ERROR(resolve_auto_pad(context, &window));
  Node node = context.make(OpType::kConv, {x, weight, bias});
  set_window(window, &node);
  node.attributes.ints["group"] = {context.int_attribute("group", 1)};
  return context.emit(std::move(node));
}

std::span<const OperatorEntry> conv_operators() { return kOperators; }

}  // namespace carrel
