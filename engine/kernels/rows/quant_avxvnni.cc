// Quantized convolutions on AVX2 with VNNI: 6 pixels x 16 channels in 12 of the 16 registers.
#if defined(__x86_64__)
// The bodies are written in terms of the sums.
// clang-format off
#include "engine/kernels/rows/row_kernels.h"
#include "engine/kernels/rows/dot_avxvnni.h"
#include "engine/kernels/rows/quant_conv_body.h"
#include "engine/kernels/rows/quant_depthwise_body.h"
namespace carrel::CARREL_ROWS_ISA { inline constexpr int kQuantTilePixels = 6; }
#include "engine/kernels/rows/quant_tiles_body.h"
// clang-format on
#endif
