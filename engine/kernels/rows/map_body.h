#pragma once
// Unary, affine, PRelu and binary operators on maps. Include after vec_<isa>.h.
#include "engine/kernels/rows/elementwise_body.h"

namespace carrel::CARREL_ROWS_ISA {

inline void affine_row(const float* in, float* out, uint32_t width, const float* vectors) {
  const Vec scale = load(vectors), shift = load(vectors + kLanes);
  for (size_t i = 0; i < size_t{width} * kLanes; i += kLanes) {
    store(out + i, multiply_add(load(in + i), scale, shift));
  }
}

inline void prelu_row(const float* in, float* out, uint32_t width, const float* vectors) {
  const Vec slope = load(vectors);
  for (size_t i = 0; i < size_t{width} * kLanes; i += kLanes) {
    const Vec x = load(in + i);
    store(out + i, negative_or(x, x * slope, x));
  }
}

void unary(const UnaryCall& call) {
  const uint32_t width = call.in.shape.width;
  const size_t count = size_t{width} * kLanes;
  const size_t block_vectors = call.prelu ? kLanes : 2 * kLanes;
  for (uint32_t b = 0; b < call.block_count; ++b) {
    const float* vectors = call.vectors + b * (call.vectors ? block_vectors : 0);
    for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
      const float* in = call.in.pixel(y, 0, call.block_begin + b);
      float* out = call.out.pixel(y, 0, call.block_begin + b);
      if (!call.vectors) {
        apply_unary(call.fn, in, out, count);
        continue;
      }
      (call.prelu ? prelu_row : affine_row)(in, out, width, vectors);
      apply_unary(call.fn, out, out, count);
    }
  }
}

// One row of one block; b advances by b_step floats per pixel, 0 if it is broadcast.
using BinaryLoop = void (*)(const float* a, const float* b, size_t b_step, float* out,
                            uint32_t width);

template <BinaryFn kFn>
inline Vec apply_binary(Vec a, Vec b) {
  if constexpr (kFn == BinaryFn::kAdd) return a + b;
  if constexpr (kFn == BinaryFn::kSub) return a - b;
  if constexpr (kFn == BinaryFn::kMul) return a * b;
  if constexpr (kFn == BinaryFn::kDiv) return a / b;
  if constexpr (kFn == BinaryFn::kMax) return max(a, b);
  if constexpr (kFn == BinaryFn::kMin) return min(a, b);
  if constexpr (kFn == BinaryFn::kPow) {
    alignas(64) float x[kLanes], y[kLanes];
    store(x, a);
    store(y, b);
    CARREL_SAME_INDEX
    for (uint32_t i = 0; i < kLanes; ++i) x[i] = pow_f32(x[i], y[i]);
    return load(x);
  }
}

template <BinaryFn kFn, bool kSwap>
void binary_loop(const float* a, const float* b, size_t b_step, float* out, uint32_t width) {
  for (uint32_t x = 0; x < width; ++x, a += kLanes, b += b_step, out += kLanes) {
    const Vec left = load(a), right = load(b);
    store(out, kSwap ? apply_binary<kFn>(right, left) : apply_binary<kFn>(left, right));
  }
}

template <bool kSwap, size_t... kIndex>
inline BinaryLoop pick_binary(BinaryFn fn, std::index_sequence<kIndex...>) {
  static constexpr BinaryLoop kLoops[] = {binary_loop<static_cast<BinaryFn>(kIndex), kSwap>...};
  return kLoops[static_cast<size_t>(fn)];
}

void binary(const BinaryCall& call) {
  constexpr auto kAll = std::make_index_sequence<static_cast<size_t>(BinaryFn::kPow) + 1>();
  const BinaryLoop run =
      call.swap ? pick_binary<true>(call.fn, kAll) : pick_binary<false>(call.fn, kAll);
  const MapShape& a = call.a.shape;
  const bool broadcast = call.b.shape.width != a.width || call.b.shape.height != a.height;
  for (uint32_t b = call.block_begin; b < call.block_begin + call.block_count; ++b) {
    for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
      float* out = call.out.pixel(y, 0, b);
      run(call.a.pixel(y, 0, b), call.b.pixel(broadcast ? 0 : y, 0, b), broadcast ? 0 : kLanes, out,
          a.width);
      apply_unary(call.activation, out, out, size_t{a.width} * kLanes);
    }
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
