#pragma once
// Operators across the channels of a pixel: LRN and Softmax. Include after vec_<isa>.h.
#include <limits>

#include "engine/kernels/rows/elementwise_body.h"

namespace carrel::CARREL_ROWS_ISA {

// Squares of block `block` at x, zero beyond the last channel and outside the map.
inline Vec lrn_squares(const LrnCall& call, uint32_t y, uint32_t x, uint32_t block) {
  const MapShape& shape = call.in.shape;
  if (block >= shape.blocks()) return splat(0.0f);
  const uint32_t left = shape.channels - block * kLanes;
  const Vec v = load(call.in.pixel(y, static_cast<int32_t>(x), block));
  return select(lanes(0, left < kLanes ? left : kLanes), v * v, splat(0.0f));
}

// Sums of the squares in each lane's window, in channel order. Windows reach at most `reach_*`
// channels to the sides; they are met block by block, each shifted to its place.
inline Vec lrn_sum(const LrnCall& call, uint32_t y, uint32_t x, uint32_t block) {
  const int32_t before = static_cast<int32_t>((call.size - 1) / 2);
  const int32_t after = static_cast<int32_t>(call.size / 2);
  Vec sum = splat(0.0f);
  for (int32_t d = -before; d <= after; ++d) {
    // Lane l wants channel 16 block + l + d: lanes of two neighbouring blocks.
    const int32_t first = static_cast<int32_t>(block * kLanes) + d;
    const int32_t low =
        (first + static_cast<int32_t>(kLanes * call.size)) / static_cast<int32_t>(kLanes) -
        static_cast<int32_t>(call.size);  // floor(first / 16)
    const uint32_t shift = static_cast<uint32_t>(first - low * static_cast<int32_t>(kLanes));
    // A negative block wraps to a huge one, which is outside the map.
    sum = sum + join(lrn_squares(call, y, x, static_cast<uint32_t>(low)),
                     lrn_squares(call, y, x, static_cast<uint32_t>(low + 1)), shift);
  }
  return sum;
}

void lrn(const LrnCall& call) {
  const Vec scale = splat(call.alpha / static_cast<float>(call.size)), bias = splat(call.bias);
  for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
    for (uint32_t b = 0; b < call.in.shape.blocks(); ++b) {
      const float* in = call.in.pixel(y, 0, b);
      float* out = call.out.pixel(y, 0, b);
      for (uint32_t x = 0; x < call.in.shape.width; ++x) {
        store(out + size_t{x} * kLanes, multiply_add(scale, lrn_sum(call, y, x, b), bias));
      }
      const float exponent = -call.beta;
      const size_t count = size_t{call.in.shape.width} * kLanes;
      CARREL_SAME_INDEX
      for (size_t i = 0; i < count; ++i) out[i] = in[i] * pow_f32(out[i], exponent);
    }
  }
}

inline float reduce_max(Vec v) {
  alignas(64) float x[kLanes];
  store(x, v);
  for (uint32_t n = kLanes / 2; n > 0; n /= 2) {
    for (uint32_t i = 0; i < n; ++i) x[i] = x[i] > x[i + n] ? x[i] : x[i + n];
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
