#pragma once
// Bounds and sizes of operators on quantized maps, shared by programs and kernels.
#include <cstddef>
#include <cstdint>

#include "engine/layout/tiles.h"

namespace carrel {

// Most kernel rows, counted once for each block of input channels, of one call of a convolution. No
// tile has more: a run has at least one quad of 16 channels.
inline constexpr uint32_t kMaxQuantRuns = kMaxTileBytes / 64;
// A pool's window: sums of so many bytes are exact floats.
inline constexpr uint32_t kMaxQuantPoolTaps = 1u << 16;
// Scales of summands over that of the sum: below what the kernels' rounding holds, far beyond what
// saturates.
inline constexpr float kMaxQuantAddScale = 1 << 20;

// What a panel that is cut at taps keeps between its tiles: multipliers, and a sum per channel and
// output pixel.
constexpr uint64_t quant_sums_bytes(uint64_t rows, uint64_t out_width) {
  return (rows * out_width + 1) * kPanelWidth * sizeof(int32_t);
}

}  // namespace carrel
