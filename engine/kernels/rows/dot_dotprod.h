#pragma once
// See dot_avx512vnni.h. Armv8.2's dot product of signed bytes: it takes activations less 128, so a dot product
// comes out 128 times its weights too small; add_shortfall() makes up for it once for all pixels.
#define CARREL_ROWS_ISA rows_dotprod

#include "engine/kernels/rows/dot_neon.h"

namespace carrel::rows_dotprod {

struct Splat {  // less 128
  int8x8_t v;
};
struct Columns {  // less 128
  int8x16_t part[4];
};

inline Splat splat(const uint8_t* p) { return {vreinterpret_s8_u8(veor_u8(load_quad(p), vdup_n_u8(128)))}; }
inline Sums dot(Sums s, const Splat& x, const Weights& w) {
  CARREL_UNROLL
  for (int q = 0; q < 4; ++q) s.part[q] = vdotq_lane_s32(s.part[q], w.part[q], x.v, 0);
  return s;
}
inline Sums dot(Sums s, const Columns& x, const Weights& w) {
  CARREL_UNROLL
  for (int q = 0; q < 4; ++q) s.part[q] = vdotq_s32(s.part[q], w.part[q], x.part[q]);
  return s;
}
// What one dot() with these weights lacks.
inline Sums add_shortfall(Sums s, const Weights& w) {
  const int8x16_t half = vdupq_n_s8(64);
  CARREL_UNROLL
  for (int q = 0; q < 4; ++q) s.part[q] = vdotq_s32(vdotq_s32(s.part[q], w.part[q], half), w.part[q], half);
  return s;
}
template <int kCount, bool kDense>
inline Columns columns(const uint8_t* p, size_t step) {
  const uint8x16x4_t bytes = gather<kCount>(p, kDense ? 16 : step);
  Columns c;
  CARREL_UNROLL
  for (int q = 0; q < 4; ++q) c.part[q] = vreinterpretq_s8_u8(veorq_u8(bytes.val[q], vdupq_n_u8(128)));
  return c;
}

}  // namespace carrel::rows_dotprod
