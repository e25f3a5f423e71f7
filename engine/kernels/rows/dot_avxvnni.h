#pragma once
// See dot_avx512vnni.h.
#define CARREL_ROWS_ISA rows_avxvnni

#include "engine/kernels/rows/dot_avx2_common.h"

namespace carrel::rows_avxvnni {

struct Weights {
  __m256i a, b;
};
struct Splat {
  __m256i v;
};
using Columns = Quads;

inline Weights load_weights(const std::byte* p) { return {load_half(p), load_half(p + 32)}; }
inline Splat splat(const uint8_t* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, sizeof(quad));
  return {_mm256_set1_epi32(quad)};
}
inline Sums dot(Sums s, Splat x, Weights w) {
  return {_mm256_dpbusd_avx_epi32(s.a, x.v, w.a), _mm256_dpbusd_avx_epi32(s.b, x.v, w.b)};
}
inline Sums dot(Sums s, Columns x, Weights w) {
  return {_mm256_dpbusd_avx_epi32(s.a, x.a, w.a), _mm256_dpbusd_avx_epi32(s.b, x.b, w.b)};
}
template <int kCount, bool kDense>
inline Columns columns(const uint8_t* p, size_t step) {
  return gather<kCount>(p, kDense ? 16 : step);
}

}  // namespace carrel::rows_avxvnni
