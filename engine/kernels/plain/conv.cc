// Conv: direct, without an im2col matrix. Output rows stay in L1 while taps and channels are added
// to them.
#include "engine/kernels/plain/window.h"

namespace carrel::plain {
namespace {

struct Conv {
  Windows w;
  int64_t group = 1;
  int64_t in_per_group = 0, out_per_group = 0;
  const float* x = nullptr;
  const float* weights = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
};

Status check(const PlainCall& call, Conv* c) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {2, 3, 5, 13, 0, 0, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& weights = call.inputs[1];
  const PlainTensor* bias = optional_input(call, 2);
  const int s = x.rank - 2;
  PLAIN_REQUIRE(s >= 1 && s <= kSpatial && weights.rank == x.rank, "rank of input or weights");
  PLAIN_REQUIRE(call.ints.size() == static_cast<size_t>(1 + 4 * s), "wrong number of integers");
  PLAIN_REQUIRE(read_windows(x, call.outputs[0], weights.dims + 2, call.ints.data() + 1, &c->w) &&
                    forward_sizes_match(c->w),
                "window, pads and output size do not fit together");
  c->group = call.ints[0];
  PLAIN_REQUIRE(c->group >= 1 && c->group <= kMaxSpatial, "group");
  c->in_per_group = weights.dims[1];
  c->out_per_group = weights.dims[0] / c->group;
  PLAIN_REQUIRE(c->in_per_group <= kMaxSpatial && c->in_per_group * c->group == c->w.in_channels &&
                    c->out_per_group * c->group == weights.dims[0] &&
                    weights.dims[0] == c->w.out_channels,
                "weights do not match channels and group");
  PLAIN_REQUIRE(bias == nullptr || is_vector(*bias, c->w.out_channels), "bias does not match");
  c->x = f32(x);
  c->weights = f32(weights);
  c->bias = bias != nullptr ? f32(*bias) : nullptr;
  c->y = f32(call.outputs[0]);
  return ok_status();
}

// y[0, n) += sum over channels of weight * x[i * stride]; a channel's x is `pitch` further, its
// weight `step`.
void add_channels(const float* x, int64_t pitch, int64_t stride, const float* weight, int64_t step,
                  int64_t channels, float* y, int64_t n) {
  int64_t c = 0;
  if (stride == 1) {
    for (; c + 4 <= channels; c += 4) {
      const float w[4] = {weight[c * step], weight[(c + 1) * step], weight[(c + 2) * step],
                          weight[(c + 3) * step]};
      axpy4(x + c * pitch, pitch, w, y, n);
    }
    for (; c < channels; ++c) axpy1(x + c * pitch, weight[c * step], y, n);
    return;
  }
  for (; c < channels; ++c) {
    const float w = weight[c * step];
    const float* in = x + c * pitch;
    for (int64_t i = 0; i < n; ++i) y[i] += w * in[i * stride];
  }
}

// One output row (d, h) of output channel `oc` (absolute): all taps, all input channels of its
// group.
void conv_row(const Conv& c, int64_t n, int64_t oc, int64_t d, int64_t h, float* row) {
  const Axis& ad = c.w.axis[0];
  const Axis& ah = c.w.axis[1];
  const Axis& aw = c.w.axis[2];
  const int64_t plane = c.w.in_count(), taps = c.w.kernel_count();
  const int64_t first_channel = n * c.w.in_channels + oc / c.out_per_group * c.in_per_group;
  const float* x = c.x + first_channel * plane;
  const float* weights = c.weights + oc * c.in_per_group * taps;
  std::fill(row, row + aw.out, c.bias != nullptr ? c.bias[oc] : 0.0f);
  for (int64_t kd = 0; kd < ad.kernel; ++kd) {
    const int64_t zd = ad.position(d, kd);
    if (zd < 0 || zd >= ad.in) continue;
    for (int64_t kh = 0; kh < ah.kernel; ++kh) {
      const int64_t zh = ah.position(h, kh);
      if (zh < 0 || zh >= ah.in) continue;
      for (int64_t kw = 0; kw < aw.kernel; ++kw) {
        const int64_t first = aw.first_inside(kw), end = aw.end_inside(kw);
        if (first >= end) continue;
        const int64_t tap = (kd * ah.kernel + kh) * aw.kernel + kw;
        add_channels(x + (zd * ah.in + zh) * aw.in + aw.position(first, kw), plane, aw.stride,
                     weights + tap, taps, c.in_per_group, row + first, end - first);
      }
    }
  }
}

// A 1 x 1 window on every position: one matrix product per image and group.
bool is_pointwise(const Conv& c) {
  for (const Axis& a : c.w.axis) {
    if (a.kernel != 1 || a.stride != 1 || a.pad_begin != 0 || a.pad_end != 0) return false;
  }
  return true;
}

void conv_pointwise(const Conv& c) {
  const int64_t plane = c.w.in_count();
  for (int64_t n = 0; n < c.w.batch; ++n) {
    for (int64_t oc = 0; oc < c.w.out_channels; ++oc) {
      float* row = c.y + (n * c.w.out_channels + oc) * plane;
      std::fill(row, row + plane, c.bias != nullptr ? c.bias[oc] : 0.0f);
    }
    for (int64_t g = 0; g < c.group; ++g) {
      const int64_t first_out = g * c.out_per_group;
      gemm({c.out_per_group, plane, c.in_per_group, c.weights + first_out * c.in_per_group,
            c.in_per_group, 1, c.x + (n * c.w.in_channels + g * c.in_per_group) * plane, plane, 1,
            c.y + (n * c.w.out_channels + first_out) * plane});
    }
  }
}

}  // namespace

Status run_conv(const PlainCall& call) {
  Conv c;
  CARREL_RETURN_IF_ERROR(check(call, &c));
  if (c.w.out_channels == 0 || c.w.out_count() == 0) return ok_status();
  if (is_pointwise(c)) {
    conv_pointwise(c);
    return ok_status();
  }
  const Axis* axis = c.w.axis;
  // Rows outside, channels inside: the input rows of one output row stay in cache for all channels.
  for (int64_t n = 0; n < c.w.batch; ++n) {
    for (int64_t d = 0; d < axis[0].out; ++d) {
      for (int64_t h = 0; h < axis[1].out; ++h) {
        for (int64_t oc = 0; oc < c.w.out_channels; ++oc) {
          const int64_t plane = (n * c.w.out_channels + oc) * axis[0].out + d;
          conv_row(c, n, oc, d, h, c.y + (plane * axis[1].out + h) * axis[2].out);
        }
      }
    }
  }
  return ok_status();
}

}  // namespace carrel::plain
