#pragma once
#include "he/ring/coefficients.h"

#define CARREL_COEFFICIENT_KERNELS(isa)                                                                        \
  namespace carrel::he::isa {                                                                                  \
  void lift32(const uint32_t* x, uint64_t* out, uint32_t count, uint64_t p);                                   \
  void lift52(const uint64_t* x, uint64_t* low, uint64_t* high, uint32_t count, uint64_t p);                   \
  void add32(uint32_t* x, const uint64_t* r, int sign, uint32_t count, uint64_t p);                            \
  void add52(uint64_t* x, const uint64_t* low, const uint64_t* high, int sign, uint32_t count, uint64_t p);    \
  void add_noise32(uint32_t* x, const uint32_t* words, uint32_t count);                                        \
  void add_noise52(uint64_t* x, const uint32_t* words, uint32_t count);                                        \
  void decode32(const uint32_t* x, float scale, float* out, uint32_t count);                                   \
  void decode52(const uint64_t* x, float scale, float* out, uint32_t count);                                   \
  void encode32(const float* x, float scale, float most, uint32_t* out, uint32_t count);                       \
  void encode52(const float* x, float scale, float most, uint64_t* out, uint32_t count);                       \
  }
CARREL_COEFFICIENT_KERNELS(coefficients_generic)
CARREL_COEFFICIENT_KERNELS(coefficients_avx2)
CARREL_COEFFICIENT_KERNELS(coefficients_avx512)
#undef CARREL_COEFFICIENT_KERNELS
