#pragma once
// Sixteen floats in two AVX2 registers. See vec_avx512.h for the meaning of each function.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#define CARREL_ROWS_ISA rows_avx2

namespace carrel::rows_avx2 {

struct Vec {
  __m256 a, b;
};
struct LaneMask {
  __m256i a, b;
};

inline Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Vec v) {
  _mm256_storeu_ps(p, v.a);
  _mm256_storeu_ps(p + 8, v.b);
}
inline Vec splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Vec operator+(Vec x, Vec y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Vec operator-(Vec x, Vec y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Vec operator*(Vec x, Vec y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Vec operator/(Vec x, Vec y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Vec multiply_add(Vec x, Vec y, Vec z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Vec max(Vec x, Vec y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Vec min(Vec x, Vec y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Vec negative_or(Vec x, Vec when_negative, Vec otherwise) {
  const __m256 zero = _mm256_setzero_ps();
  return {_mm256_blendv_ps(otherwise.a, when_negative.a, _mm256_cmp_ps(x.a, zero, _CMP_LT_OQ)),
          _mm256_blendv_ps(otherwise.b, when_negative.b, _mm256_cmp_ps(x.b, zero, _CMP_LT_OQ))};
}

inline LaneMask lanes(uint32_t begin, uint32_t end) {
  const __m256i low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i high = _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15);
  const __m256i before = _mm256_set1_epi32(static_cast<int>(begin) - 1);
  const __m256i after = _mm256_set1_epi32(static_cast<int>(end));
  return {_mm256_and_si256(_mm256_cmpgt_epi32(low, before), _mm256_cmpgt_epi32(after, low)),
          _mm256_and_si256(_mm256_cmpgt_epi32(high, before), _mm256_cmpgt_epi32(after, high))};
}
inline Vec select(LaneMask m, Vec inside, Vec outside) {
  return {_mm256_blendv_ps(outside.a, inside.a, _mm256_castsi256_ps(m.a)),
          _mm256_blendv_ps(outside.b, inside.b, _mm256_castsi256_ps(m.b))};
}
inline Vec load_first(const float* p, uint32_t n) {
  const LaneMask m = lanes(0, n);
  return {_mm256_maskload_ps(p, m.a), _mm256_maskload_ps(p + 8, m.b)};
}
inline void store_first(float* p, uint32_t n, Vec v) {
  const LaneMask m = lanes(0, n);
  _mm256_maskstore_ps(p, m.a, v.a);
  _mm256_maskstore_ps(p + 8, m.b, v.b);
}
inline Vec join(Vec low, Vec high, uint32_t shift) {
  alignas(64) float both[32];
  store(both, low);
  store(both + 16, high);
  return load(both + shift);
}

inline void keep(Vec& v) { asm("" : "+x"(v.a), "+x"(v.b)); }
inline void keep(const float*& p) { asm("" : "+r"(p)); }

inline void transpose8(__m256 (&r)[8]) {
  __m256 t[8];
  for (int g = 0; g < 8; g += 4) {
    const __m256 a = _mm256_unpacklo_ps(r[g], r[g + 1]), b = _mm256_unpackhi_ps(r[g], r[g + 1]);
    const __m256 c = _mm256_unpacklo_ps(r[g + 2], r[g + 3]),
                 d = _mm256_unpackhi_ps(r[g + 2], r[g + 3]);
    t[g] = _mm256_shuffle_ps(a, c, 0x44);
    t[g + 1] = _mm256_shuffle_ps(a, c, 0xee);
    t[g + 2] = _mm256_shuffle_ps(b, d, 0x44);
    t[g + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
  }
}
inline void transpose(Vec (&r)[16]) {
  __m256 q[4][8];  // the quadrants: rows 0-7 left and right, rows 8-15 left and right
  for (int i = 0; i < 8; ++i) {
    q[0][i] = r[i].a;
    q[1][i] = r[i].b;
    q[2][i] = r[i + 8].a;
    q[3][i] = r[i + 8].b;
  }
  for (auto& quadrant : q) transpose8(quadrant);
  for (int i = 0; i < 8; ++i) {
    r[i] = {q[0][i], q[2][i]};
    r[i + 8] = {q[1][i], q[3][i]};
  }
}

inline void expand_eight(const void* halves, float* floats) {
  _mm256_storeu_ps(floats, _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(halves))));
}

inline Vec load_bytes(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
inline Vec load_levels(const uint8_t* p, Vec zero) { return load_bytes(p) - zero; }
inline void store_rounded(uint8_t* p, Vec x, int32_t zero) {
  const __m256i shift = _mm256_set1_epi32(zero);
  const __m256i a = _mm256_add_epi32(_mm256_cvtps_epi32(x.a), shift);
  const __m256i b = _mm256_add_epi32(_mm256_cvtps_epi32(x.b), shift);
  // Quarters a0 b0 a1 b1, each of four channels, into order.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
  const __m128i bytes =
      _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
inline void store_rounded(uint8_t* p, const Vec (&x)[4], int32_t zero, uint8_t low, uint8_t high) {
  const Vec least = splat(static_cast<float>(low - zero)), most = splat(static_cast<float>(high - zero));
  for (int i = 0; i < 4; ++i) store_rounded(p + i * 16, min(max(x[i], least), most), zero);
}

// Pixels of one block whose sums stay in the 16 registers.
inline constexpr int kTilePixels = 4;

}  // namespace carrel::rows_avx2
