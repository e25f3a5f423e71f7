#pragma once
// Kernels on quantized maps (engine/layout/map.h): real = scale * (byte - zero); zero points are
// the maps' own unless a call has one. The contract is that of rows.h, but for: pads hold the zero
// point (fill_pads), sums are exact integers, and every instruction set gives the same bits.
// Requantization is one float product (or the sum of two), rounded half to even, plus the zero
// point, clamped; of a convolution below 2^31.
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/layout/conv.h"
#include "engine/layout/map.h"
#include "engine/layout/quant.h"
#include "engine/layout/row_ops.h"
#include "engine/layout/tiles.h"

namespace carrel {

// At most kMaxQuantRuns kernel rows, counted once for each block of input channels.
// out = clamp(round((bias + sum of w * in) * multiplier) + zero), taps [tap_begin, tap_end) of it.
// Weights as packed (tiles.h); the bias holds -zero * (sum of the channel's weights), so sums are
// over raw bytes, and a row outside the input counts as rows of its zero point.
struct QuantConvCall {
  ByteRing in, out;
  uint32_t in_block = 0, out_block = 0;  // first blocks of the group
  uint32_t in_channels = 0, out_channels = 0;
  uint32_t panel_begin = 0, panel_count = 0;
  uint32_t tap_begin = 0, tap_end = 0, taps = 0;
  const std::byte* weights = nullptr;  // 64-byte aligned
  // Between the calls that share a panel's taps, which come in order with panel_count 1: the
  // multipliers and what is summed so far. quant_sums_bytes(rows, width); 64-byte aligned. nullptr
  // if one call has all taps.
  std::byte* sums = nullptr;
  Window window;
  uint8_t low = 0, high = 255;  // of the result
  RowRange rows;
};

struct QuantDepthwiseCall {
  ByteRing in, out;
  uint32_t block_begin = 0, block_count = 0;
  const std::byte* weights = nullptr;  // of block_begin
  Window window;
  uint8_t low = 0, high = 255;
  RowRange rows;
};

// The maximum, or the mean of (in - zero) times `scale`. Otherwise as PoolCall. A window has at
// most kMaxQuantPoolTaps taps.
struct QuantPoolCall {
  ByteRing in, out;
  uint32_t block_begin = 0, block_count = 0;
  PoolKind kind = PoolKind::kMax;
  bool count_include_pad = false;
  uint16_t counted_bottom = 0, counted_right = 0;
  Window window;
  float scale = 1;  // kAverage: the input's scale over the output's
  RowRange rows;
};

// out = clamp(round((a - zero) * a_scale + (b - zero) * b_scale) + zero).
struct QuantAddCall {
  ByteRing a, b, out;  // out may be a or b
  uint32_t block_begin = 0, block_count = 0;
  float a_scale = 1, b_scale = 1;  // over the output's; 0 to kMaxQuantAddScale
  uint8_t low = 0, high = 255;
  RowRange rows;
};

// As CopyCall; requantize: out = round((in - zero) * scale) + zero, else the bytes themselves.
struct QuantCopyCall {
  ByteRing in, out;
  uint32_t channel_begin = 0;
  bool extract = false, requantize = false;
  float scale = 1;  // the input's over the output's
  RowRange rows;
};

// out = clamp(round(in / scale) + zero), and back. Integers as floats: scale 1, zero 0. The input
// of the first may be planar.
struct QuantizeCall {
  RowRing in;
  ByteRing out;
  uint32_t block_begin = 0, block_count = 0;
  float scale = 1;
  uint8_t zero = 0;
  RowRange rows;
};
struct DequantizeCall {
  ByteRing in;
  RowRing out;
  uint32_t block_begin = 0, block_count = 0;
  float scale = 1;
  uint8_t zero = 0;
  RowRange rows;
};

// The owner's side. `weights`: (Cout, Cin, kh, kw), depthwise (C, 1, kh, kw); bias and multipliers:
// one for each output channel, bias over raw bytes.
struct QuantWeights {
  std::span<const int8_t> weights;
  std::span<const int32_t> bias;
  std::span<const float> multipliers;
};
void pack_quant_weights(const TileGrid& grid, const QuantWeights& weights,
                        std::span<std::byte> stream);

}  // namespace carrel
