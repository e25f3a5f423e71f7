#pragma once
// Pooling. Include after vec_<isa>.h.
#include <limits>

#include "engine/kernels/rows/window_body.h"

namespace carrel::CARREL_ROWS_ISA {

template <PoolKind kKind>
inline Vec pool_start() {
  return splat(kKind == PoolKind::kMax ? -std::numeric_limits<float>::infinity() : 0.0f);
}
template <PoolKind kKind>
inline Vec pool_add(Vec sum, Vec x) {
  return kKind == PoolKind::kMax ? max(sum, x) : sum + x;
}

// One output row of one block.
struct PoolRow {
  const PoolCall* call;
  uint32_t y, block;
  Positions rows;
  uint32_t counted_rows;  // what an average divides by, in y
};

// Taps that an average divides by in x.
inline uint32_t counted_columns(const PoolCall& call, int32_t left) {
  const Window& w = call.window;
  const int32_t before = call.count_include_pad ? w.pad_left : 0;
  const int32_t after = call.count_include_pad ? call.counted_right : 0;
  const Positions r = positions_inside(left, w.kernel_w, w.dilation_w, -before,
                                       static_cast<int32_t>(call.in.shape.width) + after);
  return r.end - r.begin;
}

// kPixels output pixels from x on, with the kernel columns `columns` for all of them.
template <PoolKind kKind, int kPixels>
inline void pool_tile(const PoolRow& row, uint32_t x, Positions columns) {
  const PoolCall& call = *row.call;
  const Window& window = call.window;
  const int32_t left = static_cast<int32_t>(x * window.stride_w) - window.pad_left;
  const size_t stride = size_t{window.stride_w} * kLanes;
  Vec sum[kPixels];
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) sum[i] = pool_start<kKind>();
  for (uint32_t h = row.rows.begin; h < row.rows.end; ++h) {
    const int32_t in_y = window.first_row(row.y) + static_cast<int32_t>(h * window.dilation_h);
    const float* row_start = call.in.pixel(static_cast<uint32_t>(in_y), 0, row.block);
    for (uint32_t w = columns.begin; w < columns.end; ++w) {
      const int32_t in_x = left + static_cast<int32_t>(w * window.dilation_w);
      const float* in = row_start + in_x * static_cast<int32_t>(kLanes);
      CARREL_UNROLL
      for (int i = 0; i < kPixels; ++i) {
        sum[i] = pool_add<kKind>(sum[i], load(in + static_cast<size_t>(i) * stride));
      }
    }
  }
  float* out = call.out.pixel(row.y, static_cast<int32_t>(x), row.block);
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    if (kKind == PoolKind::kAverage) {
      // A tile of several pixels lies inside the input, where every column counts.
      const uint32_t counted = kPixels > 1 ? window.kernel_w : counted_columns(call, left);
      const uint32_t taps = row.counted_rows * counted;
      sum[i] = sum[i] / splat(static_cast<float>(taps > 0 ? taps : 1));
    }
    store(out + i * static_cast<int>(kLanes), sum[i]);
  }
}

template <PoolKind kKind>
inline void pool_row(const PoolRow& row) {
  const Window& window = row.call->window;
  const int32_t in_width = static_cast<int32_t>(row.call->in.shape.width);
  const uint32_t width = row.call->out.shape.width;
  uint32_t x = 0;
  while (x < width) {
    const int32_t left = static_cast<int32_t>(x * window.stride_w) - window.pad_left;
    const int32_t tile_end = left + (kTilePixels - 1) * window.stride_w + window.span_w();
    if (left >= 0 && tile_end <= in_width && x + kTilePixels <= width) {
      pool_tile<kKind, kTilePixels>(row, x, {0, window.kernel_w});
      x += kTilePixels;
    } else {
      pool_tile<kKind, 1>(row, x,
                          positions_inside(left, window.kernel_w, window.dilation_w, 0, in_width));
      ++x;
    }
  }
}

void pool(const PoolCall& call) {
  const Window& window = call.window;
  const int32_t height = static_cast<int32_t>(call.in.shape.height);
  for (uint32_t b = call.block_begin; b < call.block_begin + call.block_count; ++b) {
    for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
      const int32_t top = window.first_row(y);
      PoolRow row = {&call, y, b, positions_in_height(window, y, call.in.shape.height), 0};
      const int32_t before = call.count_include_pad ? window.pad_top : 0;
      const int32_t after = call.count_include_pad ? call.counted_bottom : 0;
      const Positions counted =
          positions_inside(top, window.kernel_h, window.dilation_h, -before, height + after);
      row.counted_rows = counted.end - counted.begin;
      if (call.kind == PoolKind::kMax) {
        pool_row<PoolKind::kMax>(row);
      } else {
        pool_row<PoolKind::kAverage>(row);
      }
    }
  }
}

template <PoolKind kKind>
inline void global_pool_block(const GlobalPoolCall& call, uint32_t block) {
  const MapShape& shape = call.in.shape;
  float* out = call.out.pixel(0, 0, block);
  Vec sum = call.first ? pool_start<kKind>() : load(out);
  for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
    const float* in = call.in.pixel(y, 0, block);
    for (uint32_t x = 0; x < shape.width; ++x)
      sum = pool_add<kKind>(sum, load(in + size_t{x} * kLanes));
  }
  if (call.last && kKind == PoolKind::kAverage) {
    sum = sum / splat(static_cast<float>(uint64_t{shape.height} * shape.width));
  }
  store(out, sum);
}

void global_pool(const GlobalPoolCall& call) {
  for (uint32_t b = call.block_begin; b < call.block_begin + call.block_count; ++b) {
    if (call.kind == PoolKind::kMax) {
      global_pool_block<PoolKind::kMax>(call, b);
    } else {
      global_pool_block<PoolKind::kAverage>(call, b);
    }
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
