#include "he/ring/product_kernels.h"

namespace carrel::he {
namespace {

#define CARREL_PRODUCT_TABLE(isa) \
  {#isa, isa::product32, isa::product52, isa::pack32, isa::pack52, isa::depthwise32, isa::depthwise52}
constexpr ProductKernels kGeneric = CARREL_PRODUCT_TABLE(product_generic);
#if defined(__x86_64__)
constexpr ProductKernels with_ifma(ProductKernels kernels) {
  kernels.product52 = product_avx512ifma::product52;
  return kernels;
}
constexpr ProductKernels kAvx2 = CARREL_PRODUCT_TABLE(product_avx2);
constexpr ProductKernels kAvx512 = CARREL_PRODUCT_TABLE(product_avx512);
constexpr ProductKernels kVnni = CARREL_PRODUCT_TABLE(product_avx512vnni);
constexpr ProductKernels kAvx512Ifma = with_ifma(kAvx512), kVnniIfma = with_ifma(kVnni);
#endif

}  // namespace

const ProductKernels& product_kernels(CpuMask cpu) {
#if defined(__x86_64__)
  const bool ifma = cpu & kCpuIfma;
  switch (isa_level(cpu)) {
    case IsaLevel::kAvx512:
      if (cpu & kCpuVnni) return ifma ? kVnniIfma : kVnni;
      return ifma ? kAvx512Ifma : kAvx512;
    case IsaLevel::kAvx2:
      return kAvx2;
    case IsaLevel::kGeneric:
      break;
  }
#endif
  (void)cpu;
  return kGeneric;
}

}  // namespace carrel::he
