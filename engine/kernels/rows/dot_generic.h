#pragma once
// Four 128-bit vectors of the compiler. See dot_avx512vnni.h.
#include <cstddef>
#include <cstdint>

#define CARREL_ROWS_ISA rows_generic

namespace carrel::rows_generic {

typedef int32_t Int4 __attribute__((vector_size(16)));

struct Sums {
  Int4 part[4];
};
struct Weights {  // part[q][j]: byte j of channels 4 q to 4 q + 3
  Int4 part[4][4];
};
struct Splat {
  int32_t byte[4];
};
struct Columns {
  Int4 part[4][4];
};

inline Sums load_sums(const int32_t* p) {
  Sums s;
  __builtin_memcpy(&s, p, sizeof(s));
  return s;
}
inline void store_sums(int32_t* p, const Sums& s) { __builtin_memcpy(p, &s, sizeof(s)); }
inline Sums operator+(Sums a, const Sums& b) {
  for (int q = 0; q < 4; ++q) a.part[q] += b.part[q];
  return a;
}
inline Sums no_sums() { return {}; }
inline Weights load_weights(const std::byte* p) {
  Weights w;
  for (int q = 0; q < 4; ++q) {
    Int4 quads;
    __builtin_memcpy(&quads, p + q * 16, sizeof(quads));
    for (int j = 0; j < 4; ++j) w.part[q][j] = (quads << (24 - 8 * j)) >> 24;
  }
  return w;
}
inline Splat splat(const uint8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
inline Sums dot(Sums s, const Splat& x, const Weights& w) {
  for (int q = 0; q < 4; ++q) {
    for (int j = 0; j < 4; ++j) s.part[q] += w.part[q][j] * x.byte[j];
  }
  return s;
}
inline Sums dot(Sums s, const Columns& x, const Weights& w) {
  for (int q = 0; q < 4; ++q) {
    for (int j = 0; j < 4; ++j) s.part[q] += w.part[q][j] * x.part[q][j];
  }
  return s;
}
template <int kCount, bool kDense>
inline Columns columns(const uint8_t* p, size_t step) {
  Columns c = {};
  for (int j = 0; j < kCount; ++j) {
    const uint8_t* pixel = p + static_cast<size_t>(j) * (kDense ? 16 : step);
    for (int q = 0; q < 4; ++q) {
      for (int lane = 0; lane < 4; ++lane) c.part[q][j][lane] = pixel[4 * q + lane];
    }
  }
  return c;
}

struct Requantize {
  const float* multipliers;
  int32_t zero;
  uint8_t low, high;
};
typedef float Real4 __attribute__((vector_size(16)));
// In vectors throughout: a compiler may turn a scalar's comparison into a jump. Between -2^22 and 2^22, adding
// 1.5 * 2^23 rounds half to even.
inline Int4 requantized(Int4 sums, Real4 multipliers, const Requantize& r) {
  const Real4 shift = Real4{} + 12582912.0f, most = Real4{} + 65536.0f;
  Real4 x = __builtin_convertvector(sums, Real4) * multipliers;
  x = x < most ? x : most;
  x = x > -most ? x : -most;
  const Int4 low = Int4{} + r.low, high = Int4{} + r.high;
  Int4 y = __builtin_convertvector((x + shift) - shift, Int4) + r.zero;
  y = y > low ? y : low;
  return y < high ? y : high;
}
template <int kCount>
inline void store_bytes(uint8_t* to, const Sums* sums, const Requantize& r) {
  for (int i = 0; i < kCount; ++i) {
    for (int q = 0; q < 4; ++q) {
      Real4 multipliers;
      __builtin_memcpy(&multipliers, r.multipliers + q * 4, sizeof(multipliers));
      const Int4 y = requantized(sums[i].part[q], multipliers, r);
      for (int c = 0; c < 4; ++c) to[i * 16 + q * 4 + c] = static_cast<uint8_t>(y[c]);
    }
  }
}

inline void keep(Sums&) {}

}  // namespace carrel::rows_generic
