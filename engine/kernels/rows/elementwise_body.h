#pragma once
// Functions of each element. Include after vec_<isa>.h.
#include <limits>
#include <utility>

#include "base/vector_math.h"
#include "engine/kernels/rows/row_kernels.h"

namespace carrel::CARREL_ROWS_ISA {

// Activations that are a clamp are fused into the kernel that makes the value; all others run over
// a row of it while that is still in L1.
struct Clamp {
  float low, high;
  bool all;  // the clamp is the whole activation
};
inline Clamp clamp_of(const Unary& fn) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (fn.fn == UnaryFn::kRelu) return {0.0f, kInfinity, true};
  if (fn.fn == UnaryFn::kClip) return {fn.a, fn.b, true};
  return {-kInfinity, kInfinity, fn.fn == UnaryFn::kNone};
}
// NaN stays NaN.
inline Vec clamped(Vec low, Vec high, Vec x) { return min(high, max(low, x)); }

using UnaryLoop = void (*)(const float* in, float* out, size_t count, float a, float b);

template <UnaryFn kFn>
void unary_loop(const float* in, float* out, size_t count, float a, float b) {
  CARREL_SAME_INDEX
  for (size_t i = 0; i < count; ++i) out[i] = unary_f32(kFn, in[i], a, b);
}

template <size_t... kIndex>
inline void call_unary_loop(UnaryFn fn, std::index_sequence<kIndex...>, const float* in, float* out,
                            size_t count, float a, float b) {
  static constexpr UnaryLoop kLoops[] = {unary_loop<static_cast<UnaryFn>(kIndex)>...};
  kLoops[static_cast<size_t>(fn)](in, out, count, a, b);
}

// out may be in.
inline void apply_unary(const Unary& fn, const float* in, float* out, size_t count) {
  if (fn.fn == UnaryFn::kNone && in == out) return;
  constexpr size_t kCount = static_cast<size_t>(UnaryFn::kCount);
  call_unary_loop(fn.fn, std::make_index_sequence<kCount>(), in, out, count, fn.a, fn.b);
}

}  // namespace carrel::CARREL_ROWS_ISA
