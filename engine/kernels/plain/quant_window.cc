// QConv, QGemm, QAveragePool. Sums of products of integers are exact in double.
#include "engine/kernels/plain/quant.h"

namespace carrel::plain {
namespace {

constexpr int64_t kBlock = 256;  // output positions summed at a time

struct Conv {
  Windows w;
  int64_t in_per_group = 0, out_per_group = 0;
  float x_zero = 0;
  float x_scale = 1, y_scale = 1;
  Levels levels;
};

// x_zero, y_zero, y_low, y_high at `ints`, x_scale and y_scale in floats.
Status read_parameters(const PlainCall& call, const int64_t* ints, Conv* c) {
  PLAIN_REQUIRE(are_levels(ints, 4), "a zero point or bound");
  c->x_zero = static_cast<float>(ints[0]);
  c->levels = levels_of(ints[1], ints[2], ints[3]);
  c->x_scale = call.floats[0];
  c->y_scale = call.floats[1];
  return ok_status();
}

Status check(const PlainCall& call, Conv* c) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {3, 4, 9, 17, 2, 2, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& weights = call.inputs[1];
  const int s = x.rank - 2;
  PLAIN_REQUIRE(s >= 1 && s <= kSpatial && weights.rank == x.rank, "rank of input or weights");
  PLAIN_REQUIRE(call.ints.size() == static_cast<size_t>(5 + 4 * s), "wrong number of integers");
  PLAIN_REQUIRE(read_windows(x, call.outputs[0], weights.dims + 2, call.ints.data() + 1, &c->w) &&
                    forward_sizes_match(c->w),
                "window, pads and output size do not fit together");
  const int64_t group = call.ints[0];
  PLAIN_REQUIRE(group >= 1 && group <= kMaxSpatial, "group");
  c->in_per_group = weights.dims[1];
  c->out_per_group = weights.dims[0] / group;
  PLAIN_REQUIRE(c->in_per_group <= kMaxSpatial && c->in_per_group * group == c->w.in_channels &&
                    c->out_per_group * group == weights.dims[0] &&
                    weights.dims[0] == c->w.out_channels,
                "weights do not match channels and group");
  PLAIN_REQUIRE(valid_weighted_inputs(call, c->w.out_channels), "scale or bias does not match");
  return read_parameters(call, call.ints.data() + 1 + 4 * s, c);
}

// acc[0, n) for output columns [begin, begin + n) of row (d, h): all taps, all channels of the
// group, whose planes begin at x.
void sum_taps(const Conv& c, const float* x, const float* weights, const int64_t (&at)[3],
              int64_t n, double* acc) {
  const Axis* axis = c.w.axis;
  const int64_t plane = c.w.in_count(), taps = c.w.kernel_count();
  for (int64_t tap = 0; tap < taps; ++tap) {
    const int64_t kw = tap % axis[2].kernel, kh = tap / axis[2].kernel % axis[1].kernel;
    const int64_t kd = tap / axis[2].kernel / axis[1].kernel;
    const int64_t zd = axis[0].position(at[0], kd), zh = axis[1].position(at[1], kh);
    if (zd < 0 || zd >= axis[0].in || zh < 0 || zh >= axis[1].in) continue;
    const int64_t first = std::max(axis[2].first_inside(kw), at[2]);
    const int64_t end = std::min(axis[2].end_inside(kw), at[2] + n);
    if (first >= end) continue;
    const float* row = x + (zd * axis[1].in + zh) * axis[2].in + axis[2].position(first, kw);
    for (int64_t channel = 0; channel < c.in_per_group; ++channel) {
      const double weight = static_cast<double>(weights[channel * taps + tap]);
      const float* in = row + channel * plane;
      double* sum = acc + (first - at[2]);
      for (int64_t i = 0; i < end - first; ++i) {
        sum[i] += static_cast<double>(in[i * axis[2].stride] - c.x_zero) * weight;
      }
    }
  }
}

// Row (n, oc, d, h) of the result.
void conv_row(const PlainCall& call, const Conv& c, const int64_t (&at)[4], float* row) {
  const int64_t oc = at[1];
  const int64_t first_channel = at[0] * c.w.in_channels + oc / c.out_per_group * c.in_per_group;
  const float* x = f32(call.inputs[0]) + first_channel * c.w.in_count();
  const float* weights = f32(call.inputs[1]) + oc * c.in_per_group * c.w.kernel_count();
  const float factor = c.x_scale * f32(call.inputs[2])[oc] / c.y_scale;
  const int64_t width = c.w.axis[2].out;
  for (int64_t begin = 0; begin < width; begin += kBlock) {
    const int64_t n = std::min(kBlock, width - begin);
    double acc[kBlock];
    std::fill(acc, acc + n, bias_at(optional_input(call, 3), oc));
    sum_taps(c, x, weights, {at[2], at[3], begin}, n, acc);
    for (int64_t i = 0; i < n; ++i) {
      row[begin + i] = to_level(static_cast<float>(acc[i]) * factor, c.levels);
    }
  }
}

}  // namespace

Status run_qconv(const PlainCall& call) {
  Conv c;
  CARREL_RETURN_IF_ERROR(check(call, &c));
  if (c.w.out_channels == 0 || c.w.out_count() == 0) return ok_status();
  const Axis* axis = c.w.axis;
  float* row = f32(call.outputs[0]);
  for (int64_t n = 0; n < c.w.batch; ++n) {
    for (int64_t oc = 0; oc < c.w.out_channels; ++oc) {
      for (int64_t d = 0; d < axis[0].out; ++d) {
        for (int64_t h = 0; h < axis[1].out; ++h, row += axis[2].out) {
          conv_row(call, c, {n, oc, d, h}, row);
        }
      }
    }
  }
  return ok_status();
}

Status run_qgemm(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {3, 4, 4, 4, 2, 2, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& weights = call.inputs[1];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(x.rank == 2 && weights.rank == 2 && y.rank == 2 && x.dims[1] == weights.dims[1] &&
                    y.dims[0] == x.dims[0] && y.dims[1] == weights.dims[0],
                "sizes do not match");
  PLAIN_REQUIRE(valid_weighted_inputs(call, y.dims[1]), "scale or bias does not match");
  Conv c;
  CARREL_RETURN_IF_ERROR(read_parameters(call, call.ints.data(), &c));
  const int64_t inner = x.dims[1], outputs = y.dims[1];
  for (int64_t m = 0; m < y.dims[0]; ++m) {
    const float* in = f32(x) + m * inner;
    for (int64_t n = 0; n < outputs; ++n) {
      const float* weight = f32(weights) + n * inner;
      double acc = bias_at(optional_input(call, 3), n);
      for (int64_t k = 0; k < inner; ++k) {
        acc += static_cast<double>(in[k] - c.x_zero) * static_cast<double>(weight[k]);
      }
      const float factor = c.x_scale * f32(call.inputs[2])[n] / c.y_scale;
      f32(y)[m * outputs + n] = to_level(static_cast<float>(acc) * factor, c.levels);
    }
  }
  return ok_status();
}

}  // namespace carrel::plain
