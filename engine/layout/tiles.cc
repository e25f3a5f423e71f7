#include "engine/layout/tiles.h"

#include <limits>

#include "base/checked.h"
#include "engine/layout/dense.h"

namespace carrel {
namespace {

constexpr uint32_t kMaxTileElements = kMaxTileBytes / sizeof(float);

Error too_large() {
  return Error(ErrorCode::kInvalidInput, "weights are too large to be cut into tiles");
}

bool panelled(WeightsKind kind) {
  return in_wide_panels(kind) || quantized(kind) || kind == WeightsKind::kDepthwise ||
         kind == WeightsKind::kVectors;
}

uint32_t element_bytes(const WeightsShape& shape) {
  const bool half = shape.stored == StoredType::kF16 && shape.kind != WeightsKind::kVectors;
  return half ? 2 : 4;
}

// Tiles are not expanded, and their sizes are multiples of 64.
bool stored_as_read(const WeightsShape& shape) {
  return shape.kind == WeightsKind::kDense ||
         (shape.kind == WeightsKind::kConv && shape.stored == StoredType::kF32);
}

// Bytes of a panel before its taps.
uint64_t head_bytes(const WeightsShape& shape, uint32_t width) {
  if (shape.kind == WeightsKind::kVectors) return 0;
  return width * (quantized(shape.kind) ? sizeof(int32_t) + sizeof(float) : sizeof(float));
}

// Weight rows of a panel before tap `tap`; quantized: quads.
uint64_t rows_before(const WeightsShape& shape, uint64_t tap) {
  const bool quads = quantized(shape.kind);
  if (!in_wide_panels(shape.kind)) {
    return tap * shape.kernel_h * (quads ? ceil_div(shape.kernel_w, 4) : shape.kernel_w);
  }
  const uint64_t window = uint64_t{shape.kernel_h} * shape.kernel_w;
  const uint64_t full_taps = shape.in_channels / 16 * window;
  const uint64_t full_rows = quads ? 4 : 16;
  if (tap <= full_taps) return tap * full_rows;
  const uint64_t rest = shape.in_channels % 16;
  return full_taps * full_rows + (tap - full_taps) * (quads ? ceil_div(rest, 4) : rest);
}

// Bytes of taps [0, tap) of a panel `width` wide, its bias included unless tap is 0.
uint64_t bytes_before(const WeightsShape& shape, uint32_t width, uint64_t tap, uint32_t bytes) {
  if (tap == 0) return 0;
  if (quantized(shape.kind)) bytes = 4;  // a quad for each channel
  return head_bytes(shape, width) + rows_before(shape, tap) * width * bytes;
}

uint32_t plain_tile_bytes(const TileGrid& grid, uint32_t tile, uint32_t bytes, uint32_t multiple) {
  const uint64_t begin = uint64_t{tile} * kMaxTileElements;
  const uint64_t left = grid.shape.element_count - begin;
  const uint64_t count = left < kMaxTileElements ? left : kMaxTileElements;
  return static_cast<uint32_t>(round_up(count * bytes, multiple));
}

constexpr uint32_t kStoredMultiple = 16;
constexpr uint32_t kExpandedMultiple = 64;

// Taps [begin, end) of `panels` dense panels `width` wide, as one tile.
uint64_t dense_tile_bytes(const TileGrid& grid, uint32_t width, uint64_t panels, uint64_t begin,
                          uint64_t end) {
  const StoredType stored = grid.shape.stored;
  const uint64_t tail = end == grid.taps ? dense_tail_bytes(stored, width) : 0;
  return round_up(panels * ((end - begin) * dense_tap_bytes(stored, width) + tail),
                  kExpandedMultiple);
}

// All chunks of a dense panel that is cut, before chunk `chunk`.
uint64_t dense_chunks_bytes(const TileGrid& grid, uint32_t width, uint64_t chunk) {
  const uint64_t each = dense_tile_bytes(grid, width, 1, 0, grid.taps_per_tile);
  if (chunk < grid.chunks_per_panel) return chunk * each;
  const uint64_t last = uint64_t{grid.chunks_per_panel - 1};
  return last * each + dense_tile_bytes(grid, width, 1, last * grid.taps_per_tile, grid.taps);
}

// The last tile of panels that are not cut may have fewer of them, the last one perhaps narrower.
uint64_t dense_last_tile_bytes(const TileGrid& grid) {
  const uint32_t begin = (grid.tile_count - 1) * grid.panels_per_tile;
  const uint64_t wide = grid.panels - begin - 1;
  const StoredType stored = grid.shape.stored;
  const auto panel_bytes = [&](uint32_t width) {
    return uint64_t{grid.taps} * dense_tap_bytes(stored, width) + dense_tail_bytes(stored, width);
  };
  const uint32_t width = panel_width(grid.shape, grid.panels - 1);
  return round_up(wide * panel_bytes(kPanelWidth) + panel_bytes(width), kExpandedMultiple);
}

// Offset of tile `tile`; tile == tile_count gives the total.
uint64_t dense_offset(const TileGrid& grid, uint32_t tile) {
  if (tile == 0) return 0;
  const uint32_t wide = panel_width(grid.shape, 0);
  if (grid.chunks_per_panel == 1) {
    const uint64_t each = dense_tile_bytes(grid, wide, grid.panels_per_tile, 0, grid.taps);
    if (tile < grid.tile_count) return tile * each;
    return uint64_t{tile - 1} * each + dense_last_tile_bytes(grid);
  }
  const uint32_t panel = tile / grid.chunks_per_panel, chunk = tile % grid.chunks_per_panel;
  const uint64_t per_panel = dense_chunks_bytes(grid, wide, grid.chunks_per_panel);
  if (panel < grid.panels) {
    return panel * per_panel + dense_chunks_bytes(grid, panel_width(grid.shape, panel), chunk);
  }
  return uint64_t{panel - 1} * per_panel +
         dense_chunks_bytes(grid, panel_width(grid.shape, panel - 1), grid.chunks_per_panel);
}

// Offset of tile `tile` with elements of `bytes` each; tile == tile_count gives the total.
uint64_t offset(const TileGrid& grid, uint32_t tile, uint32_t bytes, uint32_t multiple) {
  if (tile == 0) return 0;
  const WeightsShape& shape = grid.shape;
  if (shape.kind == WeightsKind::kPlain) {
    const uint64_t last = plain_tile_bytes(grid, tile - 1, bytes, multiple);
    return uint64_t{tile - 1} * kMaxTileElements * bytes + last;
  }
  const uint32_t first_panel =
      grid.chunks_per_panel > 1 ? tile / grid.chunks_per_panel : tile * grid.panels_per_tile;
  const uint32_t panel = first_panel < grid.panels ? first_panel : grid.panels;
  // Only the last panel can be narrower, so all panels before `panel` but perhaps that one are
  // equal.
  uint64_t before = uint64_t{panel} * bytes_before(shape, panel_width(shape, 0), grid.taps, bytes);
  if (panel == grid.panels && panel > 1) {
    before -= bytes_before(shape, panel_width(shape, 0), grid.taps, bytes);
    before += bytes_before(shape, panel_width(shape, panel - 1), grid.taps, bytes);
  }
  if (grid.chunks_per_panel == 1 || panel == grid.panels) return before;
  const uint32_t chunk = tile % grid.chunks_per_panel;
  return before + bytes_before(shape, panel_width(shape, panel),
                               uint64_t{chunk} * grid.taps_per_tile, bytes);
}

Status check_shape(const WeightsShape& shape) {
  const bool known = shape.kind == WeightsKind::kPlain || panelled(shape.kind);
  const StoredType most = quantized(shape.kind)               ? StoredType::kF32
                          : shape.kind == WeightsKind::kDense ? StoredType::kI4
                                                              : StoredType::kF16;
  if (!known || shape.stored > most) {
    return Error(ErrorCode::kInvalidInput, "unknown kind of weights %u, type %u",
                 static_cast<unsigned>(shape.kind), static_cast<unsigned>(shape.stored));
  }
  const bool empty = shape.kind == WeightsKind::kPlain
                         ? shape.element_count == 0
                         : shape.out_channels == 0 || shape.kernel_h == 0 || shape.kernel_w == 0 ||
                               (in_wide_panels(shape.kind) && shape.in_channels == 0);
  if (empty) return Error(ErrorCode::kInvalidInput, "weights have a dimension of 0");
  // A bound that keeps every later product within 64 bits.
  constexpr uint64_t kMaxElements = uint64_t{1} << 44;
  uint64_t count = shape.element_count;
  if (shape.kind != WeightsKind::kPlain) {
    count = in_wide_panels(shape.kind) ? shape.in_channels : 1;
    if (!checked_mul(count, shape.kernel_h, &count) ||
        !checked_mul(count, shape.kernel_w, &count) || !checked_add(count, 1, &count) ||
        !checked_mul(count, round_up(shape.out_channels, kPanelWidth), &count)) {
      return too_large();
    }
  }
  if (count > kMaxElements) return too_large();
  return ok_status();
}

// Chunks of nearly equal length rather than a short last one, each a multiple of `multiple` taps.
void cut_panels(TileGrid* grid, uint64_t most_taps, uint64_t multiple = 1) {
  const uint64_t chunks = ceil_div(grid->taps, most_taps);
  grid->taps_per_tile = static_cast<uint32_t>(round_up(ceil_div(grid->taps, chunks), multiple));
  grid->chunks_per_panel = static_cast<uint32_t>(ceil_div(grid->taps, grid->taps_per_tile));
  grid->panels_per_tile = 1;
}

void fit_dense_panels(TileGrid* grid) {
  const StoredType stored = grid->shape.stored;
  const uint32_t width = panel_width(grid->shape, 0);
  // By full panels, so that the rows of a tile are bounded.
  const uint32_t most = kDenseTileBytes / dense_tap_bytes(stored, kPanelWidth);
  grid->taps_per_tile = grid->taps;
  grid->chunks_per_panel = 1;
  if (grid->taps > most) return cut_panels(grid, most);
  const uint32_t panel =
      grid->taps * dense_tap_bytes(stored, width) + dense_tail_bytes(stored, width);
  const uint32_t fitting = panel < kDenseTileBytes ? kDenseTileBytes / panel : 1;
  grid->panels_per_tile = fitting < grid->panels ? fitting : grid->panels;
}

// Taps and how many of them, or whole panels, fit into a tile. Returns false if one does not fit.
bool fit_panels(TileGrid* grid) {
  const WeightsShape& shape = grid->shape;
  if (shape.kind == WeightsKind::kDense) {
    fit_dense_panels(grid);
    return true;
  }
  const uint32_t width = panel_width(shape, 0);
  const uint64_t panel_bytes = bytes_before(shape, width, grid->taps, sizeof(float));
  grid->taps_per_tile = grid->taps;
  grid->chunks_per_panel = 1;
  if (panel_bytes <= kMaxTileBytes) {
    const uint64_t fitting = kMaxTileBytes / panel_bytes;
    grid->panels_per_tile = static_cast<uint32_t>(fitting < grid->panels ? fitting : grid->panels);
    return true;
  }
  if (!in_wide_panels(shape.kind)) return false;
  const uint64_t head = head_bytes(shape, width);
  const uint64_t tap_bytes = bytes_before(shape, width, 1, sizeof(float)) - head;
  const uint64_t most = (kMaxTileBytes - head) / tap_bytes;
  // Whole kernels of an input block where they fit: what Winograd's filter transform needs.
  const uint64_t area = uint64_t{shape.kernel_h} * shape.kernel_w;
  const uint64_t multiple = area <= most ? area : 1;
  cut_panels(grid, most - most % multiple, multiple);
  return true;
}

uint64_t count_taps(const WeightsShape& shape) {
  if (shape.kind == WeightsKind::kDense) return ceil_div(dense_rows(shape), kDenseTapRows);
  if (!in_wide_panels(shape.kind)) return 1;
  return ceil_div(shape.in_channels, 16) * shape.kernel_h * shape.kernel_w;
}

}  // namespace

uint32_t panel_width(const WeightsShape& shape, uint32_t panel) {
  if (!in_wide_panels(shape.kind)) return 16;
  const uint64_t begin = uint64_t{panel} * kPanelWidth;
  return shape.out_channels - begin <= 16 ? 16 : kPanelWidth;
}

Result<TileGrid> make_tile_grid(const WeightsShape& shape) {
  TileGrid grid;
  grid.shape = shape;
  if (shape.kind == WeightsKind::kNone) return grid;
  CARREL_RETURN_IF_ERROR(check_shape(shape));
  uint64_t tiles = 0;
  if (shape.kind == WeightsKind::kPlain) {
    grid.panels = grid.taps = grid.panels_per_tile = grid.taps_per_tile = grid.chunks_per_panel = 1;
    tiles = ceil_div(shape.element_count, kMaxTileElements);
  } else {
    const uint64_t panel_channels = in_wide_panels(shape.kind) ? kPanelWidth : 16;
    const uint64_t taps = count_taps(shape);
    if (taps > std::numeric_limits<uint32_t>::max()) return too_large();
    grid.taps = static_cast<uint32_t>(taps);
    grid.panels = static_cast<uint32_t>(ceil_div(shape.out_channels, panel_channels));
    if (!fit_panels(&grid)) {
      return Error(ErrorCode::kInvalidInput,
                   "a %u x %u kernel does not fit into a tile of %u bytes", shape.kernel_h,
                   shape.kernel_w, kMaxTileBytes);
    }
    tiles = grid.chunks_per_panel > 1 ? uint64_t{grid.panels} * grid.chunks_per_panel
                                      : ceil_div(grid.panels, grid.panels_per_tile);
  }
  if (tiles > std::numeric_limits<uint32_t>::max()) return too_large();
  grid.tile_count = static_cast<uint32_t>(tiles);
  grid.stored_bytes = tile_stored_offset(grid, grid.tile_count);
  grid.expanded_bytes = tile_expanded_offset(grid, grid.tile_count);
  // Tile 0 has as many taps and as wide panels as any other; in dense ones the last of a panel may
  // be larger by its tail.
  for (uint32_t t : {0u, grid.chunks_per_panel - 1}) {
    const TileInfo large = tile_info(grid, t);
    if (large.stored_bytes > grid.max_stored_bytes) grid.max_stored_bytes = large.stored_bytes;
    if (large.expanded_bytes > grid.max_expanded_bytes)
      grid.max_expanded_bytes = large.expanded_bytes;
  }
  return grid;
}

TileInfo tile_info(const TileGrid& grid, uint32_t tile) {
  CARREL_CHECK(tile < grid.tile_count);
  TileInfo info;
  info.tap_end = grid.taps;
  if (grid.shape.kind == WeightsKind::kPlain) {
    info.panel_count = 1;
    info.element_begin = uint64_t{tile} * kMaxTileElements;
  } else if (grid.chunks_per_panel > 1) {
    info.panel_begin = tile / grid.chunks_per_panel;
    info.panel_count = 1;
    info.tap_begin = tile % grid.chunks_per_panel * grid.taps_per_tile;
    if (grid.taps - info.tap_begin > grid.taps_per_tile) {
      info.tap_end = info.tap_begin + grid.taps_per_tile;
    }
  } else {
    info.panel_begin = tile * grid.panels_per_tile;
    const uint32_t left = grid.panels - info.panel_begin;
    info.panel_count = left < grid.panels_per_tile ? left : grid.panels_per_tile;
  }
  info.stored_offset = tile_stored_offset(grid, tile);
  info.stored_bytes =
      static_cast<uint32_t>(tile_stored_offset(grid, tile + 1) - info.stored_offset);
  info.expanded_bytes = info.stored_bytes;
  if (!stored_as_read(grid.shape)) {
    info.expanded_bytes = static_cast<uint32_t>(tile_expanded_offset(grid, tile + 1) -
                                                tile_expanded_offset(grid, tile));
  }
  return info;
}

uint64_t tile_stored_offset(const TileGrid& grid, uint32_t tile) {
  if (grid.shape.kind == WeightsKind::kDense) return dense_offset(grid, tile);
  return offset(grid, tile, element_bytes(grid.shape), kStoredMultiple);
}

uint64_t tile_expanded_offset(const TileGrid& grid, uint32_t tile) {
  if (grid.shape.kind == WeightsKind::kDense) return dense_offset(grid, tile);
  return offset(grid, tile, sizeof(float), kExpandedMultiple);
}

}  // namespace carrel
