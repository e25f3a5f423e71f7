#pragma once
// Moving data: copies between maps, dense rows, pads, fp16 expansion. Include after vec_<isa>.h.
#include "engine/kernels/rows/row_kernels.h"

namespace carrel::CARREL_ROWS_ISA {

// One output block of one row: out channel c is in channel c - delta.
inline void copy_block(const CopyCall& call, uint32_t y, uint32_t block, int64_t delta,
                       LaneMask wanted) {
  constexpr int64_t kBlock = kLanes;
  const MapShape& in_shape = call.in.shape;
  const int64_t first = int64_t{block} * kBlock - delta;  // in channel of lane 0, may be negative
  const int64_t low = first >= 0 ? first / kBlock : -1 - (-1 - first) / kBlock;
  const uint32_t shift = static_cast<uint32_t>(first - low * kBlock);
  const int64_t blocks = in_shape.blocks();
  // A block outside the input gives lanes that are not wanted; the other one stands in for it.
  const int64_t used_low = low < 0 ? 0 : low;
  const int64_t used_high = low + 1 < blocks ? low + 1 : blocks - 1;
  const float* a = call.in.pixel(y, 0, static_cast<uint32_t>(used_low));
  const float* b = call.in.pixel(y, 0, static_cast<uint32_t>(used_high));
  float* out = call.out.pixel(y, 0, block);
  for (size_t i = 0; i < size_t{in_shape.width} * kLanes; i += kLanes) {
    const Vec moved = shift == 0 ? load(a + i) : join(load(a + i), load(b + i), shift);
    store(out + i, select(wanted, moved, load(out + i)));
  }
}

void copy(const CopyCall& call) {
  const int64_t delta = call.extract ? -int64_t{call.channel_begin} : int64_t{call.channel_begin};
  const uint32_t begin = call.extract ? 0 : call.channel_begin;
  const uint32_t end = call.extract ? call.out.shape.channels : begin + call.in.shape.channels;
  for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
    for (uint32_t b = begin / kLanes; b * kLanes < end; ++b) {
      const uint32_t from = begin > b * kLanes ? begin - b * kLanes : 0;
      const uint32_t to = end - b * kLanes < kLanes ? end - b * kLanes : kLanes;
      copy_block(call, y, b, delta, lanes(from, to));
    }
  }
}

inline void dense_to_planar_row(const DenseRowCall& call) {
  const MapShape& shape = call.map.shape;
  for (uint32_t c = 0; c < shape.channels; ++c) {
    __builtin_memcpy(call.map.planar_pixel(call.y, 0, c), call.dense + c * call.dense_channel_pitch,
                     shape.width * sizeof(float));
  }
}

void dense_to_row(const DenseRowCall& call) {
  const MapShape& shape = call.map.shape;
  if (shape.planar()) return dense_to_planar_row(call);
  for (uint32_t b = 0; b < shape.blocks(); ++b) {
    const float* dense = call.dense + size_t{b} * kLanes * call.dense_channel_pitch;
    const uint32_t channels = shape.channels - b * kLanes;
    float* out = call.map.pixel(call.y, 0, b);
    for (uint32_t x = 0; x < shape.width; x += kLanes) {
      const uint32_t pixels = shape.width - x < kLanes ? shape.width - x : kLanes;
      Vec r[kLanes];
      for (uint32_t c = 0; c < kLanes; ++c) {
        r[c] = c < channels ? load_first(dense + c * call.dense_channel_pitch + x, pixels)
                            : splat(0.0f);
      }
      transpose(r);
      for (uint32_t i = 0; i < pixels; ++i) store(out + (size_t{x} + i) * kLanes, r[i]);
    }
  }
}

void row_to_dense(const DenseRowCall& call) {
  const MapShape& shape = call.map.shape;
  for (uint32_t b = 0; b < shape.blocks(); ++b) {
    float* dense = call.dense + size_t{b} * kLanes * call.dense_channel_pitch;
    const uint32_t channels = shape.channels - b * kLanes;
    const float* in = call.map.pixel(call.y, 0, b);
    for (uint32_t x = 0; x < shape.width; x += kLanes) {
      const uint32_t pixels = shape.width - x < kLanes ? shape.width - x : kLanes;
      Vec r[kLanes];
      for (uint32_t i = 0; i < kLanes; ++i) {
        r[i] = i < pixels ? load(in + (size_t{x} + i) * kLanes) : splat(0.0f);
      }
      transpose(r);
      for (uint32_t c = 0; c < kLanes && c < channels; ++c) {
        store_first(dense + c * call.dense_channel_pitch + x, pixels, r[c]);
      }
    }
  }
}

inline void zero_planar_pads(const RowRing& ring, RowRange rows) {
  const MapShape& shape = ring.shape;
  for (uint32_t y = rows.begin; y < rows.end; ++y) {
    for (uint32_t c = 0; c < shape.channels; ++c) {
      float* first = ring.planar_pixel(y, 0, c);
      __builtin_memset(first - shape.pad_left, 0, shape.pad_left * sizeof(float));
      __builtin_memset(first + shape.width, 0, shape.pad_right * sizeof(float));
    }
  }
}

void zero_pads(const RowRing& ring, RowRange rows) {
  const MapShape& shape = ring.shape;
  if (shape.planar()) return zero_planar_pads(ring, rows);
  const Vec zero = splat(0.0f);
  for (uint32_t y = rows.begin; y < rows.end; ++y) {
    for (uint32_t b = 0; b < shape.blocks(); ++b) {
      float* left = ring.block_row(y, b);
      for (uint32_t x = 0; x < shape.pad_left; ++x) store(left + size_t{x} * kLanes, zero);
      float* right = left + (size_t{shape.pad_left} + shape.width) * kLanes;
      for (uint32_t x = 0; x < shape.pad_right; ++x) store(right + size_t{x} * kLanes, zero);
    }
  }
}

// The next `count` halves (a multiple of 8) become floats. `read` stays ahead of `write` by half of
// what is left.
struct Expansion {
  const unsigned char* read;
  float* write;

  void halves(size_t count) {
    for (size_t i = 0; i < count; i += 8, read += 16, write += 8) expand_eight(read, write);
  }
  void floats(size_t count) {  // a multiple of 16
    for (size_t i = 0; i < count; i += kLanes, read += kLanes * sizeof(float), write += kLanes) {
      float row[kLanes];
      __builtin_memcpy(row, read, sizeof(row));
      __builtin_memcpy(write, row, sizeof(row));
    }
  }
};

void expand_f16(float* buffer, const TileGrid& grid, const TileInfo& tile) {
  const WeightsShape& shape = grid.shape;
  const size_t gap = tile.expanded_bytes - tile.stored_bytes;
  Expansion expansion = {reinterpret_cast<const unsigned char*>(buffer) + gap, buffer};
  if (shape.kind == WeightsKind::kVectors)
    return expansion.floats(tile.stored_bytes / sizeof(float));
  if (shape.kind == WeightsKind::kPlain) {
    const size_t count = tile.stored_bytes / 2;
    expansion.halves(count);
    // What rounding up to whole lines added.
    for (size_t i = count; i < tile.expanded_bytes / sizeof(float); ++i) buffer[i] = 0.0f;
    return;
  }
  // Panels of one tile have equally many weight rows; only their widths may differ.
  size_t columns = 0;
  for (uint32_t p = 0; p < tile.panel_count; ++p)
    columns += panel_width(shape, tile.panel_begin + p);
  const size_t bias = tile.tap_begin == 0 ? 1 : 0;
  const size_t rows = tile.expanded_bytes / sizeof(float) / columns - bias;
  for (uint32_t p = 0; p < tile.panel_count; ++p) {
    const size_t width = panel_width(shape, tile.panel_begin + p);
    expansion.floats(bias * width);
    expansion.halves(rows * width);
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
