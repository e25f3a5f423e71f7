#pragma once
#include "he/ring/product.h"

#define CARREL_PRODUCT_KERNELS(isa)                                                                                    \
  namespace carrel::he::isa {                                                                                          \
  void product32(const ProductCall& call);                                                                             \
  void product52(const ProductCall& call);                                                                             \
  void pack32(const uint32_t* const* polynomials, uint32_t channels, uint32_t degree, std::byte* pixel);               \
  void pack52(const uint64_t* const* polynomials, uint32_t channels, uint32_t degree, std::byte* pixel);               \
  void depthwise32(const DepthwiseCall& call);                                                                         \
  void depthwise52(const DepthwiseCall& call);                                                                         \
  }
CARREL_PRODUCT_KERNELS(product_generic)
CARREL_PRODUCT_KERNELS(product_avx2)
CARREL_PRODUCT_KERNELS(product_avx512)
CARREL_PRODUCT_KERNELS(product_avx512vnni)
#undef CARREL_PRODUCT_KERNELS
namespace carrel::he::product_avx512ifma {
void product52(const ProductCall& call);
}
