#pragma once
// See dot_avx512vnni.h. Armv8.6's dot product of unsigned and signed bytes.
#define CARREL_ROWS_ISA rows_i8mm

#include "engine/kernels/rows/dot_neon.h"

namespace carrel::rows_i8mm {

struct Splat {
  uint8x8_t v;
};
using Columns = uint8x16x4_t;

inline Splat splat(const uint8_t* p) { return {load_quad(p)}; }
inline Sums dot(Sums s, const Splat& x, const Weights& w) {
  CARREL_UNROLL
  for (int q = 0; q < 4; ++q) {
    s.part[q] = vsudotq_lane_s32(s.part[q], w.part[q], x.v, 0);
  }
  return s;
}
inline Sums dot(Sums s, const Columns& x, const Weights& w) {
  CARREL_UNROLL
  for (int q = 0; q < 4; ++q) s.part[q] = vusdotq_s32(s.part[q], x.val[q], w.part[q]);
  return s;
}
template <int kCount, bool kDense>
inline Columns columns(const uint8_t* p, size_t step) {
  return gather<kCount>(p, kDense ? 16 : step);
}

}  // namespace carrel::rows_i8mm
