#pragma once
// Sixteen sums of products of four bytes, one for each channel of a block. The quantized convolutions
// are written once over this interface, which each dot_<isa>.h defines in a namespace of its own.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#define CARREL_ROWS_ISA rows_avx512vnni

namespace carrel::rows_avx512vnni {

struct Sums {
  __m512i v;
};
struct Weights {  // four signed bytes for each channel
  __m512i v;
};
struct Splat {  // four bytes, the same for every channel
  __m512i v;
};
struct Columns {  // four bytes for each channel
  __m512i v;
};

inline Sums load_sums(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store_sums(int32_t* p, Sums s) { _mm512_storeu_si512(p, s.v); }
inline Sums operator+(Sums a, Sums b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Sums no_sums() { return {_mm512_setzero_si512()}; }
// 64 bytes: [channel][4].
inline Weights load_weights(const std::byte* p) { return {_mm512_loadu_si512(p)}; }
inline Splat splat(const uint8_t* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, sizeof(quad));
  return {_mm512_set1_epi32(quad)};
}
inline Sums dot(Sums s, Splat x, Weights w) { return {_mm512_dpbusd_epi32(s.v, x.v, w.v)}; }
inline Sums dot(Sums s, Columns x, Weights w) { return {_mm512_dpbusd_epi32(s.v, x.v, w.v)}; }

// Entry 4 i + j is 4 j + i.
inline __m512i transposed_index() {
  return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}
// kCount pixels of 16 bytes, `step` bytes apart; zero instead of those that are missing. Touches no other byte.
template <int kCount, bool kDense>
inline Columns columns(const uint8_t* p, size_t step) {
  __m512i pixels;
  if (kDense) {
    pixels = _mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << (4 * kCount)) - 1u), p);
  } else {
    const auto load = [&](size_t i) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i * step));
    };
    pixels = _mm512_zextsi128_si512(load(0));
    if (kCount > 1) pixels = _mm512_inserti32x4(pixels, load(1), 1);
    if (kCount > 2) pixels = _mm512_inserti32x4(pixels, load(2), 2);
    if (kCount > 3) pixels = _mm512_inserti32x4(pixels, load(3), 3);
  }
  const __m512i lanes = _mm512_permutexvar_epi32(transposed_index(), pixels);
  const __m512i bytes = _mm512_broadcast_i32x4(
      _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return {_mm512_shuffle_epi8(lanes, bytes)};
}

// What turns sums into bytes.
struct Requantize {
  const float* multipliers;  // of the 16 channels
  int32_t zero;
  uint8_t low, high;
};
// kCount <= 4 neighbouring pixels.
template <int kCount>
inline void store_bytes(uint8_t* to, const Sums* sums, const Requantize& r) {
  const __m512 multiplier = _mm512_loadu_ps(r.multipliers);
  __m512i whole[4];
  CARREL_UNROLL
  for (int i = 0; i < 4; ++i) {
    const __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[i < kCount ? i : 0].v), multiplier);
    whole[i] = _mm512_cvtps_epi32(x);
  }
  __m512i first = _mm512_packs_epi32(whole[0], whole[1]);
  __m512i second = _mm512_packs_epi32(whole[2], whole[3]);
  if (r.zero != 0) {
    const __m512i zero = _mm512_set1_epi16(static_cast<int16_t>(r.zero));
    first = _mm512_adds_epi16(first, zero);
    second = _mm512_adds_epi16(second, zero);
  }
  __m512i bytes = _mm512_packus_epi16(first, second);
  if (r.low > 0) bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8(static_cast<char>(r.low)));
  if (r.high < 255) bytes = _mm512_min_epu8(bytes, _mm512_set1_epi8(static_cast<char>(r.high)));
  bytes = _mm512_permutexvar_epi32(transposed_index(), bytes);
  if (kCount == 4) return _mm512_storeu_si512(to, bytes);
  _mm512_mask_storeu_epi32(to, static_cast<__mmask16>((1u << (4 * kCount)) - 1u), bytes);
}

// The compiler neither moves arithmetic across nor keeps the sums in memory because of it.
inline void keep(Sums& s) { asm volatile("" : "+v"(s.v)); }

}  // namespace carrel::rows_avx512vnni
