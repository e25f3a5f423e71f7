// kConv by Winograd's algorithm.
#include "engine/kernels/rows/winograd.h"
#include "engine/layout/conv_split.h"
#include "engine/runtime/executor.h"

namespace carrel {
namespace {

// The part of `whole` that thread `index` of `parts` does alone, with scratch of its own.
WinogradSlab slab_part(const WinogradSlab& whole, uint32_t parts, uint32_t index) {
  const uint32_t side = whole.planes.side, tile_rows = whole.planes.tile_rows;
  WinogradSlab part = whole;
  for (uint32_t i = 0; i <= index; ++i) {
    const uint32_t begin = winograd_part(tile_rows, parts, i), end = winograd_part(tile_rows, parts, i + 1);
    part.planes.tile_rows = end - begin;
    part.rows = {whole.rows.begin + begin * side, whole.rows.begin + end * side};
    if (part.rows.end > whole.rows.end) part.rows.end = whole.rows.end;
    if (i < index) part.scratch += part.planes.scratch_bytes(1) / sizeof(float);
  }
  return part;
}

}  // namespace

Status Executor::winograd(const OpDesc& op, RowRange rows) {
  const StreamDesc& stream = program_.streams[op.stream];
  CARREL_ASSIGN(const TileGrid grid, make_tile_grid(stream.shape));
  const bool streamed = op.weights == WeightsMode::kStreamed;
  const RowRing in = ring(op.in0), out = ring(op.out);
  const uint32_t units = grid.tile_count / grid.chunks_per_panel;
  WinogradSlab slab{parts_.kernels, in, out, op.in_block, op.out_block, op.in_channels, op.out_channels, op.window,
                    activation_of(op), rows,
                    winograd_planes(winograd_side(op.algorithm), count_of(rows), out.shape.width, op.in_channels),
                    reinterpret_cast<float*>(parts_.arena->claim(op.scratch_offset, op.scratch_bytes)), residual_of(op)};
  const ConvSplit split = choose_winograd_split(units, slab.planes, parts_.workers->threads());
  std::byte* buffers[kMaxThreads] = {};
  const float* weights = nullptr;
  if (streamed) {
    for (uint32_t i = 0; i < split.parts; ++i) buffers[i] = parts_.arena->claim_tile_buffer(i);
    stats_->bytes_decrypted += grid.stored_bytes * (split.by_rows ? split.parts : 1);
  } else {
    weights = resident(op, grid.expanded_bytes);
  }
  const auto take = [&](WinogradWeights* panels, RowRange tiles, uint32_t thread) -> Status {
    for (uint32_t t = tiles.begin; t < tiles.end; ++t) {
      if (streamed) CARREL_RETURN_IF_ERROR(parts_.tiles->fetch(stream, grid, t, buffers[thread], true));
      const float* tile = streamed ? reinterpret_cast<const float*>(buffers[thread])
                                   : weights + tile_expanded_offset(grid, t) / sizeof(float);
      panels->take(grid, tile_info(grid, t), tile);
    }
    return ok_status();
  };
  auto by_rows = [&](uint32_t thread) -> Status {
    const WinogradSlab part = slab_part(slab, split.parts, thread);
    part.transform_input(0, part.planes.in_blocks);
    WinogradWeights panels(part, 0);
    return take(&panels, {0, grid.tile_count}, thread);
  };
  auto inputs = [&](uint32_t thread) -> Status {
    const RowRange blocks = part_of(slab.planes.in_blocks, split.parts, thread);
    slab.transform_input(blocks.begin, count_of(blocks));
    return ok_status();
  };
  auto by_panels = [&](uint32_t thread) -> Status {
    WinogradWeights panels(slab, thread);
    const RowRange mine = part_of(units, split.parts, thread);
    return take(&panels, {mine.begin * grid.chunks_per_panel, mine.end * grid.chunks_per_panel}, thread);
  };
  if (split.by_rows) {
    CARREL_RETURN_IF_ERROR(parts_.workers->run(split.parts, by_rows));
  } else {
    CARREL_RETURN_IF_ERROR(parts_.workers->run(split.parts, inputs));
    CARREL_RETURN_IF_ERROR(parts_.workers->run(split.parts, by_panels));
  }
  zero_pads(out, rows);
  return ok_status();
}

}  // namespace carrel
