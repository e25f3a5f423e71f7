// Quantized convolutions on AVX-512 without VNNI are those of AVX2: such processors are few.
#if defined(__x86_64__)
#include "engine/kernels/rows/row_kernels.h"

namespace carrel::rows_avx512 {

void quant_conv(const QuantConvCall& call) { rows_avx2::quant_conv(call); }
void quant_depthwise(const QuantDepthwiseCall& call) { rows_avx2::quant_depthwise(call); }

}  // namespace carrel::rows_avx512
#endif
