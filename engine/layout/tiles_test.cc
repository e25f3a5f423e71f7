#include "engine/layout/tiles.h"

#include <gtest/gtest.h>

#include <random>

#include "base/checked.h"
#include "engine/layout/dense.h"

namespace carrel {
namespace {

WeightsShape conv(uint32_t in, uint32_t out, uint32_t kh, uint32_t kw,
                  StoredType stored = StoredType::kF32) {
  return {.kind = WeightsKind::kConv,
          .stored = stored,
          .in_channels = in,
          .out_channels = out,
          .kernel_h = kh,
          .kernel_w = kw,
          .element_count = 0};
}

uint32_t tap_rows(const WeightsShape& shape, uint32_t tap) {
  const uint32_t block = tap / (shape.kernel_h * shape.kernel_w);
  return std::min(16u, shape.in_channels - 16 * block);
}

// What the comment at the top of tiles.h says, tap by tap.
uint64_t tile_bytes(const WeightsShape& shape, const TileInfo& info, uint32_t element) {
  uint64_t bytes = 0;
  for (uint32_t p = info.panel_begin; p < info.panel_begin + info.panel_count; ++p) {
    const uint32_t width = panel_width(shape, p);
    const bool quads = shape.kind == WeightsKind::kQuantConv;
    if (info.tap_begin == 0) bytes += width * (quads ? 8 : 4);
    for (uint32_t t = info.tap_begin; t < info.tap_end; ++t) {
      const uint32_t rows = tap_rows(shape, t);
      bytes += uint64_t{quads ? (rows + 3) / 4 * 4 : rows} * width * element;
    }
  }
  return bytes;
}

// What the comment at the top of dense.h says.
uint64_t dense_bytes(const TileGrid& grid, const TileInfo& info) {
  constexpr uint32_t kBits[] = {32, 16, 8, 4};
  const StoredType stored = grid.shape.stored;
  uint64_t bytes = 0;
  for (uint32_t p = info.panel_begin; p < info.panel_begin + info.panel_count; ++p) {
    const uint32_t width = panel_width(grid.shape, p), taps = info.tap_end - info.tap_begin;
    bytes += uint64_t{taps} * 32 * width * kBits[static_cast<size_t>(stored)] / 8;
    if (stored == StoredType::kI4) bytes += uint64_t{taps} * width * 2;
    if (info.tap_end == grid.taps) bytes += uint64_t{width} * (is_quantized(stored) ? 8 : 4);
  }
  return round_up(bytes, 64);
}

// Tiles follow one another without gap or overlap, offsets are the sums of sizes, sizes are
// bounded.
void check_grid(const WeightsShape& shape) {
  Result<TileGrid> made = make_tile_grid(shape);
  ASSERT_TRUE(made.ok()) << made.error().message();
  const TileGrid& grid = *made;
  uint64_t stored = 0, expanded = 0;
  uint32_t panel = 0, tap = 0, max_stored = 0, max_expanded = 0;
  for (uint32_t t = 0; t < grid.tile_count; ++t) {
    const TileInfo info = tile_info(grid, t);
    ASSERT_EQ(tile_stored_offset(grid, t), stored);
    ASSERT_EQ(tile_expanded_offset(grid, t), expanded);
    ASSERT_EQ(info.stored_bytes % 16, 0u);
    ASSERT_EQ(info.expanded_bytes % 64, 0u);
    ASSERT_GT(info.stored_bytes, 0u);
    ASSERT_LE(info.expanded_bytes, kMaxTileBytes);
    ASSERT_LE(info.stored_bytes, info.expanded_bytes);
    if (shape.kind == WeightsKind::kPlain) {
      ASSERT_EQ(info.element_begin * 4, expanded);
    } else {
      ASSERT_EQ(info.panel_begin, panel);
      ASSERT_EQ(info.tap_begin, tap);
      ASSERT_GT(info.tap_end, info.tap_begin);
      ASSERT_GE(info.panel_count, 1u);
      if (info.tap_begin != 0 || info.tap_end != grid.taps) {
        ASSERT_EQ(info.panel_count, 1u);
      }
      tap = info.tap_end == grid.taps ? 0 : info.tap_end;
      if (tap == 0) panel += info.panel_count;
    }
    if (quantized(shape.kind)) {
      ASSERT_EQ(info.stored_bytes, info.expanded_bytes);
    }
    if (shape.kind == WeightsKind::kQuantConv) {
      ASSERT_EQ(tile_bytes(shape, info, 1), info.stored_bytes);
    }
    if (shape.kind == WeightsKind::kConv) {
      ASSERT_EQ(tile_bytes(shape, info, 4), info.expanded_bytes);
      ASSERT_EQ(tile_bytes(shape, info, shape.stored == StoredType::kF16 ? 2 : 4),
                info.stored_bytes);
    }
    if (shape.kind == WeightsKind::kDense) {
      ASSERT_EQ(dense_bytes(grid, info), info.stored_bytes);
      ASSERT_EQ(info.expanded_bytes, info.stored_bytes);
      ASSERT_LE((info.tap_end - info.tap_begin) * kDenseTapRows, kDenseMaxRows);
    }
    stored += info.stored_bytes;
    expanded += info.expanded_bytes;
    max_stored = std::max(max_stored, info.stored_bytes);
    max_expanded = std::max(max_expanded, info.expanded_bytes);
  }
  if (shape.kind != WeightsKind::kPlain) {
    ASSERT_EQ(panel, grid.panels);
  }
  ASSERT_EQ(stored, grid.stored_bytes);
  ASSERT_EQ(expanded, grid.expanded_bytes);
  ASSERT_EQ(max_stored, grid.max_stored_bytes);
  ASSERT_EQ(max_expanded, grid.max_expanded_bytes);
}

TEST(Tiles, ConvolutionsOfRealNetworks) {
  for (StoredType stored : {StoredType::kF32, StoredType::kF16}) {
    check_grid(conv(3, 64, 3, 3, stored));
    check_grid(conv(512, 512, 3, 3, stored));
    check_grid(conv(256, 64, 1, 1, stored));
    check_grid(conv(3, 96, 11, 11, stored));
    check_grid(conv(512, 4096, 7, 7, stored));
    check_grid(conv(2048, 1000, 1, 1, stored));
    check_grid(conv(144, 24, 1, 1, stored));
  }
}

WeightsShape dense(uint32_t in, uint32_t out, uint32_t kh, uint32_t kw, StoredType stored) {
  WeightsShape shape = conv(in, out, kh, kw, stored);
  shape.kind = WeightsKind::kDense;
  return shape;
}

constexpr StoredType kAllTypes[] = {StoredType::kF32, StoredType::kF16, StoredType::kI8,
                                    StoredType::kI4};

TEST(Tiles, FullyConnectedLayersOfRealNetworks) {
  for (StoredType stored : kAllTypes) {
    check_grid(dense(512, 4096, 7, 7, stored));
    check_grid(dense(4096, 1000, 1, 1, stored));
    check_grid(dense(1280, 1000, 1, 1, stored));
    check_grid(dense(64, 10, 1, 1, stored));
    check_grid(dense(256, 2, 1, 1, stored));
    check_grid(dense(1, 10, 28, 28, stored));
  }
}

TEST(Tiles, QuantizedFullyConnectedLayersAreSmall) {
  const auto bytes = [](StoredType stored) {
    return make_tile_grid(dense(512, 4096, 7, 7, stored))->stored_bytes +
           make_tile_grid(dense(4096, 4096, 1, 1, stored))->stored_bytes +
           make_tile_grid(dense(4096, 1000, 1, 1, stored))->stored_bytes;
  };
  const uint64_t whole = bytes(StoredType::kF32);
  EXPECT_EQ(bytes(StoredType::kF16) * 1000 / whole, 500u);
  EXPECT_EQ(bytes(StoredType::kI8) * 1000 / whole, 250u);
  EXPECT_LE(bytes(StoredType::kI4) * 7, whole);
}

TEST(Tiles, RowsOfFullyConnectedLayersAreEachTakenOnce) {
  for (uint32_t channels : {1u, 16u, 19u, 50u}) {
    const WeightsShape shape = dense(channels, 1, 3, 5, StoredType::kF32);
    std::vector<int> seen(dense_rows(shape));
    for (uint64_t row = 0; row < seen.size(); ++row) ++seen[dense_row_source(shape, row)];
    for (int count : seen) ASSERT_EQ(count, 1);
  }
  // The second channel of the second pixel.
  EXPECT_EQ(dense_row_source(dense(50, 1, 3, 5, StoredType::kF32), 17), 16u);
  EXPECT_EQ(dense_row_source(dense(50, 1, 3, 5, StoredType::kF32), 48 * 15 + 3), 49 * 15 + 1u);
}

TEST(Tiles, QuantizedTypesAreForFullyConnectedLayersOnly) {
  for (StoredType stored : {StoredType::kI8, StoredType::kI4}) {
    EXPECT_TRUE(make_tile_grid(dense(64, 64, 1, 1, stored)).ok());
    for (uint8_t kind = 1; kind <= 4; ++kind) {
      WeightsShape shape = conv(64, 64, 1, 1, stored);
      shape.kind = static_cast<WeightsKind>(kind);
      shape.element_count = 64;
      EXPECT_FALSE(make_tile_grid(shape).ok());
    }
  }
  EXPECT_FALSE(make_tile_grid(dense(64, 64, 1, 1, static_cast<StoredType>(4))).ok());
}

TEST(Tiles, RandomShapesAreCoveredExactly) {
  std::mt19937 engine(7);
  const auto random = [&] { return static_cast<uint32_t>(engine()); };
  for (int i = 0; i < 400; ++i) {
    SCOPED_TRACE(i);
    WeightsShape shape;
    shape.kind = static_cast<WeightsKind>(1 + random() % static_cast<uint32_t>(kLastWeightsKind));
    if (!quantized(shape.kind)) {
      shape.stored = kAllTypes[random() % (shape.kind == WeightsKind::kDense ? 4 : 2)];
    }
    shape.in_channels = 1 + random() % 300;
    shape.out_channels = 1 + random() % 200;
    shape.kernel_h = 1 + random() % 8;
    shape.kernel_w = 1 + random() % 8;
    shape.element_count = 1 + random() % 100000;
    check_grid(shape);
  }
}

TEST(Tiles, PanelsAndWidths) {
  EXPECT_EQ(panel_width(conv(1, 16, 1, 1), 0), 16u);
  EXPECT_EQ(panel_width(conv(1, 17, 1, 1), 0), 32u);
  EXPECT_EQ(panel_width(conv(1, 48, 1, 1), 1), 16u);
  EXPECT_EQ(panel_width(conv(1, 49, 1, 1), 1), 32u);
  const TileGrid grid = *make_tile_grid(conv(64, 256, 1, 1));
  EXPECT_EQ(grid.panels, 8u);
  EXPECT_EQ(grid.panels_per_tile, 3u);  // 3 * (128 + 64 * 128) bytes
  EXPECT_EQ(grid.tile_count, 3u);
}

TEST(Tiles, VectorsAreAlwaysFp32) {
  WeightsShape shape{.kind = WeightsKind::kVectors,
                     .stored = StoredType::kF16,
                     .in_channels = 0,
                     .out_channels = 33,
                     .kernel_h = 2,
                     .kernel_w = 1,
                     .element_count = 0};
  const TileGrid grid = *make_tile_grid(shape);
  EXPECT_EQ(grid.stored_bytes, 3u * 2 * 64);
  EXPECT_EQ(grid.stored_bytes, grid.expanded_bytes);
}

TEST(Tiles, QuantizedWeightsHaveOneForm) {
  WeightsShape shape = conv(512, 512, 3, 3);
  shape.kind = WeightsKind::kQuantConv;
  const TileGrid grid = *make_tile_grid(shape);
  EXPECT_EQ(grid.expanded_bytes, 16u * (32 * 8 + 512 * 9 * 32));
  EXPECT_EQ(grid.chunks_per_panel, 5u);
  shape.stored = StoredType::kF16;
  EXPECT_FALSE(make_tile_grid(shape).ok());
  WeightsShape depthwise{.kind = WeightsKind::kQuantDepthwise, .out_channels = 33, .kernel_h = 3, .kernel_w = 5};
  EXPECT_EQ(make_tile_grid(depthwise)->stored_bytes, 3u * (128 + 3 * 2 * 64));
}

TEST(Tiles, NoWeightsHaveNoTiles) {
  const Result<TileGrid> grid = make_tile_grid(WeightsShape{});
  ASSERT_TRUE(grid.ok());
  EXPECT_EQ(grid->tile_count, 0u);
}

TEST(Tiles, HostileShapesAreErrors) {
  const uint32_t huge = 0xffffffffu;
  WeightsShape shapes[] = {conv(0, 1, 1, 1),
                           conv(1, 0, 1, 1),
                           conv(1, 1, 0, 1),
                           conv(1, 1, 1, 0),
                           conv(huge, huge, huge, huge),
                           conv(1, huge, huge, 1),
                           conv(huge, 1, huge, huge),
                           conv(huge, huge, 1, 1)};
  for (const WeightsShape& shape : shapes) EXPECT_FALSE(make_tile_grid(shape).ok());
  WeightsShape plain{.kind = WeightsKind::kPlain};
  EXPECT_FALSE(make_tile_grid(plain).ok());
  plain.element_count = ~uint64_t{0};
  EXPECT_FALSE(make_tile_grid(plain).ok());
  WeightsShape unknown = conv(1, 1, 1, 1);
  unknown.kind = static_cast<WeightsKind>(9);
  EXPECT_FALSE(make_tile_grid(unknown).ok());
  unknown = conv(1, 1, 1, 1, static_cast<StoredType>(7));
  EXPECT_FALSE(make_tile_grid(unknown).ok());
  WeightsShape depthwise{.kind = WeightsKind::kDepthwise,
                         .stored = StoredType::kF32,
                         .in_channels = 0,
                         .out_channels = 16,
                         .kernel_h = 23,
                         .kernel_w = 23,
                         .element_count = 0};
  EXPECT_FALSE(make_tile_grid(depthwise).ok());
}

}  // namespace
}  // namespace carrel
