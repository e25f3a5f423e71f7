#include "engine/kernels/rows/row_kernels.h"

namespace carrel {
namespace {

#define CARREL_ROW_KERNEL(name, ...) .name = rows_generic::name,
constexpr RowKernels kGeneric = {
    .level = IsaLevel::kGeneric,
#include "engine/kernels/rows/row_kernels.inc"
};
#undef CARREL_ROW_KERNEL

#if defined(__x86_64__)
#define CARREL_ROW_KERNEL(name, ...) .name = rows_avx2::name,
constexpr RowKernels kAvx2 = {
    .level = IsaLevel::kAvx2,
#include "engine/kernels/rows/row_kernels.inc"
};
#undef CARREL_ROW_KERNEL
#define CARREL_ROW_KERNEL(name, ...) .name = rows_avx512::name,
constexpr RowKernels kAvx512 = {
    .level = IsaLevel::kAvx512,
#include "engine/kernels/rows/row_kernels.inc"
};
#undef CARREL_ROW_KERNEL
#endif

}  // namespace

const RowKernels& row_kernels(CpuMask mask) {
#if defined(__x86_64__)
  switch (isa_level(mask)) {
    case IsaLevel::kAvx512:
      return kAvx512;
    case IsaLevel::kAvx2:
      return kAvx2;
    case IsaLevel::kGeneric:
      break;
  }
#else
  (void)mask;
#endif
  return kGeneric;
}

}  // namespace carrel
