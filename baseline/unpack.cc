#include "baseline/unpack.h"

#include <algorithm>
#include <cstring>

#include "base/half.h"
#include "engine/layout/dense.h"

namespace carrel::unmodified {
namespace {

// Goes over a tile row by row, as fp32.
class RowReader {
 public:
  explicit RowReader(const std::byte* at) : at_(at) {}

  // The next `count` <= kPanelWidth numbers; valid until the next call.
  const float* next(size_t count, StoredType stored) {
    if (stored == StoredType::kF32) {
      std::memcpy(row_, at_, count * sizeof(float));
      at_ += count * sizeof(float);
      return row_;
    }
    for (size_t i = 0; i < count; ++i) {
      uint16_t half;
      std::memcpy(&half, at_ + i * sizeof(half), sizeof(half));
      row_[i] = f32_from_f16(half);
    }
    at_ += count * sizeof(uint16_t);
    return row_;
  }

 private:
  const std::byte* at_;
  float row_[kPanelWidth];
};

// Output channels [begin, begin + channels) that really exist of one panel or block.
struct Channels {
  size_t begin, channels, width;
};

Channels channels_of(const WeightsShape& shape, size_t panel, size_t pitch, size_t width) {
  const size_t begin = panel * pitch;
  return {begin, std::min<size_t>(width, shape.out_channels - begin), width};
}

void put_bias(const Channels& panel, const float* row, float* bias) {
  if (bias != nullptr) std::copy_n(row, panel.channels, bias + panel.begin);
}

// One row of weights: those of input channel `in` at kernel position `position`.
void put_conv_row(const WeightsShape& shape, const UnpackTarget& target, const Channels& panel,
                  size_t in, size_t position, const float* row) {
  const size_t area = size_t{shape.kernel_h} * shape.kernel_w;
  const size_t group_ins = shape.in_channels / target.merged_groups;
  const size_t group_outs = shape.out_channels / target.merged_groups;
  for (size_t c = 0; c < panel.channels; ++c) {
    const size_t out = panel.begin + c;
    if (out / group_outs != in / group_ins) continue;
    target.weights[(out * group_ins + in % group_ins) * area + position] = row[c];
  }
}

void unpack_conv(const WeightsShape& shape, const TileInfo& tile, RowReader in,
                 const UnpackTarget& target) {
  const uint32_t area = shape.kernel_h * shape.kernel_w;
  for (uint32_t p = tile.panel_begin; p < tile.panel_begin + tile.panel_count; ++p) {
    const Channels panel = channels_of(shape, p, kPanelWidth, panel_width(shape, p));
    if (tile.tap_begin == 0) put_bias(panel, in.next(panel.width, StoredType::kF32), target.bias);
    for (uint32_t tap = tile.tap_begin; tap < tile.tap_end; ++tap) {
      const uint32_t block = tap / area * 16, end = std::min(block + 16, shape.in_channels);
      for (uint32_t i = block; i < end; ++i)
        put_conv_row(shape, target, panel, i, tap % area, in.next(panel.width, shape.stored));
    }
  }
}

void unpack_depthwise(const WeightsShape& shape, const TileInfo& tile, RowReader in,
                      const UnpackTarget& target) {
  const size_t area = size_t{shape.kernel_h} * shape.kernel_w;
  for (uint32_t b = tile.panel_begin; b < tile.panel_begin + tile.panel_count; ++b) {
    const Channels block = channels_of(shape, b, 16, 16);
    put_bias(block, in.next(block.width, StoredType::kF32), target.bias);
    for (size_t position = 0; position < area; ++position) {
      const float* row = in.next(block.width, shape.stored);
      for (size_t c = 0; c < block.channels; ++c)
        target.weights[(block.begin + c) * area + position] = row[c];
    }
  }
}

void unpack_vectors(const WeightsShape& shape, const TileInfo& tile, RowReader in,
                    const UnpackTarget& target) {
  const size_t rows = size_t{shape.kernel_h} * shape.kernel_w;
  for (uint32_t b = tile.panel_begin; b < tile.panel_begin + tile.panel_count; ++b) {
    const Channels block = channels_of(shape, b, 16, 16);
    for (size_t r = 0; r < rows; ++r) {
      const float* row = in.next(block.width, StoredType::kF32);
      std::copy_n(row, block.channels, target.weights + r * shape.out_channels + block.begin);
    }
  }
}

void unpack_dense(const TileGrid& grid, const TileInfo& tile, RowReader in,
                  const UnpackTarget& target) {
  const WeightsShape& shape = grid.shape;
  const uint64_t rows = dense_rows(shape);
  for (uint32_t p = tile.panel_begin; p < tile.panel_begin + tile.panel_count; ++p) {
    const Channels panel = channels_of(shape, p, kPanelWidth, panel_width(shape, p));
    const uint64_t end = uint64_t{tile.tap_end} * kDenseTapRows;
    for (uint64_t k = uint64_t{tile.tap_begin} * kDenseTapRows; k < end; ++k) {
      const float* row = in.next(panel.width, shape.stored);
      if (k >= rows) continue;  // fills up the last tap
      float* column = target.weights + panel.begin * rows + dense_row_source(shape, k);
      for (size_t c = 0; c < panel.channels; ++c) column[c * rows] = row[c];
    }
    if (tile.tap_end == grid.taps)
      put_bias(panel, in.next(panel.width, StoredType::kF32), target.bias);
  }
}

void unpack_plain(const WeightsShape& shape, const TileInfo& tile, RowReader in,
                  const UnpackTarget& target) {
  const uint64_t end =
      std::min(shape.element_count, tile.element_begin + kMaxTileBytes / sizeof(float));
  for (uint64_t i = tile.element_begin; i < end; i += kPanelWidth) {
    const size_t count = std::min<uint64_t>(kPanelWidth, end - i);
    std::copy_n(in.next(count, shape.stored), count, target.weights + i);
  }
}

}  // namespace

bool can_unpack(const WeightsShape& shape) {
  return shape.kind != WeightsKind::kNone && !quantized(shape.kind) && !is_quantized(shape.stored);
}

void unpack_tile(const TileGrid& grid, uint32_t tile, const std::byte* plain,
                 const UnpackTarget& target) {
  const TileInfo info = tile_info(grid, tile);
  const RowReader in(plain);
  switch (grid.shape.kind) {
    case WeightsKind::kConv:
      return unpack_conv(grid.shape, info, in, target);
    case WeightsKind::kDepthwise:
      return unpack_depthwise(grid.shape, info, in, target);
    case WeightsKind::kVectors:
      return unpack_vectors(grid.shape, info, in, target);
    case WeightsKind::kDense:
      return unpack_dense(grid, info, in, target);
    case WeightsKind::kPlain:
      return unpack_plain(grid.shape, info, in, target);
    case WeightsKind::kNone:
    case WeightsKind::kQuantConv:
    case WeightsKind::kQuantDepthwise:
      break;
  }
  CARREL_CHECK(can_unpack(grid.shape));
}

}  // namespace carrel::unmodified
