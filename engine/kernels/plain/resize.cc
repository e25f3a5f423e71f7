// Resize: nearest neighbour or (multi-)linear interpolation, ONNX's coordinate rules, arithmetic in
// float.
#include "engine/kernels/plain/internal.h"

namespace carrel::plain {
namespace {

enum Coordinate : int64_t {
  kHalfPixel = 0,
  kAsymmetric = 1,
  kAlignCorners = 2,
  kPytorchHalfPixel = 3
};
enum Nearest : int64_t { kRoundPreferFloor = 0, kFloor = 1, kCeil = 2, kRoundPreferCeil = 3 };

// Interpolation over more dims at once would need more than 8 corners per element.
constexpr int kMaxLinearAxes = 3;

struct Resize {
  const PlainTensor* x;
  const PlainTensor* y;
  int64_t mode, coordinate, nearest;
  const float* scales;
};

// Two neighbours along an axis and the weight of the second.
struct Neighbours {
  int64_t low, high;
  float weight;
};

// ONNX's output length is in * scale before it is cut to a whole number; where the caller gave a
// size instead, scale = size / in and only rounding separates the two.
float exact_length(int64_t in, int64_t out, float scale) {
  const float whole = static_cast<float>(out), exact = static_cast<float>(in) * scale;
  return exact - whole < 1e-3f * whole ? whole : exact;
}

float original(const Resize& r, int axis, int64_t o) {
  const int64_t in = r.x->dims[axis], out = r.y->dims[axis];
  const float position = static_cast<float>(o), scale = r.scales[axis];
  switch (r.coordinate) {
    case kAsymmetric:
      return position / scale;
    case kAlignCorners: {
      const float length = exact_length(in, out, scale);
      return length > 1.0f ? position * static_cast<float>(in - 1) / (length - 1.0f) : 0.0f;
    }
    case kPytorchHalfPixel:
      return out > 1 ? (position + 0.5f) / scale - 0.5f : 0.0f;
    default:
      return (position + 0.5f) / scale - 0.5f;
  }
}

// Where output position o reads along `axis`.
Neighbours neighbours(const Resize& r, int axis, int64_t o) {
  const float highest = static_cast<float>(r.x->dims[axis] - 1);
  float at = original(r, axis, o);
  if (r.mode == 0) {
    switch (r.nearest) {
      case kFloor:
        at = __builtin_floorf(at);
        break;
      case kCeil:
        at = __builtin_ceilf(at);
        break;
      case kRoundPreferCeil:
        at = __builtin_floorf(at + 0.5f);
        break;
      default:
        at = __builtin_ceilf(at - 0.5f);
        break;
    }
  }
  at = at > 0.0f ? std::min(at, highest) : 0.0f;
  // `highest` may have been rounded up.
  const int64_t low = std::min(static_cast<int64_t>(at), r.x->dims[axis] - 1);
  return {low, std::min(low + 1, r.x->dims[axis] - 1),
          r.mode == 0 ? 0.0f : at - static_cast<float>(low)};
}

// The input rows that an output row blends: up to 2^(kMaxLinearAxes - 1) if its own axis is blended
// too.
struct Corners {
  int n = 0;
  int64_t offset[1 << kMaxLinearAxes] = {};
  float weight[1 << kMaxLinearAxes] = {};
};

Corners outer_corners(const Resize& r, const int64_t* index, const bool* blended) {
  Corners c;
  c.n = 1;
  c.weight[0] = 1;
  for (int i = 0; i < r.x->rank; ++i) {
    const bool last = i == r.x->rank - 1;
    const Neighbours at = last ? Neighbours{0, 0, 0.0f} : neighbours(r, i, index[i]);
    const int n = c.n;
    for (int k = 0; k < n; ++k) {
      const int64_t base = c.offset[k] * r.x->dims[i];
      c.offset[k] = base + at.low;
      if (last || !blended[i]) continue;
      c.offset[n + k] = base + at.high;
      c.weight[n + k] = c.weight[k] * at.weight;
      c.weight[k] *= 1.0f - at.weight;
      c.n = 2 * n;
    }
  }
  return c;
}

void resize_row(const Resize& r, const Corners& c, float* y) {
  const int last = r.x->rank - 1;
  const float* x = f32(*r.x);
  for (int64_t i = 0; i < r.y->dims[last]; ++i) {
    const Neighbours at = neighbours(r, last, i);
    float sum = 0;
    for (int k = 0; k < c.n; ++k) {
      const float* row = x + c.offset[k];
      const float low = row[at.low];
      // The weight test depends on geometry alone; without it a nearest infinity would become NaN.
      sum += c.weight[k] *
             (at.weight == 0.0f ? low : low * (1.0f - at.weight) + row[at.high] * at.weight);
    }
    y[i] = sum;
  }
}

}  // namespace

Status run_resize(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 3, 3, 1, kMaxRank, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(x.rank == y.rank && x.rank >= 1 && call.floats.size() == x.rank, "ranks or scales");
  const Resize r = {&x, &y, call.ints[0], call.ints[1], call.ints[2], call.floats.data()};
  PLAIN_REQUIRE(r.mode >= 0 && r.mode <= 1 && r.coordinate >= kHalfPixel &&
                    r.coordinate <= kPytorchHalfPixel && r.nearest >= kRoundPreferFloor &&
                    r.nearest <= kRoundPreferCeil,
                "mode");
  bool blended[kMaxRank] = {};
  int blended_axes = 0;
  for (int i = 0; i < x.rank; ++i) {
    PLAIN_REQUIRE(r.scales[i] > 0.0f && r.scales[i] < 1e30f, "scales");
    PLAIN_REQUIRE(x.dims[i] > 0 || y.dims[i] == 0, "nothing to enlarge");
    blended[i] = r.mode == 1 && (x.dims[i] != y.dims[i] || r.scales[i] != 1.0f);
    blended_axes += blended[i];
  }
  if (blended_axes > kMaxLinearAxes) {
    return Error(ErrorCode::kUnsupported, "Resize: linear over more than %d dimensions",
                 kMaxLinearAxes);
  }
  if (count(y) == 0) return ok_status();
  const int last = x.rank - 1;
  int64_t index[kMaxRank] = {};
  float* out = f32(y);
  for (int64_t row = 0, rows = product(y, 0, last); row < rows; ++row, out += y.dims[last]) {
    resize_row(r, outer_corners(r, index, blended), out);
    for (int d = last - 1; d >= 0 && ++index[d] == y.dims[d]; --d) index[d] = 0;
  }
  return ok_status();
}

}  // namespace carrel::plain
