#pragma once
// Loops over the coefficients of polynomials modulo q = 2^32 or 2^52: what lies between transforms, noise and numbers.
// A residue modulo q or p is read as the integer nearest to 0 that it stands for. Time and addresses independent of: the values.
#include <cstdint>

#include "base/cpu.h"

namespace carrel::he {

// q = 2^52: x = high 2^26 + low with low in [-2^25, 2^25), so that products with small polynomials fit into one prime.
inline constexpr int kLowBits = 26;

struct CoefficientKernels {
  const char* name;
  // out[i] = x[i] modulo p. Requires q / 2 < p.
  void (*lift32)(const uint32_t* x, uint64_t* out, uint32_t count, uint64_t p);
  void (*lift52)(const uint64_t* x, uint64_t* low, uint64_t* high, uint32_t count, uint64_t p);
  // x[i] = x[i] + sign r[i] modulo q, r[i] < p. sign: 1 or -1.
  void (*add32)(uint32_t* x, const uint64_t* r, int sign, uint32_t count, uint64_t p);
  void (*add52)(uint64_t* x, const uint64_t* low, const uint64_t* high, int sign, uint32_t count, uint64_t p);
  // x[i] = x[i] + coins of words[i] - coins of words[count + i]: noise (sampler.h).
  void (*add_noise32)(uint32_t* x, const uint32_t* words, uint32_t count);
  void (*add_noise52)(uint64_t* x, const uint32_t* words, uint32_t count);
  // out[i] = x[i] scale.
  void (*decode32)(const uint32_t* x, float scale, float* out, uint32_t count);
  void (*decode52)(const uint64_t* x, float scale, float* out, uint32_t count);
  // out[i] = round(x[i] scale), at most `most` in magnitude; NaN becomes 0. most < 2^31, 2^51.
  void (*encode32)(const float* x, float scale, float most, uint32_t* out, uint32_t count);
  void (*encode52)(const float* x, float scale, float most, uint64_t* out, uint32_t count);
};
const CoefficientKernels& coefficient_kernels(CpuMask cpu);

// Ones among the low kNoiseCoins bits of a word.
inline constexpr int kNoiseCoins = 21;
constexpr uint32_t count_coins(uint32_t word) {
  uint32_t x = word & ((uint32_t{1} << kNoiseCoins) - 1);
  x -= (x >> 1) & 0x55555555;
  x = (x & 0x33333333) + ((x >> 2) & 0x33333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f;
  x += x >> 8;
  return (x + (x >> 16)) & 0x3f;
}

}  // namespace carrel::he
