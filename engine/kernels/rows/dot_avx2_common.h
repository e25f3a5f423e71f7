#pragma once
// What AVX2 with and without VNNI have in common. Include after the macro CARREL_ROWS_ISA is set; see
// dot_avx512vnni.h for the meaning of each function.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace carrel::CARREL_ROWS_ISA {

struct Sums {
  __m256i a, b;
};
inline __m256i load_half(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
inline Sums load_sums(const int32_t* p) { return {load_half(p), load_half(p + 8)}; }
inline void store_sums(int32_t* p, Sums s) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), s.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), s.b);
}
inline Sums operator+(Sums x, Sums y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
inline Sums no_sums() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }

// Channels 0 to 7 and 8 to 15, the bytes of kCount pixels together.
struct Quads {
  __m256i a, b;
};
template <int kCount>
inline Quads gather(const uint8_t* p, size_t step) {
  const auto load = [&](int i) {
    return i < kCount ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + static_cast<size_t>(i) * step))
                      : _mm_setzero_si128();
  };
  const __m128i p0 = load(0), p1 = load(1), p2 = load(2), p3 = load(3);
  const __m128i low01 = _mm_unpacklo_epi8(p0, p1), high01 = _mm_unpackhi_epi8(p0, p1);
  const __m128i low23 = _mm_unpacklo_epi8(p2, p3), high23 = _mm_unpackhi_epi8(p2, p3);
  return {_mm256_set_m128i(_mm_unpackhi_epi16(low01, low23), _mm_unpacklo_epi16(low01, low23)),
          _mm256_set_m128i(_mm_unpackhi_epi16(high01, high23), _mm_unpacklo_epi16(high01, high23))};
}

struct Requantize {
  const float* multipliers;
  int32_t zero;
  uint8_t low, high;
};
inline __m256i requantized(__m256i sums, const float* multipliers) {
  const __m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(multipliers));
  return _mm256_cvtps_epi32(_mm256_min_ps(x, _mm256_set1_ps(65536.0f)));
}
template <int kCount>
inline void store_bytes(uint8_t* to, const Sums* sums, const Requantize& r) {
  for (int i = 0; i < kCount; ++i) {
    const __m256i a = requantized(sums[i].a, r.multipliers);
    const __m256i b = requantized(sums[i].b, r.multipliers + 8);
    // Quarters a0 b0 a1 b1, each of four channels, into order.
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    const __m256i moved = _mm256_adds_epi16(words, _mm256_set1_epi16(static_cast<int16_t>(r.zero)));
    __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(moved, 1));
    bytes = _mm_max_epu8(bytes, _mm_set1_epi8(static_cast<char>(r.low)));
    bytes = _mm_min_epu8(bytes, _mm_set1_epi8(static_cast<char>(r.high)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i * 16), bytes);
  }
}

inline void keep(Sums& s) { asm volatile("" : "+x"(s.a), "+x"(s.b)); }

}  // namespace carrel::CARREL_ROWS_ISA
