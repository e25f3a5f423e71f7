// ConvTranspose: every input row is scattered into the output rows it reaches.
#include "engine/kernels/plain/window.h"

namespace carrel::plain {
namespace {

struct ConvTranspose {
  Windows w;
  int64_t group = 1;
  int64_t in_per_group = 0, out_per_group = 0;
  const float* x = nullptr;
  const float* weights = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
};

// out = (in - 1) stride + span - pads + output_padding, where the extra rows are fewer than a step.
bool sizes_match(const Windows& w, const int64_t* output_padding, int s) {
  for (int i = 0; i < kSpatial; ++i) {
    const Axis& a = w.axis[i];
    const int64_t extra = i < kSpatial - s ? 0 : output_padding[i - (kSpatial - s)];
    if (extra < 0 || extra >= std::max(a.stride, a.dilation)) return false;
    if (a.in < 1 || a.out != (a.in - 1) * a.stride + a.span() - a.pad_begin - a.pad_end + extra)
      return false;
  }
  return true;
}

Status check(const PlainCall& call, ConvTranspose* c) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {2, 3, 6, 16, 0, 0, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& weights = call.inputs[1];
  const PlainTensor* bias = optional_input(call, 2);
  const int s = x.rank - 2;
  PLAIN_REQUIRE(s >= 1 && s <= kSpatial && weights.rank == x.rank, "rank of input or weights");
  PLAIN_REQUIRE(call.ints.size() == static_cast<size_t>(1 + 5 * s), "wrong number of integers");
  PLAIN_REQUIRE(read_windows(x, call.outputs[0], weights.dims + 2, call.ints.data() + 1, &c->w) &&
                    sizes_match(c->w, call.ints.data() + 1 + 4 * s, s),
                "window, pads and output size do not fit together");
  c->group = call.ints[0];
  PLAIN_REQUIRE(c->group >= 1 && c->group <= kMaxSpatial, "group");
  c->in_per_group = c->w.in_channels / c->group;
  c->out_per_group = weights.dims[1];
  PLAIN_REQUIRE(c->out_per_group <= kMaxSpatial && c->in_per_group * c->group == c->w.in_channels &&
                    weights.dims[0] == c->w.in_channels &&
                    c->out_per_group * c->group == c->w.out_channels,
                "weights do not match channels and group");
  PLAIN_REQUIRE(bias == nullptr || is_vector(*bias, c->w.out_channels), "bias does not match");
  c->x = f32(x);
  c->weights = f32(weights);
  c->bias = bias != nullptr ? f32(*bias) : nullptr;
  c->y = f32(call.outputs[0]);
  return ok_status();
}

// Input positions [first, end) whose tap k lies inside the output: the roles of in and out
// exchanged.
Axis exchanged(const Axis& a) {
  Axis e = a;
  std::swap(e.in, e.out);
  return e;
}

void scatter_row(const ConvTranspose& c, const float* x, const float* taps, int64_t d, int64_t h,
                 float* plane) {
  const Axis ad = exchanged(c.w.axis[0]), ah = exchanged(c.w.axis[1]), aw = exchanged(c.w.axis[2]);
  for (int64_t kd = 0; kd < ad.kernel; ++kd) {
    const int64_t zd = ad.position(d, kd);
    if (zd < 0 || zd >= ad.in) continue;
    for (int64_t kh = 0; kh < ah.kernel; ++kh) {
      const int64_t zh = ah.position(h, kh);
      if (zh < 0 || zh >= ah.in) continue;
      float* row = plane + (zd * ah.in + zh) * aw.in;
      for (int64_t kw = 0; kw < aw.kernel; ++kw) {
        const float w = taps[(kd * ah.kernel + kh) * aw.kernel + kw];
        const int64_t end = aw.end_inside(kw);
        for (int64_t i = aw.first_inside(kw); i < end; ++i) row[aw.position(i, kw)] += w * x[i];
      }
    }
  }
}

}  // namespace

Status run_conv_transpose(const PlainCall& call) {
  ConvTranspose c;
  CARREL_RETURN_IF_ERROR(check(call, &c));
  const Axis* axis = c.w.axis;
  const int64_t in_plane = c.w.in_count(), out_plane = c.w.out_count(), taps = c.w.kernel_count();
  for (int64_t n = 0; n < c.w.batch; ++n) {
    for (int64_t oc = 0; oc < c.w.out_channels; ++oc) {
      float* plane = c.y + (n * c.w.out_channels + oc) * out_plane;
      std::fill(plane, plane + out_plane, c.bias != nullptr ? c.bias[oc] : 0.0f);
      const int64_t first_in = oc / c.out_per_group * c.in_per_group, lane = oc % c.out_per_group;
      for (int64_t ic = first_in; ic < first_in + c.in_per_group; ++ic) {
        const float* x = c.x + (n * c.w.in_channels + ic) * in_plane;
        const float* weights = c.weights + (ic * c.out_per_group + lane) * taps;
        for (int64_t row = 0; row < axis[0].in * axis[1].in; ++row) {
          scatter_row(c, x + row * axis[2].in, weights, row / axis[1].in, row % axis[1].in, plane);
        }
      }
    }
  }
  return ok_status();
}

}  // namespace carrel::plain
