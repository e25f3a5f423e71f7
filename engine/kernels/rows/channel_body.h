#pragma once
// Operators across the channels of a pixel: LRN and Softmax. Include after vec_<isa>.h.
#include <limits>

#include "engine/kernels/rows/elementwise_body.h"

namespace carrel::CARREL_ROWS_ISA {

// Squares of block `block` of the pixel whose first block is at `in`; zero beyond the last channel
// and outside the map.
inline Vec lrn_squares(const MapShape& shape, const float* in, uint32_t block) {
  if (block >= shape.blocks()) return splat(0.0f);
  const uint32_t left = shape.channels - block * kLanes;
  const Vec v = load(in + block * shape.block_pitch());
  return select(lanes(0, left < kLanes ? left : kLanes), v * v, splat(0.0f));
}

// Sums of the squares in each lane's window of channels [c - before, c + after], in channel order.
// Lanes of two neighbouring blocks, joined, give the square at each distance.
inline Vec lrn_sum(const LrnCall& call, const float* in, uint32_t block) {
  constexpr int32_t kBlock = kLanes;
  const int32_t before = static_cast<int32_t>((call.size - 1) / 2);
  const int32_t after = static_cast<int32_t>(call.size / 2);
  Vec sum = splat(0.0f);
  for (int32_t d = -before; d <= after;) {
    // Distances of the same pair of blocks: lane 0 wants channel 16 block + d, in block `low`.
    const int32_t offset = d >= 0 ? d / kBlock : -1 - (-1 - d) / kBlock;
    // A negative block wraps to a huge one, which is outside the map.
    const uint32_t low = block + static_cast<uint32_t>(offset);
    const Vec left = lrn_squares(call.in.shape, in, low);
    const Vec right = lrn_squares(call.in.shape, in, low + 1);
    for (const int32_t end = (offset + 1) * kBlock; d < end && d <= after; ++d) {
      sum = sum + join(left, right, static_cast<uint32_t>(d - offset * kBlock));
    }
  }
  return sum;
}

// out = in * out^-beta. The exponent of AlexNet and GoogLeNet, 3/4, needs square roots only.
inline void lrn_scale(const float* in, float* out, size_t count, float beta) {
  if (beta == 0.75f) {
    CARREL_SAME_INDEX
    for (size_t i = 0; i < count; ++i) {
      const float root = sqrt_f32(out[i]);
      out[i] = in[i] / (root * sqrt_f32(root));
    }
    return;
  }
  CARREL_SAME_INDEX
  for (size_t i = 0; i < count; ++i) out[i] = in[i] * pow_f32(out[i], -beta);
}

void lrn(const LrnCall& call) {
  const uint32_t width = call.in.shape.width;
  const Vec scale = splat(call.alpha / static_cast<float>(call.size)), bias = splat(call.bias);
  for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
    const float* in = call.in.pixel(y, 0, 0);
    for (uint32_t b = 0; b < call.in.shape.blocks(); ++b) {
      float* out = call.out.pixel(y, 0, b);
      for (uint32_t x = 0; x < width; ++x) {
        store(out + size_t{x} * kLanes,
              multiply_add(scale, lrn_sum(call, in + size_t{x} * kLanes, b), bias));
      }
      lrn_scale(in + b * call.in.shape.block_pitch(), out, size_t{width} * kLanes, call.beta);
    }
  }
}

inline float reduce_max(Vec v) {
  alignas(64) float x[kLanes];
  store(x, v);
  for (uint32_t n = kLanes / 2; n > 0; n /= 2) {
    for (uint32_t i = 0; i < n; ++i) x[i] = select_f32(x[i] > x[i + n], x[i], x[i + n]);
  }
  return x[0];
}
inline float reduce_sum(Vec v) {
  alignas(64) float x[kLanes];
  store(x, v);
  for (uint32_t n = kLanes / 2; n > 0; n /= 2) {
    for (uint32_t i = 0; i < n; ++i) x[i] += x[i + n];
  }
  return x[0];
}
inline Vec exp_vec(Vec v) {
  alignas(64) float x[kLanes];
  store(x, v);
  CARREL_SAME_INDEX
  for (uint32_t i = 0; i < kLanes; ++i) x[i] = exp_f32(x[i]);
  return load(x);
}

// One pixel: blocks are block_pitch floats apart.
inline void softmax_pixel(const SoftmaxCall& call, const float* in, float* out) {
  const MapShape& shape = call.in.shape;
  const size_t in_pitch = shape.block_pitch(), out_pitch = call.out.shape.block_pitch();
  const uint32_t blocks = shape.blocks();
  // In the last block only the map's channels count.
  const LaneMask all = lanes(0, kLanes), some = lanes(0, shape.channels - (blocks - 1) * kLanes);
  const Vec lowest = splat(-std::numeric_limits<float>::infinity());
  Vec top = lowest;
  for (uint32_t b = 0; b < blocks; ++b) {
    top = max(top, select(b + 1 == blocks ? some : all, load(in + b * in_pitch), lowest));
  }
  const Vec largest = splat(reduce_max(top));
  Vec sum = splat(0.0f);
  for (uint32_t b = 0; b < blocks; ++b) {
    const Vec e = exp_vec(load(in + b * in_pitch) - largest);
    sum = sum + select(b + 1 == blocks ? some : all, e, splat(0.0f));
    if (!call.log) store(out + b * out_pitch, e);
  }
  const float total = reduce_sum(sum);
  const Vec divisor = splat(total), log_total = splat(log_f32(total));
  for (uint32_t b = 0; b < blocks; ++b) {
    float* o = out + b * out_pitch;
    store(o, call.log ? (load(in + b * in_pitch) - largest) - log_total : load(o) / divisor);
  }
}

void softmax(const SoftmaxCall& call) {
  for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
    const float* in = call.in.pixel(y, 0, 0);
    float* out = call.out.pixel(y, 0, 0);
    for (uint32_t x = 0; x < call.in.shape.width; ++x) {
      softmax_pixel(call, in + size_t{x} * kLanes, out + size_t{x} * kLanes);
    }
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
