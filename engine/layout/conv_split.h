#pragma once
// How a convolution is divided among threads: by units (whole panels, so spans of tiles), or by rows, where every thread
// goes through all tiles. The executor acts on it and the planner prices it.
#include "engine/layout/map.h"
#include "engine/layout/tiles.h"
#include "engine/layout/winograd.h"

namespace carrel {

struct ConvSplit {
  bool by_rows = false;
  uint32_t parts = 1;
};

// Fetching and decrypting a 32 KiB tile takes about as long as applying it to 24 output pixels (3 us against
// 8192 weights at 60 GFMA/s).
inline constexpr uint64_t kFetchPixels = 24;

// Rows stay with the thread whose cache they are in: divided by units, every thread reads what the others wrote.
// A rough price, for which four rows against three still stay (`run --profile --threads 2` shows the effect).
inline constexpr uint64_t kOthersRowsPercent = 115;

constexpr ConvSplit choose_split(uint32_t units, uint32_t rows, uint32_t width, uint32_t threads, bool streamed) {
  const uint64_t fetch = streamed ? kFetchPixels : 0;
  const uint32_t unit_parts = threads < units ? threads : units;
  const uint32_t row_parts = threads < rows ? threads : rows;
  const uint64_t by_units = ((units + unit_parts - 1) / unit_parts) * (fetch + uint64_t{rows} * width);
  const uint64_t by_rows = units * (fetch + uint64_t{(rows + row_parts - 1) / row_parts} * width);
  // A handful of pixels over one tile is not worth waking anybody.
  if (units * (fetch + uint64_t{rows} * width) < 2 * kFetchPixels) return {false, 1};
  return by_units * kOthersRowsPercent <= by_rows * 100 ? ConvSplit{false, unit_parts} : ConvSplit{true, row_parts};
}

// Fetching, decrypting and transforming a panel's weights takes about as long as this many tiles of Winograd's products.
inline constexpr uint64_t kPanelTiles = 16;

// Winograd's: divided panels share the transformed input; divided tile rows transform their own, and all weights.
constexpr ConvSplit choose_winograd_split(uint32_t units, const WinogradPlanes& planes, uint32_t threads) {
  const auto time = [&](uint32_t unit_count, uint32_t tile_rows) {
    return unit_count * (kPanelTiles + uint64_t{tile_rows} * planes.tiles_wide);
  };
  const uint32_t by_units = threads < units ? threads : units;
  const uint32_t by_rows = threads < planes.tile_rows ? threads : planes.tile_rows;
  const uint64_t units_time = time((units + by_units - 1) / by_units, planes.tile_rows);
  const uint64_t rows_time = time(units, (planes.tile_rows + by_rows - 1) / by_rows);
  return units_time <= rows_time ? ConvSplit{false, by_units} : ConvSplit{true, by_rows};
}

// Tiles of units [begin, end): chunks of a panel stay together, since their sums continue one another.
inline RowRange tiles_of(const TileGrid& grid, RowRange units) {
  return {units.begin * grid.chunks_per_panel, units.end * grid.chunks_per_panel};
}

}  // namespace carrel
