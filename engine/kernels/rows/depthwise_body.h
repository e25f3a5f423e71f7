#pragma once
// Depthwise convolution: a block's pixels stay in registers over all taps. Include after
// vec_<isa>.h.
#include "engine/kernels/rows/elementwise_body.h"
#include "engine/kernels/rows/window_body.h"

namespace carrel::CARREL_ROWS_ISA {

inline constexpr uint32_t kMaxListedRows = 8;  // taller kernels find their rows anew for each tile

// One output row of one block.
struct DepthwiseRow {
  const RowRing* in;
  const Window* window;
  Positions rows;
  uint32_t y, block;
  const float* weights;  // [bias][taps]
  float* out;
  float low, high;
  const float*
      inputs[kMaxListedRows];  // of kernel row h: its pixel under output pixel 0, kernel column 0
};

inline const float* depthwise_input(const DepthwiseRow& row, uint32_t h) {
  const uint32_t y = static_cast<uint32_t>(row.window->first_row(row.y) +
                                           static_cast<int32_t>(h * row.window->dilation_h));
  return row.in->pixel(y, -int32_t{row.window->pad_left}, row.block);
}

template <int kPixels>
inline void store_depthwise(const DepthwiseRow& row, uint32_t x, Vec (&sum)[kPixels]) {
  const Vec low = splat(row.low), high = splat(row.high);
  float* out = row.out + size_t{x} * kLanes;
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i)
    store(out + i * static_cast<int>(kLanes), clamped(low, high, sum[i]));
}

// kWidth, kStride: the kernel's width and stride_w; every input pixel of the tile is loaded once
// per row.
template <int kPixels, int kWidth, int kStride>
inline void depthwise_tile(const DepthwiseRow& row, uint32_t x) {
  Vec sum[kPixels];
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) sum[i] = load(row.weights);
  for (uint32_t h = row.rows.begin; h < row.rows.end; ++h) {
    const float* in = row.inputs[h] + size_t{x} * kStride * kLanes;
    const float* weights = row.weights + (size_t{1} + size_t{h} * kWidth) * kLanes;
    keep(in);
    keep(weights);
    Vec tap[kWidth];
    CARREL_UNROLL
    for (int w = 0; w < kWidth; ++w) tap[w] = load(weights + w * static_cast<int>(kLanes));
    CARREL_UNROLL
    for (int q = 0; q < (kPixels - 1) * kStride + kWidth; ++q) {
      Vec pixel = load(in + q * static_cast<int>(kLanes));
      keep(pixel);
      CARREL_UNROLL
      for (int i = 0; i < kPixels; ++i) {
        const int w = q - i * kStride;
        if (w >= 0 && w < kWidth) sum[i] = multiply_add(pixel, tap[w], sum[i]);
      }
    }
  }
  store_depthwise<kPixels>(row, x, sum);
}

// Any window.
template <int kPixels>
inline void depthwise_tile_any(const DepthwiseRow& row, uint32_t x) {
  const size_t stride = size_t{row.window->stride_w} * kLanes;
  const uint32_t width = row.window->kernel_w;
  Vec sum[kPixels];
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) sum[i] = load(row.weights);
  for (uint32_t h = row.rows.begin; h < row.rows.end; ++h) {
    const float* in = depthwise_input(row, h) + size_t{x} * stride;
    const float* weights = row.weights + (size_t{1} + size_t{h} * width) * kLanes;
    for (uint32_t w = 0; w < width;
         ++w, in += size_t{row.window->dilation_w} * kLanes, weights += kLanes) {
      const Vec tap = load(weights);
      CARREL_UNROLL
      for (int i = 0; i < kPixels; ++i) {
        sum[i] = multiply_add(load(in + static_cast<size_t>(i) * stride), tap, sum[i]);
      }
    }
  }
  store_depthwise<kPixels>(row, x, sum);
}

using DepthwiseRowFn = void (*)(const DepthwiseRow&, uint32_t width);

// The last tile is moved left to end with the row, computing a few pixels twice; rows narrower than
// a tile go pixel by pixel.
template <int kWidth, int kStride>
void depthwise_row(const DepthwiseRow& row, uint32_t width) {
  constexpr uint32_t kTile = kTilePixels;
  if (width < kTile) {
    for (uint32_t x = 0; x < width; ++x) depthwise_tile<1, kWidth, kStride>(row, x);
    return;
  }
  for (uint32_t x = 0; x < width; x += kTile) {
    depthwise_tile<kTilePixels, kWidth, kStride>(row, x + kTile <= width ? x : width - kTile);
  }
}
inline void depthwise_row_any(const DepthwiseRow& row, uint32_t width) {
  constexpr uint32_t kTile = kTilePixels;
  if (width < kTile) {
    for (uint32_t x = 0; x < width; ++x) depthwise_tile_any<1>(row, x);
    return;
  }
  for (uint32_t x = 0; x < width; x += kTile) {
    depthwise_tile_any<kTilePixels>(row, x + kTile <= width ? x : width - kTile);
  }
}

inline DepthwiseRowFn pick_depthwise(const Window& window) {
  if (window.dilation_w != 1 || window.kernel_h > kMaxListedRows) return depthwise_row_any;
  if (window.kernel_w == 3 && window.stride_w == 1) return depthwise_row<3, 1>;
  if (window.kernel_w == 3 && window.stride_w == 2) return depthwise_row<3, 2>;
  if (window.kernel_w == 5 && window.stride_w == 1) return depthwise_row<5, 1>;
  if (window.kernel_w == 5 && window.stride_w == 2) return depthwise_row<5, 2>;
  return depthwise_row_any;
}

void depthwise(const DepthwiseCall& call) {
  const DepthwiseRowFn run = pick_depthwise(call.window);
  const Clamp clamp = clamp_of(call.activation);
  const uint32_t width = call.out.shape.width;
  const size_t block_floats =
      (size_t{1} + size_t{call.window.kernel_h} * call.window.kernel_w) * kLanes;
  for (uint32_t b = 0; b < call.block_count; ++b) {
    const uint32_t block = call.block_begin + b;
    for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
      float* out = call.out.pixel(y, 0, block);
      DepthwiseRow row = {
          &call.in, &call.window, positions_in_height(call.window, y, call.in.shape.height),
          y,        block,        call.weights + b * block_floats,
          out,      clamp.low,    clamp.high,
          {}};
      for (uint32_t h = row.rows.begin; h < row.rows.end && h < kMaxListedRows; ++h) {
        row.inputs[h] = depthwise_input(row, h);
      }
      run(row, width);
      if (!clamp.all) apply_unary(call.activation, out, out, size_t{width} * kLanes);
    }
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
