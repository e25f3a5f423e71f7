#pragma once
// Sixteen floats, one channel block of a pixel. The rows kernels are written once over this
// interface, which vec_avx512.h, vec_avx2.h and vec_generic.h each define in a namespace of their
// own (CARREL_ROWS_ISA), so that no instruction of a higher ISA can be linked into a lower one.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#define CARREL_ROWS_ISA rows_avx512

namespace carrel::rows_avx512 {

struct Vec {
  __m512 v;
};
struct LaneMask {
  __mmask16 m;
};

// No alignment needed.
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v.v); }
inline Vec splat(float x) { return {_mm512_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
// a * b + c, rounded once on AVX levels, twice on the generic one.
inline Vec multiply_add(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// a > b ? a : b and a < b ? a : b: where a is NaN or the operands are equal, b.
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
// x < 0 ? when_negative : otherwise.
inline Vec negative_or(Vec x, Vec when_negative, Vec otherwise) {
  const __mmask16 negative = _mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_LT_OQ);
  return {_mm512_mask_blend_ps(negative, otherwise.v, when_negative.v)};
}

// Lanes [begin, end), end <= 16.
inline LaneMask lanes(uint32_t begin, uint32_t end) {
  return {static_cast<__mmask16>(((1u << end) - 1u) & ~((1u << begin) - 1u))};
}
inline Vec select(LaneMask m, Vec inside, Vec outside) {
  return {_mm512_mask_blend_ps(m.m, outside.v, inside.v)};
}
// The first n <= 16 floats at p, the rest zero; touches no other.
inline Vec load_first(const float* p, uint32_t n) {
  return {_mm512_maskz_loadu_ps(lanes(0, n).m, p)};
}
inline void store_first(float* p, uint32_t n, Vec v) {
  _mm512_mask_storeu_ps(p, lanes(0, n).m, v.v);
}
// Lanes [shift, shift + 16) of low and high in a row; shift <= 16.
inline Vec join(Vec low, Vec high, uint32_t shift) {
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i index = _mm512_add_epi32(first, _mm512_set1_epi32(static_cast<int>(shift)));
  // Index 16 and more takes from `high`; 32 (shift 16, lane 16 and up) cannot occur.
  return {_mm512_permutex2var_ps(low.v, index, high.v)};
}

// Hides from the compiler where a value or pointer came from: it neither loads the value again for
// every use nor takes the address apart into one register per offset.
inline void keep(Vec& v) { asm("" : "+v"(v.v)); }
inline void keep(const float*& p) { asm("" : "+r"(p)); }

// Swaps rows and columns.
inline void transpose(Vec (&r)[16]) {
  __m512 t[16];
  for (int g = 0; g < 16; g += 4) {
    const __m512 a = _mm512_unpacklo_ps(r[g].v, r[g + 1].v);
    const __m512 b = _mm512_unpackhi_ps(r[g].v, r[g + 1].v);
    const __m512 c = _mm512_unpacklo_ps(r[g + 2].v, r[g + 3].v);
    const __m512 d = _mm512_unpackhi_ps(r[g + 2].v, r[g + 3].v);
    t[g] = _mm512_shuffle_ps(a, c, 0x44);
    t[g + 1] = _mm512_shuffle_ps(a, c, 0xee);
    t[g + 2] = _mm512_shuffle_ps(b, d, 0x44);
    t[g + 3] = _mm512_shuffle_ps(b, d, 0xee);
  }
  // Quarter q of t[g + j] is column 4 q + j of rows g..g+3.
  for (int j = 0; j < 4; ++j) {
    const __m512 even0 = _mm512_shuffle_f32x4(t[j], t[j + 4], 0x88);
    const __m512 even1 = _mm512_shuffle_f32x4(t[j + 8], t[j + 12], 0x88);
    const __m512 odd0 = _mm512_shuffle_f32x4(t[j], t[j + 4], 0xdd);
    const __m512 odd1 = _mm512_shuffle_f32x4(t[j + 8], t[j + 12], 0xdd);
    r[j].v = _mm512_shuffle_f32x4(even0, even1, 0x88);
    r[j + 4].v = _mm512_shuffle_f32x4(odd0, odd1, 0x88);
    r[j + 8].v = _mm512_shuffle_f32x4(even0, even1, 0xdd);
    r[j + 12].v = _mm512_shuffle_f32x4(odd0, odd1, 0xdd);
  }
}

// Eight halves to floats, exactly, whatever MXCSR says about denormals.
inline void expand_eight(const void* halves, float* floats) {
  _mm256_storeu_ps(floats, _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(halves))));
}

// Sixteen bytes as floats.
inline Vec load_bytes(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
}
// The same less a zero point. A byte below the bits of 2^23 is 2^23 + byte.
inline Vec load_levels(const uint8_t* p, Vec zero) {
  const __m512i four = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i bits =
      _mm512_mask_shuffle_epi8(_mm512_set1_epi32(0x4b000000), 0x1111111111111111u, four, lanes);
  return {_mm512_sub_ps(_mm512_castsi512_ps(bits), _mm512_add_ps(zero.v, _mm512_set1_ps(0x1p23f)))};
}
// Rounded half to even, plus `zero`; the results are bytes.
inline void store_rounded(uint8_t* p, Vec x, int32_t zero) {
  const __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(x.v), _mm512_set1_epi32(zero));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(whole));
}
// Of four neighbouring pixels, clamped to [low, high]. |x| < 2^30.
inline void store_rounded(uint8_t* p, const Vec (&x)[4], int32_t zero, uint8_t low, uint8_t high) {
  const auto words = [&](int i) {
    const __m512i pair =
        _mm512_packs_epi32(_mm512_cvtps_epi32(x[i].v), _mm512_cvtps_epi32(x[i + 1].v));
    return _mm512_adds_epi16(pair, _mm512_set1_epi16(static_cast<int16_t>(zero)));
  };
  __m512i bytes = _mm512_packus_epi16(words(0), words(2));
  bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8(static_cast<char>(low)));
  bytes = _mm512_min_epu8(bytes, _mm512_set1_epi8(static_cast<char>(high)));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, bytes));
}

// Pixels of one block whose sums stay in registers, with the taps of a row beside them.
inline constexpr int kTilePixels = 7;

}  // namespace carrel::rows_avx512
