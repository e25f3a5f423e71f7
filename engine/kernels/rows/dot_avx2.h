#pragma once
// See dot_avx512vnni.h. Without VNNI: bytes widened to 16 bits, so that no sum of two products saturates.
#define CARREL_ROWS_ISA rows_avx2

#include "engine/kernels/rows/dot_avx2_common.h"

namespace carrel::rows_avx2 {

struct Weights {
  __m256i even_a, odd_a, even_b, odd_b;
};
struct Splat {
  __m256i even, odd;
};
struct Columns {
  __m256i even_a, odd_a, even_b, odd_b;
};

inline __m256i even_signed(__m256i v) { return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8); }
inline __m256i odd_signed(__m256i v) { return _mm256_srai_epi16(v, 8); }
inline __m256i even_bytes(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi16(0xff)); }
inline __m256i odd_bytes(__m256i v) { return _mm256_srli_epi16(v, 8); }

inline Weights load_weights(const std::byte* p) {
  const __m256i a = load_half(p), b = load_half(p + 32);
  return {even_signed(a), odd_signed(a), even_signed(b), odd_signed(b)};
}
inline Splat splat(const uint8_t* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, sizeof(quad));
  const __m256i v = _mm256_set1_epi32(quad);
  return {even_bytes(v), odd_bytes(v)};
}
inline __m256i add_products(__m256i s, __m256i x_even, __m256i x_odd, __m256i w_even, __m256i w_odd) {
  s = _mm256_add_epi32(s, _mm256_madd_epi16(x_even, w_even));
  return _mm256_add_epi32(s, _mm256_madd_epi16(x_odd, w_odd));
}
inline Sums dot(Sums s, const Splat& x, const Weights& w) {
  return {add_products(s.a, x.even, x.odd, w.even_a, w.odd_a),
          add_products(s.b, x.even, x.odd, w.even_b, w.odd_b)};
}
inline Sums dot(Sums s, const Columns& x, const Weights& w) {
  return {add_products(s.a, x.even_a, x.odd_a, w.even_a, w.odd_a),
          add_products(s.b, x.even_b, x.odd_b, w.even_b, w.odd_b)};
}
template <int kCount, bool kDense>
inline Columns columns(const uint8_t* p, size_t step) {
  const Quads q = gather<kCount>(p, kDense ? 16 : step);
  return {even_bytes(q.a), odd_bytes(q.a), even_bytes(q.b), odd_bytes(q.b)};
}

}  // namespace carrel::rows_avx2
