#pragma once
// Geometry and scratch of Winograd's minimal filtering F(m x m, 3 x 3), stride 1: m x m output
// pixels from a tile of (m + 2) x (m + 2) input pixels by (m + 2)^2 products per pair of channels
// instead of 9 m^2 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016).
//
// Everything transformed lies in *planes*, one per point of the tile:
//   input    [point][input block][tile][16]    of a slab of output rows; shared by the threads
//   filter   [point][input channel][width]     of a panel and kFilterBlocks input blocks; per thread
//   product  [point][output block][tile][16]   of a panel; per thread
// Tiles go from left to right, then down. A plane is one line longer than its content, so that the
// planes of one tile do not fall into one set of the cache.
#include <cstddef>
#include <cstdint>

#include "engine/layout/conv.h"
#include "engine/layout/map.h"
#include "engine/layout/tiles.h"

namespace carrel {

enum class ConvAlgorithm : uint8_t { kDirect = 0, kWinograd2 = 2, kWinograd4 = 4 };

// Output pixels on a side of a tile. Requires an algorithm of Winograd's.
constexpr uint32_t winograd_side(ConvAlgorithm algorithm) {
  return static_cast<uint32_t>(algorithm);
}
constexpr uint32_t winograd_points(uint32_t side) { return (side + 2) * (side + 2); }

constexpr bool winograd_window(const Window& w) {
  return w.kernel_h == 3 && w.kernel_w == 3 && w.stride_h == 1 && w.stride_w == 1 &&
         w.dilation_h == 1 && w.dilation_w == 1;
}

// Floats of a plane and of what lies in it.
struct WinogradPlanes {
  static constexpr uint32_t kFilterBlocks = 4;  // U of 64 channels stays in L2 beside the rest

  uint32_t side = 4;
  uint32_t tiles_wide = 0, tile_rows = 0;
  uint32_t in_blocks = 0;
  uint32_t filter_blocks = 0;  // input blocks at a time in the filter planes, <= kFilterBlocks

  constexpr uint32_t points() const { return winograd_points(side); }
  constexpr size_t tiles() const { return size_t{tiles_wide} * tile_rows; }
  constexpr size_t input_pitch() const { return (in_blocks * tiles() + 1) * kLanes; }
  constexpr size_t filter_pitch() const {
    return (size_t{filter_blocks} * kLanes * (kPanelWidth / kLanes) + 1) * kLanes;
  }
  constexpr size_t product_pitch() const { return (kPanelWidth / kLanes * tiles() + 1) * kLanes; }
  constexpr size_t input_floats() const { return points() * input_pitch(); }
  // What each thread has for itself.
  constexpr size_t thread_floats() const { return points() * (filter_pitch() + product_pitch()); }
  constexpr uint64_t scratch_bytes(uint32_t threads) const {
    return (input_floats() + threads * thread_floats()) * sizeof(float);
  }
};

// For `rows` output rows of a map `width` wide, at most 2^24 each; in_channels of the one group.
constexpr WinogradPlanes winograd_planes(uint32_t side, uint32_t rows, uint32_t width,
                                         uint32_t in_channels) {
  constexpr uint32_t kMost = WinogradPlanes::kFilterBlocks;
  const uint32_t in_blocks = (in_channels + kLanes - 1) / kLanes;
  return {side, (width + side - 1) / side, (rows + side - 1) / side, in_blocks,
          in_blocks < kMost ? in_blocks : kMost};
}

// Of tile rows [0, tile_rows) the one of `parts` nearly equal ranges that begins at the result.
constexpr uint32_t winograd_part(uint32_t tile_rows, uint32_t parts, uint32_t index) {
  return static_cast<uint32_t>(uint64_t{tile_rows} * index / parts);
}

// What a slab of `rows` output rows takes, whether `threads` threads divide its panels (one set of
// input planes) or its tile rows (a slab of its own each). No overflow where the input's rows are
// at most 2^40 bytes and rows <= 2^16, threads <= 64.
constexpr uint64_t winograd_scratch_bytes(uint32_t side, uint32_t rows, uint32_t width,
                                          uint32_t in_channels, uint32_t threads) {
  const WinogradPlanes all = winograd_planes(side, rows, width, in_channels);
  const uint64_t by_panels = all.scratch_bytes(threads);
  uint64_t by_rows = 0;
  for (uint32_t i = 0; i < threads; ++i) {
    WinogradPlanes part = all;
    part.tile_rows = winograd_part(all.tile_rows, threads, i + 1) - winograd_part(all.tile_rows, threads, i);
    by_rows += part.scratch_bytes(1);
  }
  return by_panels > by_rows ? by_panels : by_rows;
}

// Pad columns right of the input that the last tile reads.
constexpr uint32_t winograd_right_pad(uint32_t side, const Window& w, uint32_t in_width,
                                      uint32_t out_width) {
  const uint32_t end = (out_width + side - 1) / side * side + 2 - w.pad_left;
  return end > in_width ? end - in_width : 0;
}

}  // namespace carrel
