#pragma once
// Quantized depthwise convolution: a block's pixels stay in registers over all taps. Include after
// dot_<isa>.h.
#include "engine/kernels/rows/dot_shortfall.h"
#include "engine/kernels/rows/window_body.h"

namespace carrel::CARREL_ROWS_ISA {

inline constexpr int kQuantDepthwisePixels = 7;
inline constexpr uint32_t kMaxQuantListedRows = 8;  // taller kernels find their rows anew for each tile

struct ShiftedTaps;

// One output row of one block.
struct QuantDepthwiseRow {
  const QuantDepthwiseCall* call;
  uint32_t y, block;
  Positions rows;
  const std::byte* taps;  // quad 0
  uint32_t quads;         // of a kernel row
  const ShiftedTaps* shifted;  // of short kernels
  const int32_t* start;
  const float* multipliers;
  uint8_t* out;
  // Of kernel row h: its pixel under output pixel 0, kernel column 0.
  const uint8_t* inputs[kMaxQuantListedRows];
};

inline const uint8_t* quant_depthwise_input(const QuantDepthwiseRow& row, uint32_t h) {
  const Window& window = row.call->window;
  const int32_t y = window.first_row(row.y) + static_cast<int32_t>(h * window.dilation_h);
  return row.call->in.pixel(static_cast<uint32_t>(y), -int32_t{window.pad_left}, row.block);
}

template <int kCount, bool kDense, int kPixels>
[[gnu::always_inline]] inline void add_columns(const uint8_t* in, size_t stride, size_t step,
                                               const std::byte* weights, Sums (&sum)[kPixels]) {
  const Weights w = load_weights(weights);
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    sum[i] = dot(sum[i], columns<kCount, kDense>(in + static_cast<size_t>(i) * stride, step), w);
  }
}

template <int kPixels>
[[gnu::always_inline]] inline void store_pixels(uint8_t* out, const Sums (&sum)[kPixels], const Requantize& r) {
  if constexpr (kPixels == 1) {
    store_bytes<1>(out, sum, r);
  } else {
    store_bytes<4>(out, sum, r);
    store_bytes<kPixels - 4>(out + 4 * kLanes, sum + 4, r);
  }
}
template <int kPixels>
[[gnu::always_inline]] inline void store_pixels(const QuantDepthwiseRow& row, uint32_t x, const Sums (&sum)[kPixels]) {
  uint8_t* out = row.out + size_t{x} * kLanes;
  const int32_t zero = row.call->out.shape.zero;
  const uint8_t low = row.call->low, high = row.call->high;
  if (zero != 0 || low != 0 || high != 255) return store_pixels(out, sum, {row.multipliers, zero, low, high});
  store_pixels(out, sum, {row.multipliers, 0, 0, 255});  // after Relu: the constants leave less to do
}

// Short kernel rows: pixels are brought into columns once, four at a time, for all outputs that they touch; each has
// the weights where its window lies. Entry kShifts / 2 + s of a kernel row: its quad moved up by s columns.
inline constexpr int kShifts = 7;
struct ShiftedTaps {
  alignas(64) uint32_t quads[kMaxQuantListedRows][kShifts][kLanes];
};
inline void shift_taps(const std::byte* taps, uint32_t rows, ShiftedTaps* shifted) {
  for (uint32_t h = 0; h < rows; ++h) {
    uint32_t quads[kLanes];
    __builtin_memcpy(quads, taps + size_t{h} * sizeof(quads), sizeof(quads));
    for (int s = 0; s < kShifts; ++s) {
      const int bits = 8 * (s - kShifts / 2);
      for (uint32_t c = 0; c < kLanes; ++c) {
        shifted->quads[h][s][c] = bits < 0 ? quads[c] >> -bits : quads[c] << bits;
      }
    }
  }
}

template <int kWidth, int kStride>
struct ShortKernel {
  // Columns [4 kQuad, 4 kQuad + 4) of one kernel row, and those after them.
  template <int kQuad, int kPixels>
  [[gnu::always_inline]] static void add_quads(const uint8_t* in, const uint32_t (&taps)[kShifts][kLanes],
                                               Sums (&sum)[kPixels]) {
    constexpr int kColumns = (kPixels - 1) * kStride + kWidth - 4 * kQuad;
    if constexpr (kColumns > 0) {
      const Columns quad = columns<kColumns < 4 ? kColumns : 4, true>(in + kQuad * 4 * kLanes, kLanes);
      CARREL_UNROLL
      for (int i = 0; i < kPixels; ++i) {
        const int first = i * kStride - 4 * kQuad;  // column of the output's window
        if (first > -kWidth && first < 4) {
          const uint32_t* shifted = taps[kShifts / 2 + first];
          sum[i] = dot(sum[i], quad, load_weights(reinterpret_cast<const std::byte*>(shifted)));
        }
      }
      add_quads<kQuad + 1>(in, taps, sum);
    }
  }
  template <int kPixels>
  [[gnu::always_inline]] static void tile(const QuantDepthwiseRow& row, uint32_t x) {
    Sums sum[kPixels];
    CARREL_UNROLL
    for (int i = 0; i < kPixels; ++i) sum[i] = load_sums(row.start);
    for (uint32_t h = row.rows.begin; h < row.rows.end; ++h) {
      add_quads<0>(row.inputs[h] + size_t{x} * kStride * kLanes, row.shifted->quads[h], sum);
    }
    store_pixels(row, x, sum);
  }
};

// kLast: columns of a kernel row's last quad.
template <int kLast, bool kDense>
struct AnyKernel {
  template <int kPixels>
  [[gnu::always_inline]] static void tile(const QuantDepthwiseRow& row, uint32_t x) {
    const Window& window = row.call->window;
    const size_t stride = size_t{window.stride_w} * kLanes, step = size_t{window.dilation_w} * kLanes;
    Sums sum[kPixels];
    CARREL_UNROLL
    for (int i = 0; i < kPixels; ++i) sum[i] = load_sums(row.start);
    for (uint32_t h = row.rows.begin; h < row.rows.end; ++h) {
      const uint8_t* in = (h < kMaxQuantListedRows ? row.inputs[h] : quant_depthwise_input(row, h)) + x * stride;
      const std::byte* weights = row.taps + size_t{h} * row.quads * 64;
      for (uint32_t q = 1; q < row.quads; ++q, in += 4 * step, weights += 64) {
        add_columns<4, kDense>(in, stride, step, weights, sum);
      }
      add_columns<kLast, kDense>(in, stride, step, weights, sum);
    }
    store_pixels(row, x, sum);
  }
};

// The last tile is moved left to end with the row, computing a few pixels twice.
template <class Kernel>
void quant_depthwise_row(const QuantDepthwiseRow& row, uint32_t width) {
  constexpr uint32_t kTile = kQuantDepthwisePixels;
  if (width < kTile) {
    for (uint32_t x = 0; x < width; ++x) Kernel::template tile<1>(row, x);
    return;
  }
  for (uint32_t x = 0; x < width; x += kTile) {
    Kernel::template tile<kQuantDepthwisePixels>(row, x + kTile <= width ? x : width - kTile);
  }
}

using QuantDepthwiseRowFn = void (*)(const QuantDepthwiseRow&, uint32_t width);
template <bool kDense>
QuantDepthwiseRowFn pick_any_kernel(uint32_t last) {
  switch (last) {
    case 1:
      return quant_depthwise_row<AnyKernel<1, kDense>>;
    case 2:
      return quant_depthwise_row<AnyKernel<2, kDense>>;
    case 3:
      return quant_depthwise_row<AnyKernel<3, kDense>>;
  }
  return quant_depthwise_row<AnyKernel<4, kDense>>;
}
inline bool has_short_kernel(const Window& window) {
  const bool short_row = (window.kernel_w == 1 && window.stride_w == 1) || (window.kernel_w == 3 && window.stride_w <= 2);
  return short_row && window.dilation_w == 1 && window.kernel_h <= kMaxQuantListedRows;
}
inline QuantDepthwiseRowFn pick_quant_depthwise(const Window& window) {
  if (has_short_kernel(window)) {
    if (window.kernel_w == 1) return quant_depthwise_row<ShortKernel<1, 1>>;
    return window.stride_w == 1 ? quant_depthwise_row<ShortKernel<3, 1>> : quant_depthwise_row<ShortKernel<3, 2>>;
  }
  return window.dilation_w == 1 ? pick_any_kernel<true>(window.kernel_w % 4) : pick_any_kernel<false>(window.kernel_w % 4);
}

// The bias, what kernel rows outside the input add to it, and what dot() lacks.
inline void start_of_row(const QuantDepthwiseRow& row, const std::byte* bias, int32_t* start) {
  const uint8_t zero = row.call->in.shape.zero;
  const uint8_t quad_of_zeros[4] = {zero, zero, zero, zero};
  const Splat x = splat(quad_of_zeros);
  Sums sum = load_sums(reinterpret_cast<const int32_t*>(bias));
  for (uint32_t h = 0; h < row.call->window.kernel_h; ++h) {
    const bool outside = h < row.rows.begin || h >= row.rows.end;
    if (!outside && !kDotFallsShort<Sums, Weights>) continue;
    for (uint32_t q = 0; q < row.quads; ++q) {
      const Weights w = load_weights(row.taps + (size_t{h} * row.quads + q) * 64);
      sum = with_shortfall(outside ? dot(sum, x, w) : sum, w);
    }
  }
  store_sums(start, sum);
}

void quant_depthwise(const QuantDepthwiseCall& call) {
  const QuantDepthwiseRowFn run = pick_quant_depthwise(call.window);
  const uint32_t quads = (call.window.kernel_w + 3u) / 4;
  const size_t block_bytes = kLanes * 8 + size_t{call.window.kernel_h} * quads * 64;
  alignas(64) int32_t start[kLanes];
  ShiftedTaps shifted;
  for (uint32_t b = 0; b < call.block_count; ++b) {
    const std::byte* weights = call.weights + b * block_bytes;
    if (has_short_kernel(call.window)) shift_taps(weights + kLanes * 8, call.window.kernel_h, &shifted);
    for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
      QuantDepthwiseRow row = {&call,
                               y,
                               call.block_begin + b,
                               positions_in_height(call.window, y, call.in.shape.height),
                               weights + kLanes * 8,
                               quads,
                               &shifted,
                               start,
                               reinterpret_cast<const float*>(weights) + kLanes,
                               call.out.pixel(y, 0, call.block_begin + b),
                               {}};
      for (uint32_t h = row.rows.begin; h < row.rows.end && h < kMaxQuantListedRows; ++h) {
        row.inputs[h] = quant_depthwise_input(row, h);
      }
      start_of_row(row, weights, start);
      run(row, call.out.shape.width);
    }
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
