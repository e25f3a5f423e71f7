#pragma once
// The canonical layout of weights in a sealed model, and how it is cut into tiles (AEAD units).
// Independent of ISA, budget and thread count. Everything here is public geometry.
//
// Convolution (dense, one group): output channels in *panels* of 32 (the last one 16 wide if at
// most 16 channels remain; channels past Cout are zero). A panel is a head row, the bias, and then
// one row of `width` weights per reduction index k, in the order of *taps*: for input block ib, for
// kh, for kw: one tap of min(16, Cin - 16 ib) rows, one per input channel.
//   panel = [bias: width f32][tap 0 rows][tap 1 rows]...        (rows in the stored type, fp32 or
//   fp16)
// The bias row is always fp32. Small panels: several whole panels per tile. Large ones: a panel is
// cut at taps (at input blocks where a block's taps fit) into chunks of nearly equal length, each at
// most kMaxTileBytes when expanded to fp32 (so tiles do not depend on the stored type); only chunk 0
// has the bias row. A tile never holds
// parts of two panels.
//
// Depthwise: per channel block: [bias: 16 f32][kh*kw rows of 16], as many whole blocks per tile as
// fit.
//
// Quantized convolution: a panel is [bias: width s32][multiplier: width f32] and then its taps, each
// ceil(rows / 4) quads of [width][4] s8: the weights of four input channels (zero beyond the last)
// for each output channel. Cut as above. Quantized depthwise: per channel block [bias: 16 s32]
// [multiplier: 16 f32], then for each kernel row ceil(kernel_w / 4) quads of [16][4] s8: the weights
// of four neighbouring columns. Both are stored as kernels read them.
//
// Vectors (affine, prelu): per channel block `rows` rows of 16 f32, stored as fp32 always;
// affine: scale, shift. Plain: raw row-major fp32 (or fp16) elements, cut every kMaxTileBytes of
// fp32. Dense (fully-connected layers): engine/layout/dense.h; its tiles are never expanded.
#include <cstdint>

#include "base/result.h"

namespace carrel {

// A tile stays in L1/L2 between its decryption and its use; larger gains under 10 %, smaller loses
// to setup.
inline constexpr uint32_t kMaxTileBytes = 32 * 1024;
inline constexpr uint32_t kPanelWidth = 32;

enum class StoredType : uint8_t { kF32 = 0, kF16 = 1, kI8 = 2, kI4 = 3 };  // kI8, kI4: kDense only
enum class WeightsKind : uint8_t {
  kNone = 0,
  kConv = 1,
  kDepthwise = 2,
  kVectors = 3,
  kPlain = 4,
  kQuantConv = 5,
  kQuantDepthwise = 6,
  kDense = 7,
};
inline constexpr WeightsKind kLastWeightsKind = WeightsKind::kDense;

// In panels of 32 output channels, which may be cut at taps.
constexpr bool in_wide_panels(WeightsKind kind) {
  return kind == WeightsKind::kConv || kind == WeightsKind::kQuantConv || kind == WeightsKind::kDense;
}
constexpr bool quantized(WeightsKind kind) {
  return kind == WeightsKind::kQuantConv || kind == WeightsKind::kQuantDepthwise;
}

// What fixes a weight stream's geometry. A fully-connected layer over a C x H x W map has the kernel
// H x W.
struct WeightsShape {
  WeightsKind kind = WeightsKind::kNone;
  StoredType stored = StoredType::kF32;  // quantized kinds: kF32 (they have one form)
  uint32_t in_channels = 0;   // kConv, kQuantConv, kDense: Cin of the group
  uint32_t out_channels = 0;  // kConv, kQuantConv, kDense: Cout of the group; else channels
  uint32_t kernel_h = 1;      // kVectors: rows per block
  uint32_t kernel_w = 1;
  uint64_t element_count = 0;  // kPlain
  bool operator==(const WeightsShape&) const = default;
};

// One tile's place in the stream.
struct TileInfo {
  uint32_t panel_begin = 0;  // kConv, kDense: panels; kDepthwise, kVectors: channel blocks; kPlain: 0
  uint32_t panel_count = 0;
  uint32_t tap_begin = 0;  // kConv, kDense: taps [tap_begin, tap_end) of every panel in the tile;
                           // kConv with tap_begin == 0: bias present
  uint32_t tap_end = 0;
  uint64_t element_begin = 0;   // kPlain: first element
  uint64_t stored_offset = 0;   // tile_stored_offset()
  uint32_t stored_bytes = 0;    // plaintext bytes in the file (multiple of 16)
  uint32_t expanded_bytes = 0;  // the form kernels read: fp32, kDense as stored (multiple of 64)
};

struct TileGrid {
  WeightsShape shape;
  uint32_t panels = 0;            // or channel blocks
  uint32_t taps = 0;              // taps per panel
  uint32_t panels_per_tile = 0;   // >= 1; 1 if chunked
  uint32_t taps_per_tile = 0;     // == taps unless chunked
  uint32_t chunks_per_panel = 0;  // tiles per panel; 1 if not chunked
  uint32_t tile_count = 0;
  uint64_t stored_bytes = 0;        // sum over tiles
  uint64_t expanded_bytes = 0;      // sum over tiles: what a resident copy takes
  uint32_t max_stored_bytes = 0;    // largest tile
  uint32_t max_expanded_bytes = 0;  // largest tile
};

// kNone has no tiles. Errors: kInvalidInput if the shape is unknown or too large, a dimension is 0,
// the stored type is not one of its kind's, or one depthwise or vector block exceeds a tile.
Result<TileGrid> make_tile_grid(const WeightsShape& shape);
// Requires tile < grid.tile_count.
TileInfo tile_info(const TileGrid& grid, uint32_t tile);
// Sums over tiles [0, tile), in O(1): offset of a tile in the stream, stored (without tags) and
// expanded.
uint64_t tile_stored_offset(const TileGrid& grid, uint32_t tile);
uint64_t tile_expanded_offset(const TileGrid& grid, uint32_t tile);
uint32_t panel_width(const WeightsShape& shape, uint32_t panel);  // 32 or 16

}  // namespace carrel
