#pragma once
// Inside this room: the kernels of each ISA, declared from row_kernels.inc.
#include "engine/kernels/rows/rows.h"

// Loops over registers must disappear, or the accumulators live in memory.
#if defined(__clang__)
#define CARREL_UNROLL _Pragma("clang loop unroll(full)")
#define CARREL_SAME_INDEX _Pragma("clang loop vectorize(assume_safety)")
#else
#define CARREL_UNROLL _Pragma("GCC unroll 32")
// Iterations touch only their own index, though input and output may be the same array.
#define CARREL_SAME_INDEX _Pragma("GCC ivdep")
#endif

namespace carrel {

#define CARREL_ROW_KERNEL(name, ...) void name(__VA_ARGS__);
namespace rows_generic {
#include "engine/kernels/rows/row_kernels.inc"
#include "engine/kernels/rows/quant_kernels.inc"
}
#if defined(__x86_64__)
namespace rows_avx2 {
#include "engine/kernels/rows/row_kernels.inc"
#include "engine/kernels/rows/quant_kernels.inc"
}
namespace rows_avx512 {
#include "engine/kernels/rows/row_kernels.inc"
#include "engine/kernels/rows/quant_kernels.inc"
}
namespace rows_avxvnni {
void quant_conv(const QuantConvCall&);
void quant_depthwise(const QuantDepthwiseCall&);
}
namespace rows_avx512vnni {
void quant_conv(const QuantConvCall&);
void quant_depthwise(const QuantDepthwiseCall&);
}
#elif defined(__aarch64__)
namespace rows_dotprod {
void quant_conv(const QuantConvCall&);
void quant_depthwise(const QuantDepthwiseCall&);
}
namespace rows_i8mm {
void quant_conv(const QuantConvCall&);
void quant_depthwise(const QuantDepthwiseCall&);
}
#endif
#undef CARREL_ROW_KERNEL

}  // namespace carrel
