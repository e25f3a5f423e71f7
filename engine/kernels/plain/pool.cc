// MaxPool, AveragePool and QAveragePool.
#include "base/vector_math.h"
#include "engine/kernels/plain/quant.h"

namespace carrel::plain {
namespace {

struct Pool {
  Windows w;
  bool average = false;
  // kAveragePool: the pads whose positions count in the divisor.
  int64_t counted_begin[kSpatial] = {}, counted_end[kSpatial] = {};
};

Status check(const PlainCall& call, Pool* p) {
  const bool quantized = call.op == PlainOp::kQAveragePool;
  const size_t extra = quantized ? 2 : 0;  // zero points, scales
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 5, 22 + extra, extra, extra, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  p->average = call.op != PlainOp::kMaxPool;
  const int s = x.rank - 2;
  PLAIN_REQUIRE(s >= 1 && s <= kSpatial && y.rank == x.rank && y.dims[1] == x.dims[1],
                "rank or channels");
  PLAIN_REQUIRE(call.ints.size() == extra + static_cast<size_t>(p->average ? 7 * s + 1 : 5 * s),
                "wrong number of integers");
  const int64_t* ints = call.ints.data();
  PLAIN_REQUIRE(read_windows(x, y, ints, ints + s, &p->w) && forward_sizes_match(p->w),
                "window, pads and output size do not fit together");
  // Products of three kernel dims fit int64_t.
  for (const Axis& a : p->w.axis) PLAIN_REQUIRE(a.kernel <= int64_t{1} << 20, "kernel too large");
  PLAIN_REQUIRE(!quantized || are_levels(ints + 7 * s + 1, 2), "zero point");
  if (!p->average || ints[5 * s] == 0) return ok_status();
  for (int i = 0; i < s; ++i) {
    const int64_t begin = ints[5 * s + 1 + i], end = ints[6 * s + 1 + i];
    PLAIN_REQUIRE(begin >= 0 && begin <= kMaxSpatial && end >= 0 && end <= kMaxSpatial,
                  "counted pads");
    p->counted_begin[kSpatial - s + i] = begin;
    p->counted_end[kSpatial - s + i] = end;
  }
  return ok_status();
}

// Taps [*first, *end) of output position o inside [low, high).
void taps_inside(const Axis& a, int64_t o, int64_t low, int64_t high, int64_t* first,
                 int64_t* end) {
  const int64_t start = a.position(o, 0);
  *first = start >= low ? 0 : std::min(a.kernel, (low - start + a.dilation - 1) / a.dilation);
  *end = start >= high ? 0 : std::min(a.kernel, (high - 1 - start) / a.dilation + 1);
  *end = std::max(*first, *end);
}

// How many taps the average of output position (o...) divides by.
int64_t counted_taps(const Pool& p, const int64_t (&o)[kSpatial]) {
  int64_t taps = 1;
  for (int i = 0; i < kSpatial; ++i) {
    int64_t first, end;
    const Axis& a = p.w.axis[i];
    taps_inside(a, o[i], -p.counted_begin[i], a.in + p.counted_end[i], &first, &end);
    taps *= end - first;
  }
  return taps;
}

// visit(x) for every tap of output position o inside the input.
template <typename Visit>
void for_each_inside(const Pool& p, const float* plane, const int64_t (&o)[kSpatial], Visit visit) {
  const Axis* axis = p.w.axis;
  int64_t first[kSpatial], end[kSpatial];
  for (int i = 0; i < kSpatial; ++i) taps_inside(axis[i], o[i], 0, axis[i].in, &first[i], &end[i]);
  for (int64_t kd = first[0]; kd < end[0]; ++kd) {
    for (int64_t kh = first[1]; kh < end[1]; ++kh) {
      const int64_t row = axis[0].position(o[0], kd) * axis[1].in + axis[1].position(o[1], kh);
      const float* x = plane + row * axis[2].in + axis[2].position(o[2], first[2]);
      for (int64_t k = 0; k < end[2] - first[2]; ++k) visit(x[k * axis[2].dilation]);
    }
  }
}

float pool_one(const Pool& p, const float* plane, const int64_t (&o)[kSpatial]) {
  float sum = p.average ? 0.0f : -kInfinityF32;
  for_each_inside(p, plane, o, [&](float v) {
    sum = p.average ? sum + v : select_f32((v > sum) | (v != v), v, sum);
  });
  if (!p.average) return sum;
  const int64_t taps = counted_taps(p, o);
  return taps == 0 ? 0.0f : sum / static_cast<float>(taps);
}

// y = one(plane, position) everywhere.
template <typename One>
void pool_all(const PlainCall& call, const Pool& p, One one) {
  const Axis* axis = p.w.axis;
  const float* x = f32(call.inputs[0]);
  float* y = f32(call.outputs[0]);
  if (p.w.out_count() == 0) return;
  for (int64_t nc = 0; nc < p.w.batch * p.w.in_channels; ++nc) {
    for (int64_t d = 0; d < axis[0].out; ++d) {
      for (int64_t h = 0; h < axis[1].out; ++h) {
        for (int64_t w = 0; w < axis[2].out; ++w) *y++ = one(x, {d, h, w});
      }
    }
    x += p.w.in_count();
  }
}

using Position = const int64_t (&)[kSpatial];

}  // namespace

Status run_pool(const PlainCall& call) {
  Pool p;
  CARREL_RETURN_IF_ERROR(check(call, &p));
  pool_all(call, p, [&](const float* x, Position o) { return pool_one(p, x, o); });
  return ok_status();
}

Status run_qpool(const PlainCall& call) {
  Pool p;
  CARREL_RETURN_IF_ERROR(check(call, &p));
  const int64_t* zeros = call.ints.data() + call.ints.size() - 2;
  const auto x_zero = static_cast<double>(zeros[0]);
  const Levels levels = levels_of(zeros[1]);
  const float ratio = call.floats[0] / call.floats[1];
  pool_all(call, p, [&](const float* x, Position o) {
    double sum = 0;
    for_each_inside(p, x, o, [&](float v) { sum += static_cast<double>(v) - x_zero; });
    const auto taps = static_cast<float>(std::max<int64_t>(counted_taps(p, o), 1));
    return to_level(static_cast<float>(sum) * (ratio / taps), levels);
  });
  return ok_status();
}

}  // namespace carrel::plain
