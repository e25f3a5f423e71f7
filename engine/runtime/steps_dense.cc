// Fully-connected layers: kConv with a kDense stream.
#include "engine/layout/dense.h"
#include "engine/runtime/executor.h"

namespace carrel {

// Divided by units: whole panels, whose chunks stay together, since their sums continue one another.
Status Executor::dense(const OpDesc& op, const StreamDesc& stream) {
  CARREL_ASSIGN(const TileGrid grid, make_tile_grid(stream.shape));
  const bool streamed = op.weights == WeightsMode::kStreamed;
  const RowRing in = ring(op.in0), out = ring(op.out);
  const uint32_t units = grid.tile_count / grid.chunks_per_panel;
  // One tile is not worth waking anybody.
  const uint32_t threads = grid.tile_count < 2 ? 1 : parts_.workers->threads();
  const uint32_t parts = threads < units ? threads : units;
  std::byte* buffers[kMaxThreads] = {};
  const std::byte* weights = nullptr;
  if (streamed) {
    for (uint32_t i = 0; i < parts; ++i) buffers[i] = parts_.arena->claim_tile_buffer(i);
    stats_->bytes_decrypted += grid.stored_bytes;
  } else {
    weights = reinterpret_cast<const std::byte*>(resident(op, grid.expanded_bytes));
  }
  const auto kernel = dense_kernel(*parts_.kernels, stream.shape.stored);
  auto task = [&](uint32_t thread) -> Status {
    const RowRange mine = part_of(units, parts, thread);
    for (uint32_t t = mine.begin * grid.chunks_per_panel; t < mine.end * grid.chunks_per_panel; ++t) {
      const TileInfo info = tile_info(grid, t);
      if (streamed) CARREL_RETURN_IF_ERROR(parts_.tiles->fetch(stream, grid, t, buffers[thread], true));
      const std::byte* tile = streamed ? buffers[thread] : weights + tile_expanded_offset(grid, t);
      kernel({in, out, info.panel_begin, info.panel_count, info.tap_begin, info.tap_end, grid.taps, tile,
              activation_of(op)});
    }
    return ok_status();
  };
  CARREL_RETURN_IF_ERROR(parts_.workers->run(parts, task));
  zero_pads(out, {0, 1});
  return ok_status();
}

}  // namespace carrel
