// Operators with weight streams: kLoad, kConv, kDepthwise.
#include "engine/layout/conv_split.h"
#include "engine/runtime/executor.h"

namespace carrel {

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
  const RowRing in = ring(op.in0), out = ring(op.out), residual = residual_of(op);
  const uint32_t units = grid.tile_count / grid.chunks_per_panel;
  const ConvSplit plan = choose_split(units, count_of(rows), out.shape.width, parts_.workers->threads(), streamed);
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
                  nullptr, op.window, activation_of(op), plan.by_rows ? part_of(rows, plan.parts, thread) : rows, residual};
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
