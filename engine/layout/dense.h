#pragma once
// Weights of fully-connected layers (WeightsKind::kDense): what lies in a tile.
//
// The reduction runs over a whole map of C x H x W: for each block of 16 channels, for y, for x, for
// each channel of the block. It is cut into *taps* of 32 rows, the last one filled up with zeros.
// A panel (32 output channels, or the last 16) is its taps and then a tail:
//   kF32, kF16: tap = 32 rows of `width` weights; tail = [bias: width f32]
//   kI8:        tap = 32 rows of `width` int8;    tail = [bias][scale: width f32]
//               weight = scale * code
//   kI4:        tap = per block of 16 channels 4 x 16 words of 32 bits; then [step: width f16].
//               Nibble j (from the lowest) of word q * 16 + c: row 8 q + j of channel c.
//               tail = [bias][scale: width f32]; weight = scale * step * i4_value(nibble)
// Kernels read tiles as they are stored. Every tile is filled up with zeros to 64 bytes.
#include "engine/layout/tiles.h"

namespace carrel {

inline constexpr uint32_t kDenseTapRows = 32;
inline constexpr uint32_t kI4Codes = 16;
// Weights of a tile, its tail not counted. Read from L1 right after its decryption (docs/WEIGHTS.md).
inline constexpr uint32_t kDenseTileBytes = 16 * 1024;
// Rows of a tile at most: those of 4-bit panels of full width.
inline constexpr uint32_t kDenseMaxRows = kDenseTileBytes / (kPanelWidth / 2);

// The 16 numbers of a 4-bit weight: odd and steeper outwards, which fits bell-shaped weights better
// than equal steps at the same cost; exact in float32.
constexpr float i4_value(uint32_t code) {
  const float t = static_cast<float>(code) - 8.0f;
  return t * (1.0f + t * t * 0.0078125f);
}

constexpr bool is_quantized(StoredType stored) {
  return stored == StoredType::kI8 || stored == StoredType::kI4;
}
// Elements of the reduction, without what fills up the last tap.
constexpr uint64_t dense_rows(const WeightsShape& shape) {
  return uint64_t{shape.in_channels} * shape.kernel_h * shape.kernel_w;
}
// Bytes of one tap of a panel `width` wide.
constexpr uint32_t dense_tap_bytes(StoredType stored, uint32_t width) {
  switch (stored) {
    case StoredType::kF32:
      return kDenseTapRows * width * 4;
    case StoredType::kF16:
      return kDenseTapRows * width * 2;
    case StoredType::kI8:
      return kDenseTapRows * width;
    case StoredType::kI4:
      return (kDenseTapRows / 2 + 2) * width;
  }
  return 0;
}
constexpr uint32_t dense_tail_bytes(StoredType stored, uint32_t width) {
  return (is_quantized(stored) ? 8 : 4) * width;
}
// Where row `row` of the reduction lies in ONNX's order (channel, y, x).
constexpr uint64_t dense_row_source(const WeightsShape& shape, uint64_t row) {
  const uint64_t area = uint64_t{shape.kernel_h} * shape.kernel_w;
  const uint64_t full = shape.in_channels / 16 * area * 16;
  const uint64_t rest = shape.in_channels % 16;
  const uint64_t position = row < full ? row / 16 : full / 16 + (row - full) / rest;
  const uint64_t lane = row < full ? row % 16 : (row - full) % rest;
  return (position / area * 16 + lane) * area + position % area;
}

}  // namespace carrel
