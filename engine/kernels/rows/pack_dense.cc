#include "engine/kernels/rows/pack_dense.h"

#include <cstring>

#include "base/half.h"
#include "engine/layout/dense.h"

namespace carrel {
namespace {

// One panel's part of a tile: taps [tap_begin, tap_end) of output channels [begin, begin + width),
// of which `channels` exist.
struct PanelPart {
  size_t begin, width, channels;
  uint64_t tap_begin, tap_end;
  std::byte* out;
};

void put_half(float value, std::byte* out) {
  const uint16_t half = f16_from_f32(value);
  std::memcpy(out, &half, sizeof(half));
}

// bias or scale of a panel.
void put_tail_row(const PanelPart& part, std::span<const float> all, std::byte* out) {
  for (size_t c = 0; c < part.width; ++c) {
    const float value = c < part.channels && !all.empty() ? all[part.begin + c] : 0.0f;
    std::memcpy(out + c * sizeof(value), &value, sizeof(value));
  }
}

// part(PanelPart) writes its taps; the tail's rows come from `bias` and `scales`.
template <typename Put>
void for_each_part(const TileGrid& grid, std::span<const float> bias, std::span<const float> scales,
                   std::span<std::byte> stream, Put put) {
  const WeightsShape& shape = grid.shape;
  std::memset(stream.data(), 0, stream.size());
  for (uint32_t t = 0; t < grid.tile_count; ++t) {
    const TileInfo tile = tile_info(grid, t);
    std::byte* out = stream.data() + tile_stored_offset(grid, t);
    for (uint32_t p = tile.panel_begin; p < tile.panel_begin + tile.panel_count; ++p) {
      const size_t begin = size_t{p} * kPanelWidth, width = panel_width(shape, p);
      const size_t left = shape.out_channels - begin;
      const PanelPart part = {begin,          width,        left < width ? left : width,
                              tile.tap_begin, tile.tap_end, out};
      put(part);
      out += (part.tap_end - part.tap_begin) *
             dense_tap_bytes(shape.stored, static_cast<uint32_t>(width));
      if (tile.tap_end < grid.taps) continue;
      put_tail_row(part, bias, out);
      if (is_quantized(shape.stored)) put_tail_row(part, scales, out + width * sizeof(float));
      out += dense_tail_bytes(shape.stored, static_cast<uint32_t>(width));
    }
  }
}

void put_i8_rows(const PanelPart& part, std::span<const int8_t> codes, size_t rows) {
  for (size_t c = 0; c < part.channels; ++c) {
    const int8_t* row = codes.data() + (part.begin + c) * rows + part.tap_begin * kDenseTapRows;
    const size_t count = (part.tap_end - part.tap_begin) * kDenseTapRows;
    for (size_t k = 0; k < count; ++k) part.out[k * part.width + c] = std::byte(row[k]);
  }
}

// Row k of a tap is nibble k % 8 of its channel's word k / 8.
void put_i4_tap(const int8_t* codes, size_t channel, std::byte* tap) {
  std::byte* block = tap + channel / 16 * (kDenseTapRows / 2 * 16);
  for (size_t k = 0; k < kDenseTapRows; ++k) {
    std::byte& at = block[(k / 8 * 16 + channel % 16) * 4 + k % 8 / 2];
    at |= std::byte(codes[k] & 15) << (k % 2 * 4);
  }
}

void put_i4_rows(const PanelPart& part, const DenseCodes& codes, size_t taps) {
  const size_t tap_bytes = dense_tap_bytes(StoredType::kI4, static_cast<uint32_t>(part.width));
  for (size_t c = 0; c < part.channels; ++c) {
    const size_t row = (part.begin + c) * taps;
    std::byte* tap = part.out;
    for (uint64_t t = part.tap_begin; t < part.tap_end; ++t, tap += tap_bytes) {
      put_i4_tap(codes.codes.data() + (row + t) * kDenseTapRows, c, tap);
      put_half(codes.steps[row + t], tap + kDenseTapRows / 2 * part.width + c * 2);
    }
  }
}

}  // namespace

void pack_dense_floats(const TileGrid& grid, std::span<const float> weights,
                       std::span<const float> bias, std::span<std::byte> stream) {
  const WeightsShape& shape = grid.shape;
  CARREL_CHECK(!is_quantized(shape.stored));
  const uint64_t rows = dense_rows(shape);
  for_each_part(grid, bias, {}, stream, [&](const PanelPart& part) {
    std::byte* out = part.out;
    const size_t bytes = shape.stored == StoredType::kF16 ? 2 : 4;
    const uint64_t end = part.tap_end * kDenseTapRows;
    for (uint64_t k = part.tap_begin * kDenseTapRows; k < end && k < rows; ++k) {
      const uint64_t source = dense_row_source(shape, k);
      for (size_t c = 0; c < part.channels; ++c) {
        const float w = weights[(part.begin + c) * rows + source];
        if (bytes == 2) put_half(w, out + c * bytes);
        else std::memcpy(out + c * bytes, &w, bytes);
      }
      out += part.width * bytes;
    }
  });
}

void pack_dense(const TileGrid& grid, const DenseCodes& codes, std::span<const float> bias,
                std::span<std::byte> stream) {
  const WeightsShape& shape = grid.shape;
  const size_t taps = grid.taps, rows = taps * kDenseTapRows;
  CARREL_CHECK(shape.kind == WeightsKind::kDense && is_quantized(shape.stored));
  CARREL_CHECK(codes.codes.size() == shape.out_channels * rows);
  CARREL_CHECK(codes.scales.size() == shape.out_channels);
  CARREL_CHECK(shape.stored != StoredType::kI4 || codes.steps.size() == shape.out_channels * taps);
  CARREL_CHECK(bias.empty() || bias.size() == shape.out_channels);
  CARREL_CHECK(stream.size() == grid.stored_bytes);
  for_each_part(grid, bias, codes.scales, stream, [&](const PanelPart& part) {
    if (shape.stored == StoredType::kI8) put_i8_rows(part, codes.codes, rows);
    else put_i4_rows(part, codes, taps);
  });
}

}  // namespace carrel
