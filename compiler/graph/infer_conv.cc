#include "compiler/graph/infer_internal.h"

namespace carrel {
namespace {

struct Window {
  std::vector<int64_t> strides, pads, dilations;
};

Result<Window> window(const Inference& inference, int spatial, int64_t least_pad) {
  Window w;
  CARREL_ASSIGN(w.strides, inference.list("strides", spatial, 1, 1));
  CARREL_ASSIGN(w.pads, inference.list("pads", 2 * spatial, 0, least_pad));
  CARREL_ASSIGN(w.dilations, inference.list("dilations", spatial, 1, 1));
  return w;
}

// Shapes that convolutions and pools can work on: N, C and one to three spatial dims of sane size.
Result<int> spatial_rank(const Inference& inference) {
  const Shape& x = inference.shape(0);
  if (x.rank() < 3 || x.rank() > 5) return inference.fail("1 to 3 spatial dimensions are needed");
  for (int i = 2; i < x.rank(); ++i) {
    if (x[i] < 1 || x[i] >= kMaxWindow) return inference.fail("a spatial size is out of range");
  }
  return x.rank() - 2;
}

// floor((in + pads - span) / stride) + 1 for each spatial dimension, appended to `out`.
Status slide(const Inference& inference, const std::vector<int64_t>& kernel, const Window& w,
             Shape* out) {
  const Shape& x = inference.shape(0);
  for (int i = 0; i < x.rank() - 2; ++i) {
    const auto s = static_cast<size_t>(i);
    const int64_t span = (kernel[s] - 1) * w.dilations[s] + 1;
    const int64_t padded = x[i + 2] + w.pads[s] + w.pads[s + kernel.size()];
    if (padded < span) return inference.fail("the kernel is larger than the padded input");
    (*out)[i + 2] = (padded - span) / w.strides[s] + 1;
  }
  return ok_status();
}

Result<std::vector<int64_t>> weight_kernel(const Inference& inference, int spatial) {
  const Shape& weight = inference.shape(1);
  if (weight.rank() != spatial + 2) return inference.fail("weight and input differ in rank");
  std::vector<int64_t> kernel;
  for (int i = 2; i < weight.rank(); ++i) {
    if (weight[i] < 1 || weight[i] >= kMaxWindow) return inference.fail("bad kernel size");
    kernel.push_back(weight[i]);
  }
  return kernel;
}

// Input i, if there, holds one value per output channel.
Status check_bias(const Inference& inference, size_t i, int64_t channels) {
  if (!inference.has(i)) return ok_status();
  const Shape& bias = inference.shape(i);
  if (bias.rank() != 1 || bias[0] != channels) {
    return inference.fail("bias and scale need one value per output channel");
  }
  return ok_status();
}

Status infer_forward(Inference& inference, int spatial, int64_t group) {
  const Shape& x = inference.shape(0);
  const Shape& weight = inference.shape(1);
  CARREL_ASSIGN(const std::vector<int64_t> kernel, weight_kernel(inference, spatial));
  CARREL_ASSIGN(const Window w, window(inference, spatial, 0));
  if (weight[0] < 1 || weight[0] % group != 0 || x[1] % group != 0 || x[1] / group != weight[1]) {
    return inference.fail("channels, groups and weight do not agree");
  }
  for (size_t i = 2; i < inference.input_count(); ++i) {
    CARREL_RETURN_IF_ERROR(check_bias(inference, i, weight[0]));
  }
  Shape out = x;
  out[1] = weight[0];
  CARREL_RETURN_IF_ERROR(slide(inference, kernel, w, &out));
  return inference.set(out);
}

Status infer_transposed(Inference& inference, int spatial, int64_t group) {
  const Shape& x = inference.shape(0);
  const Shape& weight = inference.shape(1);
  CARREL_ASSIGN(const std::vector<int64_t> kernel, weight_kernel(inference, spatial));
  CARREL_ASSIGN(const Window w, window(inference, spatial, 1 - kMaxWindow));
  CARREL_ASSIGN(const std::vector<int64_t> extra, inference.list("output_padding", spatial, 0, 0));
  if (x[1] < 1 || x[1] != weight[0] || x[1] % group != 0 || weight[1] < 1 ||
      weight[1] >= kMaxWindow) {
    return inference.fail("channels, groups and weight do not agree");
  }
  Shape out = x;
  out[1] = weight[1] * group;
  CARREL_RETURN_IF_ERROR(check_bias(inference, 2, out[1]));
  for (int i = 0; i < spatial; ++i) {
    const auto s = static_cast<size_t>(i);
    // Factors are below 2^31 and terms below 2^62: only the sum can overflow.
    const int64_t spread = w.strides[s] * (x[i + 2] - 1);
    const int64_t span = (kernel[s] - 1) * w.dilations[s] + 1;
    const int64_t padding = extra[s] - w.pads[s] - w.pads[s + kernel.size()];
    if (__builtin_add_overflow(spread + padding, span, &out[i + 2]) || out[i + 2] < 1) {
      return inference.fail("the result is empty or too large");
    }
  }
  return inference.set(out);
}

}  // namespace

Status infer_conv(Inference& inference) {
  CARREL_RETURN_IF_ERROR(inference.require_float());
  return infer_conv_shape(inference);
}

Status infer_conv_shape(Inference& inference) {
  CARREL_ASSIGN(const int spatial, spatial_rank(inference));
  const int64_t group = inference.node().attributes.int_or("group", 1);
  if (group < 1 || group >= kMaxWindow) return inference.fail("group is out of range");
  return inference.node().op == OpType::kConvTranspose ? infer_transposed(inference, spatial, group)
                                                       : infer_forward(inference, spatial, group);
}

Status infer_pool(Inference& inference) {
  const bool quantized = inference.in(0).type == DType::kU8 || inference.in(0).type == DType::kI8;
  if (inference.node().op != OpType::kMaxPool || !quantized) {
    CARREL_RETURN_IF_ERROR(inference.require_float());
  }
  return infer_pool_shape(inference);
}

Status infer_pool_shape(Inference& inference) {
  CARREL_ASSIGN(const int spatial, spatial_rank(inference));
  Shape out = inference.shape(0);
  const OpType op = inference.node().op;
  if (op == OpType::kGlobalAveragePool || op == OpType::kGlobalMaxPool ||
      op == OpType::kQGlobalAveragePool) {
    for (int i = 2; i < out.rank(); ++i) out[i] = 1;
    return inference.set(out);
  }
  if (inference.node().attributes.int_list("kernel_shape").empty()) {
    return inference.fail("kernel_shape is missing");
  }
  CARREL_ASSIGN(const std::vector<int64_t> kernel, inference.list("kernel_shape", spatial, 1, 1));
  CARREL_ASSIGN(const Window w, window(inference, spatial, 0));
  CARREL_RETURN_IF_ERROR(inference.list("pads_counted", 2 * spatial, 0, 0));
  CARREL_RETURN_IF_ERROR(slide(inference, kernel, w, &out));
  return inference.set(out);
}

}  // namespace carrel
