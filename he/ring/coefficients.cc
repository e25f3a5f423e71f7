#include "he/ring/coefficients_kernels.h"

namespace carrel::he {
namespace {

#define CARREL_COEFFICIENT_TABLE(isa)                                                                                      \
  {#isa, isa::lift32, isa::lift52, isa::add32, isa::add52, isa::add_noise32, isa::add_noise52, isa::decode32, isa::decode52, \
   isa::encode32, isa::encode52}
constexpr CoefficientKernels kGeneric = CARREL_COEFFICIENT_TABLE(coefficients_generic);
#if defined(__x86_64__)
constexpr CoefficientKernels kAvx2 = CARREL_COEFFICIENT_TABLE(coefficients_avx2);
constexpr CoefficientKernels kAvx512 = CARREL_COEFFICIENT_TABLE(coefficients_avx512);
#endif

}  // namespace

const CoefficientKernels& coefficient_kernels(CpuMask cpu) {
#if defined(__x86_64__)
  if (isa_level(cpu) == IsaLevel::kAvx512) return kAvx512;
  if (isa_level(cpu) == IsaLevel::kAvx2) return kAvx2;
#endif
  (void)cpu;
  return kGeneric;
}

}  // namespace carrel::he
