#pragma once
// From the tiles of a sealed model back to matrices in ONNX's order: the inverse of pack_weights().
#include <cstddef>

#include "engine/layout/tiles.h"

namespace carrel::unmodified {

// Where the numbers of one stream go.
struct UnpackTarget {
  // kConv, kDense, kDepthwise: (Cout, Cin / merged_groups, kh, kw); kVectors: (rows, channels);
  // kPlain: its elements.
  float* weights = nullptr;
  float* bias = nullptr;  // (Cout); nullptr: left out
  // Groups of a convolution that the stream holds as one with zeros in between, which are left out.
  uint32_t merged_groups = 1;
};

// Whether unpack_tile() knows this kind and stored type: floats (fp32, fp16) of any kind.
bool can_unpack(const WeightsShape& shape);

// Tile `tile` of `grid`: tile_info().stored_bytes bytes at `plain`. Every element of the target is
// written by exactly one tile. Requires can_unpack(grid.shape).
void unpack_tile(const TileGrid& grid, uint32_t tile, const std::byte* plain,
                 const UnpackTarget& target);

}  // namespace carrel::unmodified
