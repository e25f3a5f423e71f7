// Operators with weight streams: kLoad, kConv, kDepthwise.
#include "engine/runtime/executor.h"

namespace carrel {
namespace {

// How a convolution is divided: by units (whole panels, so spans of tiles), or by rows, where every thread goes
// through all tiles.
struct ConvSplit {
  bool by_rows = false;
  uint32_t parts = 1;
};

// Fetching and decrypting a 32 KiB tile takes about as long as applying it to 24 output pixels (3 us against
// 8192 weights at 60 GFMA/s).
constexpr uint64_t kTilePixels = 24;

ConvSplit choose_split(uint32_t units, RowRange rows, uint32_t width, uint32_t threads, bool streamed) {
  const uint64_t fetch = streamed ? kTilePixels : 0;
  const uint32_t row_count = count_of(rows);
  const uint32_t unit_parts = threads < units ? threads : units;
  const uint32_t row_parts = threads < row_count ? threads : row_count;
  const uint64_t by_units = ((units + unit_parts - 1) / unit_parts) * (fetch + uint64_t{row_count} * width);
  const uint64_t by_rows = units * (fetch + uint64_t{(row_count + row_parts - 1) / row_parts} * width);
  // A handful of pixels over one tile is not worth waking anybody.
  if (units * (fetch + uint64_t{row_count} * width) < 2 * kTilePixels) return {false, 1};
  return by_units <= by_rows ? ConvSplit{false, unit_parts} : ConvSplit{true, row_parts};
}

// Tiles of units [begin, end): chunks of a panel stay together, since their sums continue one another.
RowRange tiles_of(const TileGrid& grid, RowRange units) {
  return {units.begin * grid.chunks_per_panel, units.end * grid.chunks_per_panel};
}

}  // namespace

Status Executor::load(const OpDesc& op) {
  if (op.once == 1 && !first_) return ok_status();
  const StreamDesc& stream = program_.streams[op.stream];
  CARREL_ASSIGN(const TileGrid grid, make_tile_grid(stream.shape));
  const bool to_tensor = stream.shape.kind == WeightsKind::kPlain;
  const uint64_t offset = to_tensor ? tensor(op.out).arena_offset : op.weights_offset;
  std::byte* base = parts_.arena->claim(offset, grid.expanded_bytes);
  const uint32_t threads = parts_.workers->threads();
  const uint32_t used = threads < grid.tile_count ? threads : grid.tile_count;
  auto task = [&](uint32_t thread) -> Status {
    const RowRange tiles = part_of(grid.tile_count, used, thread);
    for (uint32_t t = tiles.begin; t < tiles.end; ++t) {
      CARREL_RETURN_IF_ERROR(parts_.tiles->fetch(stream, grid, t, base + tile_expanded_offset(grid, t), false));
    }
    return ok_status();
  };
  stats_->bytes_decrypted += grid.stored_bytes;
  return parts_.workers->run(used, task);
}

Status Executor::conv(const OpDesc& op, RowRange rows) {
  const StreamDesc& stream = program_.streams[op.stream];
  CARREL_ASSIGN(const TileGrid grid, make_tile_grid(stream.shape));
  const bool streamed = op.weights == WeightsMode::kStreamed;
  const RowRing in = ring(op.in0), out = ring(op.out);
  const uint32_t units = grid.tile_count / grid.chunks_per_panel;
  const ConvSplit plan = choose_split(units, rows, out.shape.width, parts_.workers->threads(), streamed);
  std::byte* buffers[kMaxThreads] = {};
  const float* weights = nullptr;
  if (streamed) {
    for (uint32_t i = 0; i < plan.parts; ++i) buffers[i] = parts_.arena->claim_tile_buffer(i);
    stats_->bytes_decrypted += grid.stored_bytes * (plan.by_rows ? plan.parts : 1);
  } else {
    weights = resident(op, grid.expanded_bytes);
  }
  auto task = [&](uint32_t thread) -> Status {
    ConvCall call{in, out, op.in_block, op.out_block, op.in_channels, op.out_channels, 0, 0, 0, 0, grid.taps,
                  nullptr, op.window, activation_of(op), plan.by_rows ? part_of(rows, plan.parts, thread) : rows};
    const RowRange tiles = tiles_of(grid, plan.by_rows ? RowRange{0, units} : part_of(units, plan.parts, thread));
    for (uint32_t t = tiles.begin; t < tiles.end; ++t) {
      const TileInfo info = tile_info(grid, t);
      call.panel_begin = info.panel_begin;
      call.panel_count = info.panel_count;
      call.tap_begin = info.tap_begin;
      call.tap_end = info.tap_end;
      if (streamed) {
        CARREL_RETURN_IF_ERROR(parts_.tiles->fetch(stream, grid, t, buffers[thread], true));
        call.weights = reinterpret_cast<const float*>(buffers[thread]);
      } else {
        call.weights = weights + tile_expanded_offset(grid, t) / sizeof(float);
      }
      parts_.kernels->conv(call);
    }
    return ok_status();
  };
  CARREL_RETURN_IF_ERROR(parts_.workers->run(plan.parts, task));
  zero_pads(out, rows);
  return ok_status();
}

Status Executor::depthwise(const OpDesc& op, RowRange rows) {
  CARREL_ASSIGN(const TileGrid grid, make_tile_grid(program_.streams[op.stream].shape));
  const RowRing in = ring(op.in0), out = ring(op.out);
  const float* weights = resident(op, grid.expanded_bytes);
  // Per block: the bias and one row for each tap.
  const size_t block_floats = (size_t{op.window.kernel_h} * op.window.kernel_w + 1) * kLanes;
  return split(out, rows, out.shape.blocks(), [&](const Share& share) -> Status {
    parts_.kernels->depthwise({in, out, share.block_begin, share.block_count,
                               weights + share.block_begin * block_floats, op.window, activation_of(op), share.rows});
    return ok_status();
  });
}

}  // namespace carrel
