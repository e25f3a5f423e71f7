#pragma once
// How a convolution is divided among threads.
#include "engine/layout/map.h"
#include "engine/layout/tiles.h"

namespace carrel {

// How a convolution is divided: by units (whole panels, so spans of tiles), or by rows, where every thread goes
// through all tiles.
struct ConvSplit {
  bool by_rows = false;
  uint32_t parts = 1;
};

// Fetching and decrypting a 32 KiB tile takes about as long as applying it to 24 output pixels (3 us against
// 8192 weights at 60 GFMA/s).
inline constexpr uint64_t kTilePixels = 24;

// Rows stay with the thread whose cache they are in: divided by units, every thread reads what the others wrote.
// A rough price, for which four rows against three still stay (`run --profile --threads 2` shows the effect).
inline constexpr uint64_t kOthersRowsPercent = 115;

inline ConvSplit choose_split(uint32_t units, RowRange rows, uint32_t width, uint32_t threads, bool streamed) {
  const uint64_t fetch = streamed ? kTilePixels : 0;
  const uint32_t row_count = rows.end - rows.begin;
  const uint32_t unit_parts = threads < units ? threads : units;
  const uint32_t row_parts = threads < row_count ? threads : row_count;
  const uint64_t by_units = ((units + unit_parts - 1) / unit_parts) * (fetch + uint64_t{row_count} * width);
  const uint64_t by_rows = units * (fetch + uint64_t{(row_count + row_parts - 1) / row_parts} * width);
  // A handful of pixels over one tile is not worth waking anybody.
  if (units * (fetch + uint64_t{row_count} * width) < 2 * kTilePixels) return {false, 1};
  return by_units * kOthersRowsPercent <= by_rows * 100 ? ConvSplit{false, unit_parts} : ConvSplit{true, row_parts};
}

// Tiles of units [begin, end): chunks of a panel stay together, since their sums continue one another.
inline RowRange tiles_of(const TileGrid& grid, RowRange units) {
  return {units.begin * grid.chunks_per_panel, units.end * grid.chunks_per_panel};
}

}  // namespace carrel
