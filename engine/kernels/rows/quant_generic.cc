// Quantized convolutions on any machine.
// The bodies are written in terms of the sums.
// clang-format off
#include "engine/kernels/rows/row_kernels.h"
#include "engine/kernels/rows/dot_generic.h"
#include "engine/kernels/rows/quant_conv_body.h"
#include "engine/kernels/rows/quant_depthwise_body.h"
namespace carrel::CARREL_ROWS_ISA { inline constexpr int kQuantTilePixels = 2; }
#include "engine/kernels/rows/quant_tiles_body.h"
// clang-format on
