#pragma once
// Inside this room: the part of pack_weights() for kDense streams of floats.
#include "engine/kernels/rows/rows.h"

namespace carrel {

void pack_dense_floats(const TileGrid& grid, std::span<const float> weights,
                       std::span<const float> bias, std::span<std::byte> stream);

}  // namespace carrel
