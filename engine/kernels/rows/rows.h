#pragma once
// Kernels on row rings (engine/layout/map.h). Each call handles a sub-range (rows, panels, blocks),
// so that the caller splits work over threads; results do not depend on the split.
//
// Common contract. Rings 64-byte aligned. Output pad columns are NOT written (zero_pads does).
// Input pad columns are zero and wide enough: pad_left >= window.pad_left, and the right side
// likewise for every x read. Input rows outside [0, height) are skipped, not read. Inputs and
// outputs do not overlap, except where `out` says "may be in". Time and addresses independent of:
// weights, activations. No scratch, no heap. Thread-safe. Accumulation: fp32 FMA, per output
// element in tap order, so bits are equal over tiles, slabs and threads. Where the output map is
// 1 x 1, each tap is summed from zero and then added, which depends on the tap order alone too.
// AVX2 and AVX-512 give the same bits; the generic level rounds products and may differ in the last.
#include <cstdint>
#include <span>

#include "base/cpu.h"
#include "base/unary.h"
#include "engine/kernels/rows/quant_rows.h"
#include "engine/layout/conv.h"
#include "engine/layout/map.h"
#include "engine/layout/row_ops.h"
#include "engine/layout/tiles.h"
#include "engine/layout/winograd.h"

namespace carrel {

// out[oc, y, x] (+)= sum over taps [tap_begin, tap_end) of w * in. tap_begin == 0: starts from the
// bias; else continues from what `out` holds. tap_end == taps: the residual, if there is one, is added
// and the activation applied. `in` may be planar: in_block 0, in_channels at most its channels.
struct ConvCall {
  RowRing in, out;
  uint32_t in_block = 0;      // first input block of the group
  uint32_t out_block = 0;     // first output block of the group
  uint32_t in_channels = 0;   // of the group
  uint32_t out_channels = 0;  // of the group
  uint32_t panel_begin = 0, panel_count = 0;
  uint32_t tap_begin = 0, tap_end = 0, taps = 0;
  const float* weights = nullptr;  // the tile, expanded to fp32; 64-byte aligned
  Window window;
  Unary activation;
  RowRange rows;
  RowRing residual = {};  // base nullptr: none; else of the output's sides, blocks as the output's
};

// Winograd's convolution of a slab of output rows, in four steps over the planes of
// engine/layout/winograd.h. Sums over input channels run in their order, whatever the pieces. Error
// relative to the largest output, measured: 5e-7 sqrt(in_channels) for 4 x 4 tiles, 4e-8 for 2 x 2.
//
// Input channel blocks to input planes. Right of the input winograd_right_pad() columns are zero.
struct WinogradInputCall {
  RowRing in;
  uint32_t in_block = 0;  // first block of the group
  uint32_t block_begin = 0, block_count = 0;  // of the group
  WinogradPlanes planes;
  Window window;
  uint32_t first_row = 0;  // of the slab's output rows
  float* out = nullptr;    // input planes
};

// Weights of whole input blocks of one panel (taps as in a tile) to filter planes.
struct WinogradFilterCall {
  const float* weights = nullptr;
  uint32_t width = 0;  // of the panel
  uint32_t first_channel = 0;  // where they go in the planes
  uint32_t channels = 0;
  WinogradPlanes planes;
  float* out = nullptr;  // filter planes
};

// product (+)= input blocks from in_block on x filter planes. first: starts from zero.
struct WinogradMultiplyCall {
  const float* input = nullptr;
  const float* filter = nullptr;
  float* product = nullptr;
  uint32_t in_block = 0;
  uint32_t channels = 0;  // <= kFilterBlocks * 16
  uint32_t width = 0;     // of the panel
  bool first = false;
  WinogradPlanes planes;
};

// Product planes to output rows: bias, residual and activation.
struct WinogradOutputCall {
  const float* product = nullptr;
  RowRing out;
  uint32_t out_block = 0, blocks = 0;
  const float* bias = nullptr;  // 16 * blocks
  WinogradPlanes planes;
  Unary activation;
  RowRange rows;
  RowRing residual = {};  // as ConvCall's
};

// A fully-connected layer: the 1 x 1 map out[oc] (+)= sum over taps [tap_begin, tap_end) of w * in,
// over all of `in`, which is resident. tap_end == taps: bias, scale and activation are applied; else
// `out` holds a raw sum that the next call continues (tap_begin > 0). Fp32 arithmetic whatever the
// weights are stored as. Order of additions: per output four sums over rows k mod 4 (kI4: per tap two,
// over even and odd rows), joined at the end of a tile: a function of the layout's tiles alone.
struct DenseCall {
  RowRing in, out;
  uint32_t panel_begin = 0, panel_count = 0;
  uint32_t tap_begin = 0, tap_end = 0, taps = 0;  // at most kDenseMaxRows rows (engine/layout/dense.h)
  const std::byte* weights = nullptr;             // the tile as stored; 64-byte aligned
  Unary activation;
};

// Per channel block [bias][kh*kw rows of 16].
struct DepthwiseCall {
  RowRing in, out;
  uint32_t block_begin = 0, block_count = 0;
  const float* weights = nullptr;  // of block_begin
  Window window;
  Unary activation;
  RowRange rows;
};

struct PoolCall {
  RowRing in, out;
  uint32_t block_begin = 0, block_count = 0;
  PoolKind kind = PoolKind::kMax;
  // kAverage divides by the taps inside the input (false) or inside the input extended by counted_*
  // (true).
  bool count_include_pad = false;
  uint16_t counted_bottom = 0, counted_right = 0;  // end pads that count (top and left: window's)
  Window window;  // max pads are never read: taps outside the input are skipped in x too
  RowRange rows;
};

// Reduces rows [rows.begin, rows.end) of `in` into the 1 x 1 map `out`. first: starts over; last:
// finishes (divides).
struct GlobalPoolCall {
  RowRing in, out;
  uint32_t block_begin = 0, block_count = 0;
  PoolKind kind = PoolKind::kAverage;
  RowRange rows;
  bool first = false, last = false;
};

// out = f(in * scale + shift) per channel (vectors: per block [scale][shift]); vectors == nullptr:
// out = f(in).
struct UnaryCall {
  RowRing in, out;  // out may be in
  uint32_t block_begin = 0, block_count = 0;
  const float* vectors = nullptr;
  bool prelu = false;  // vectors: per block [slope]; out = in >= 0 ? in : in * slope
  Unary fn;
  RowRange rows;
};

// out = f(fn(a, b)). b: same shape as a, or a 1 x 1 map broadcast over rows and columns.
struct BinaryCall {
  RowRing a, b, out;  // out may be a or b (b only if it is not broadcast)
  uint32_t block_begin = 0, block_count = 0;
  BinaryFn fn = BinaryFn::kAdd;
  bool swap = false;  // fn(b, a)
  Unary activation;
  RowRange rows;
};

// Local response normalisation across channels; all blocks of the rows.
struct LrnCall {
  RowRing in, out;
  uint32_t size = 0;
  float alpha = 0, beta = 0, bias = 0;
  RowRange rows;
};

// Softmax (or its logarithm) over the channels of each pixel.
struct SoftmaxCall {
  RowRing in, out;  // out may be in
  bool log = false;
  RowRange rows;
};

// Copies all channels of `in` to channels [channel_begin, ...) of `out` (concat), or with `extract`
// channels [channel_begin, channel_begin + out.channels) of `in` to `out` (split). Any
// channel_begin.
struct CopyCall {
  RowRing in, out;
  uint32_t channel_begin = 0;
  bool extract = false;
  RowRange rows;
};

// Row y between the map and its dense form [channels][width] (how rows cross the boundary and how
// plain tensors hold them). dense_channel_pitch: floats from one channel to the next. dense_to_row and
// zero_pads take planar maps too.
struct DenseRowCall {
  RowRing map;
  float* dense = nullptr;
  size_t dense_channel_pitch = 0;
  uint32_t y = 0;
};

struct RowKernels {
  IsaLevel level = IsaLevel::kGeneric;
  void (*conv)(const ConvCall&) = nullptr;
  void (*winograd_input)(const WinogradInputCall&) = nullptr;
  void (*winograd_filter)(const WinogradFilterCall&) = nullptr;
  void (*winograd_multiply)(const WinogradMultiplyCall&) = nullptr;
  void (*winograd_output)(const WinogradOutputCall&) = nullptr;
  void (*dense_f32)(const DenseCall&) = nullptr;
  void (*dense_f16)(const DenseCall&) = nullptr;
  void (*dense_i8)(const DenseCall&) = nullptr;
  void (*dense_i4)(const DenseCall&) = nullptr;
  void (*depthwise)(const DepthwiseCall&) = nullptr;
  void (*pool)(const PoolCall&) = nullptr;
  void (*global_pool)(const GlobalPoolCall&) = nullptr;
  void (*unary)(const UnaryCall&) = nullptr;
  void (*binary)(const BinaryCall&) = nullptr;
  void (*lrn)(const LrnCall&) = nullptr;
  void (*softmax)(const SoftmaxCall&) = nullptr;
  void (*copy)(const CopyCall&) = nullptr;
  void (*dense_to_row)(const DenseRowCall&) = nullptr;
  void (*row_to_dense)(const DenseRowCall&) = nullptr;
  // Zeroes the pad columns of rows [begin, end).
  void (*zero_pads)(const RowRing&, RowRange) = nullptr;
  // A stored tile (fp16) to fp32, in place: the stored bytes lie at the END of the expanded_bytes
  // buffer.
  void (*expand_f16)(float* buffer, const TileGrid& grid, const TileInfo& tile) = nullptr;
  void (*quant_conv)(const QuantConvCall&) = nullptr;
  void (*quant_depthwise)(const QuantDepthwiseCall&) = nullptr;
  void (*quant_pool)(const QuantPoolCall&) = nullptr;
  void (*quant_add)(const QuantAddCall&) = nullptr;
  void (*quant_copy)(const QuantCopyCall&) = nullptr;
  void (*quantize)(const QuantizeCall&) = nullptr;
  void (*dequantize)(const DequantizeCall&) = nullptr;
  // Pad columns of rows [begin, end) become the zero point.
  void (*fill_pads)(const ByteRing&, RowRange) = nullptr;
};

// The best kernels that `mask` allows.
const RowKernels& row_kernels(CpuMask mask);

// The one for a kDense stream.
inline auto dense_kernel(const RowKernels& kernels, StoredType stored) {
  switch (stored) {
    case StoredType::kF16:
      return kernels.dense_f16;
    case StoredType::kI8:
      return kernels.dense_i8;
    case StoredType::kI4:
      return kernels.dense_i4;
    case StoredType::kF32:
      break;
  }
  return kernels.dense_f32;
}

// The owner's side: from ONNX weights to the canonical stream (all tiles one after another, stored
// type; not kI8 and kI4). `weights`: Conv and Dense (Cout, Cin, kh, kw), Depthwise (C, 1, kh, kw),
// Vectors (rows, C), Plain (elements). bias may be empty. `stream` has grid.stored_bytes bytes.
void pack_weights(const TileGrid& grid, std::span<const float> weights, std::span<const float> bias,
                  std::span<std::byte> stream);

// Quantized weights of a kDense stream, in the order of its reduction, taps filled up to 32 rows.
struct DenseCodes {
  std::span<const int8_t> codes;  // (Cout, taps * 32): kI8 -127 .. 127, kI4 0 .. 15
  std::span<const float> steps;   // kI4: (Cout, taps), each a half (base/half.h); else empty
  std::span<const float> scales;  // (Cout)
};
void pack_dense(const TileGrid& grid, const DenseCodes& codes, std::span<const float> bias,
                std::span<std::byte> stream);

}  // namespace carrel
