#pragma once
// The kernels behind NttTables: one table for each instruction set.
#include "he/ring/ntt.h"

namespace carrel::he {

struct NttKernels {
  const char* name;
  void (*forward)(const NttTables&, uint64_t*);
  void (*inverse)(const NttTables&, uint64_t*);
  void (*multiply_fixed)(uint64_t* values, const uint64_t* factors, const uint64_t* quotients, uint32_t count, uint64_t p);
  void (*multiply)(const uint64_t* a, const uint64_t* b, uint64_t* out, uint32_t count, uint64_t p);
};
const NttKernels& ntt_kernels(CpuMask cpu);

#define CARREL_NTT_KERNELS(isa)                                                                                       \
  namespace isa {                                                                                                     \
  void forward(const NttTables& tables, uint64_t* values);                                                            \
  void inverse(const NttTables& tables, uint64_t* values);                                                            \
  void multiply_fixed(uint64_t* values, const uint64_t* factors, const uint64_t* quotients, uint32_t count, uint64_t p); \
  void multiply(const uint64_t* a, const uint64_t* b, uint64_t* out, uint32_t count, uint64_t p);                     \
  }
CARREL_NTT_KERNELS(ntt_generic)
namespace ntt_generic {
// The stages with strides first_stride and less, to the end; values < 4 p.
void forward_from(const NttTables& tables, uint64_t* values, uint32_t first_stride);
// The stages with strides below end_stride, without the scale; values < 2 p, before and after.
void inverse_until(const NttTables& tables, uint64_t* values, uint32_t end_stride);
}  // namespace ntt_generic
CARREL_NTT_KERNELS(ntt_avx2)
CARREL_NTT_KERNELS(ntt_avx512ifma)
#undef CARREL_NTT_KERNELS

}  // namespace carrel::he
