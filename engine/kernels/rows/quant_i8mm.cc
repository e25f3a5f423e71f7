// Quantized convolutions with Arm's dot products of mixed bytes: 5 pixels x 16 channels in 20 of the 32 registers.
#if defined(__aarch64__)
// The bodies are written in terms of the sums.
// clang-format off
#include "engine/kernels/rows/row_kernels.h"
#include "engine/kernels/rows/dot_i8mm.h"
#include "engine/kernels/rows/quant_conv_body.h"
#include "engine/kernels/rows/quant_depthwise_body.h"
namespace carrel::CARREL_ROWS_ISA { inline constexpr int kQuantTilePixels = 5; }
#include "engine/kernels/rows/quant_tiles_body.h"
// clang-format on
#endif
