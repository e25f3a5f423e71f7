#include "engine/kernels/rows/row_kernels.h"

namespace carrel {
namespace {

#define CARREL_ROW_KERNEL(name, ...) .name = rows_generic::name,
constexpr RowKernels kGeneric = {
    .level = IsaLevel::kGeneric,
#include "engine/kernels/rows/row_kernels.inc"
#include "engine/kernels/rows/quant_kernels.inc"
};
#undef CARREL_ROW_KERNEL

// Another instruction set's dot products of bytes.
[[maybe_unused]] constexpr RowKernels with_dots(RowKernels kernels,
                                                decltype(RowKernels::quant_conv) conv,
                                                decltype(RowKernels::quant_depthwise) depthwise) {
  kernels.quant_conv = conv;
  kernels.quant_depthwise = depthwise;
  return kernels;
}

#if defined(__x86_64__)
#define CARREL_ROW_KERNEL(name, ...) .name = rows_avx2::name,
constexpr RowKernels kAvx2 = {
    .level = IsaLevel::kAvx2,
#include "engine/kernels/rows/row_kernels.inc"
#include "engine/kernels/rows/quant_kernels.inc"
};
#undef CARREL_ROW_KERNEL
#define CARREL_ROW_KERNEL(name, ...) .name = rows_avx512::name,
constexpr RowKernels kAvx512 = {
    .level = IsaLevel::kAvx512,
#include "engine/kernels/rows/row_kernels.inc"
#include "engine/kernels/rows/quant_kernels.inc"
};
#undef CARREL_ROW_KERNEL

constexpr RowKernels kAvx2Vnni =
    with_dots(kAvx2, rows_avxvnni::quant_conv, rows_avxvnni::quant_depthwise);
constexpr RowKernels kAvx512Vnni =
    with_dots(kAvx512, rows_avx512vnni::quant_conv, rows_avx512vnni::quant_depthwise);
#elif defined(__aarch64__)
constexpr RowKernels kDotProd =
    with_dots(kGeneric, rows_dotprod::quant_conv, rows_dotprod::quant_depthwise);
constexpr RowKernels kI8mm = with_dots(kGeneric, rows_i8mm::quant_conv, rows_i8mm::quant_depthwise);
#endif

}  // namespace

const RowKernels& row_kernels(CpuMask mask) {
#if defined(__x86_64__)
  switch (isa_level(mask)) {
    case IsaLevel::kAvx512:
      return mask & kCpuVnni ? kAvx512Vnni : kAvx512;
    case IsaLevel::kAvx2:
      return mask & kCpuAvxVnni ? kAvx2Vnni : kAvx2;
    case IsaLevel::kGeneric:
      break;
  }
#elif defined(__aarch64__)
  if (mask & kCpuI8mm) return kI8mm;
  if (mask & kCpuDotProd) return kDotProd;
#else
  (void)mask;
#endif
  return kGeneric;
}

}  // namespace carrel
