#pragma once
// Sixteen floats in four 128-bit vectors of the compiler: what every 64-bit machine has. See
// vec_avx512.h for the meaning of each function.
#include <cstddef>
#include <cstdint>

#define CARREL_ROWS_ISA rows_generic

namespace carrel::rows_generic {

typedef float Float4 __attribute__((vector_size(16)));

struct Vec {
  Float4 part[4];
};
struct LaneMask {
  uint32_t begin, end;
};

#define CARREL_EACH_PART for (int i = 0; i < 4; ++i)

inline Vec load(const float* p) {
  Vec r;
  __builtin_memcpy(&r, p, sizeof(r));
  return r;
}
inline void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof(v)); }
inline Vec splat(float x) {
  Vec r;
  CARREL_EACH_PART r.part[i] = Float4{x, x, x, x};
  return r;
}
inline Vec operator+(Vec a, Vec b) {
  CARREL_EACH_PART a.part[i] += b.part[i];
  return a;
}
inline Vec operator-(Vec a, Vec b) {
  CARREL_EACH_PART a.part[i] -= b.part[i];
  return a;
}
inline Vec operator*(Vec a, Vec b) {
  CARREL_EACH_PART a.part[i] *= b.part[i];
  return a;
}
inline Vec operator/(Vec a, Vec b) {
  CARREL_EACH_PART a.part[i] /= b.part[i];
  return a;
}
inline Vec multiply_add(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec max(Vec a, Vec b) {
  CARREL_EACH_PART a.part[i] = a.part[i] > b.part[i] ? a.part[i] : b.part[i];
  return a;
}
inline Vec min(Vec a, Vec b) {
  CARREL_EACH_PART a.part[i] = a.part[i] < b.part[i] ? a.part[i] : b.part[i];
  return a;
}
inline Vec negative_or(Vec x, Vec when_negative, Vec otherwise) {
  CARREL_EACH_PART x.part[i] = x.part[i] < Float4{} ? when_negative.part[i] : otherwise.part[i];
  return x;
}

inline LaneMask lanes(uint32_t begin, uint32_t end) { return {begin, end}; }
inline Vec select(LaneMask m, Vec inside, Vec outside) {
  alignas(64) float a[16], b[16];
  store(a, inside);
  store(b, outside);
  for (uint32_t i = m.begin; i < m.end; ++i) b[i] = a[i];
  return load(b);
}
inline Vec load_first(const float* p, uint32_t n) {
  alignas(64) float a[16] = {};
  for (uint32_t i = 0; i < n; ++i) a[i] = p[i];
  return load(a);
}
inline void store_first(float* p, uint32_t n, Vec v) {
  alignas(64) float a[16];
  store(a, v);
  for (uint32_t i = 0; i < n; ++i) p[i] = a[i];
}
inline Vec join(Vec low, Vec high, uint32_t shift) {
  alignas(64) float a[32];
  store(a, low);
  store(a + 16, high);
  return load(a + shift);
}
inline void keep(Vec&) {}
inline void keep(const float*& p) { asm("" : "+r"(p)); }
inline void transpose(Vec (&r)[16]) {
  alignas(64) float a[16][16], b[16][16];
  for (int i = 0; i < 16; ++i) store(a[i], r[i]);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) b[i][j] = a[j][i];
  }
  for (int i = 0; i < 16; ++i) r[i] = load(b[i]);
}

// Eight halves to floats. Denormal halves are normal floats; their conversion goes through
// integers, as a CPU that treats denormals as zero would lose them in a multiplication.
inline void expand_eight(const void* halves, float* floats) {
  uint16_t h[8];
  __builtin_memcpy(h, halves, sizeof(h));
  for (int i = 0; i < 8; ++i) {
    const uint32_t sign = uint32_t{h[i]} << 16 & 0x80000000u;
    const uint32_t exponent = h[i] >> 10 & 31u, mantissa = h[i] & 1023u;
    const float small = static_cast<float>(static_cast<int32_t>(mantissa)) * 5.9604644775390625e-8f;
    uint32_t denormal;
    __builtin_memcpy(&denormal, &small, sizeof(denormal));
    // Without comparisons, which a compiler may turn into branches on weights: 1 where exponent is 31; all ones where
    // it is 0.
    const uint32_t special = (exponent + 1) >> 5, is_denormal = 0u - ((exponent - 1) >> 31);
    const uint32_t normal = (exponent + 112u + 112u * special) << 23 | mantissa << 13;
    const uint32_t bits = sign | (denormal & is_denormal) | (normal & ~is_denormal);
    __builtin_memcpy(floats + i, &bits, sizeof(bits));
  }
}

#undef CARREL_EACH_PART

inline Vec load_bytes(const uint8_t* p) {
  Vec r;
  for (int i = 0; i < 16; ++i) r.part[i / 4][i % 4] = static_cast<float>(p[i]);
  return r;
}
inline Vec load_levels(const uint8_t* p, Vec zero) { return load_bytes(p) - zero; }
// |x| is below 2^22, where adding 1.5 * 2^23 rounds half to even.
inline void store_rounded(uint8_t* p, Vec x, int32_t zero) {
  constexpr float kShift = 12582912.0f;
  for (int i = 0; i < 16; ++i) {
    const float whole = (x.part[i / 4][i % 4] + kShift) - kShift;
    p[i] = static_cast<uint8_t>(static_cast<int32_t>(whole) + zero);
  }
}
inline void store_rounded(uint8_t* p, const Vec (&x)[4], int32_t zero, uint8_t low, uint8_t high) {
  const Vec least = splat(static_cast<float>(low - zero)), most = splat(static_cast<float>(high - zero));
  for (int i = 0; i < 4; ++i) store_rounded(p + i * 16, min(max(x[i], least), most), zero);
}

// Pixels of one block whose sums stay in registers: 16 registers of 128 bits on x86-64, 32 on
// aarch64.
#if defined(__aarch64__)
inline constexpr int kTilePixels = 4;
#else
inline constexpr int kTilePixels = 2;
#endif

}  // namespace carrel::rows_generic
