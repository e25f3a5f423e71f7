// Operators on maps of bytes.
#include "engine/layout/conv_split.h"
#include "engine/runtime/executor.h"

namespace carrel {
namespace {

uint8_t low_of(const OpDesc& op) { return static_cast<uint8_t>(op.arg0 >> 8); }
uint8_t high_of(const OpDesc& op) { return static_cast<uint8_t>(op.arg0 & 0xff); }

uint64_t elements(const ByteRing& out, RowRange rows) { return uint64_t{count_of(rows)} * out.shape.row_floats(); }

uint32_t groups_of(RowRange rows, uint32_t group_rows) { return (count_of(rows) + group_rows - 1) / group_rows; }

}  // namespace

// A convolution's weights as the steps go through them: whole panels, if they fit the tile buffer. With sums, a panel's
// tiles follow one another for a group of
// rows, as many as the sums have room for; streamed tiles are fetched again for the next group.
struct Executor::QuantConvPlan {
  const OpDesc& op;
  ByteRing in, out;
  const StreamDesc& stream;
  TileGrid grid;
  bool streamed = false, with_sums = false;
  uint32_t units = 0;  // tiles, or panels if they are cut
  uint32_t group_rows = 0;
  const std::byte* resident = nullptr;
  std::byte* buffers[kMaxThreads] = {};
  size_t sums_offset = 0;  // in a buffer
};

Status Executor::quant_tile(const QuantConvPlan& plan, uint32_t thread, uint32_t tile, QuantConvCall* call) {
  const TileInfo info = tile_info(plan.grid, tile);
  call->panel_begin = info.panel_begin;
  call->panel_count = info.panel_count;
  call->tap_begin = info.tap_begin;
  call->tap_end = info.tap_end;
  call->weights = plan.streamed ? plan.buffers[thread] : plan.resident + tile_expanded_offset(plan.grid, tile);
  // Without sums a panel lies in one piece.
  if (!plan.with_sums) call->tap_end = plan.grid.taps;
  const uint32_t tiles = plan.with_sums ? 1 : plan.grid.chunks_per_panel;
  std::byte* to = plan.buffers[thread];
  for (uint32_t t = tile; plan.streamed && t < tile + tiles; ++t) {
    CARREL_RETURN_IF_ERROR(parts_.tiles->fetch(plan.stream, plan.grid, t, to, true));
    to += tile_info(plan.grid, t).expanded_bytes;
  }
  parts_.kernels->quant_conv(*call);
  return ok_status();
}

Status Executor::quant_units(const QuantConvPlan& plan, uint32_t thread, RowRange units, RowRange rows) {
  const OpDesc& op = plan.op;
  QuantConvCall call{plan.in, plan.out, op.in_block, op.out_block, op.in_channels, op.out_channels,
                     0, 0, 0, 0, plan.grid.taps, nullptr,
                     plan.with_sums ? plan.buffers[thread] + plan.sums_offset : nullptr, op.window, low_of(op),
                     high_of(op), rows};
  const uint32_t chunks = plan.grid.chunks_per_panel;
  for (uint32_t unit = units.begin; unit < units.end; ++unit) {
    if (!plan.with_sums) {
      CARREL_RETURN_IF_ERROR(quant_tile(plan, thread, unit * chunks, &call));
      continue;
    }
    for (uint32_t y = rows.begin; y < rows.end; y += plan.group_rows) {
      call.rows = {y, rows.end - y < plan.group_rows ? rows.end : y + plan.group_rows};
      for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
        CARREL_RETURN_IF_ERROR(quant_tile(plan, thread, unit * chunks + chunk, &call));
      }
    }
  }
  return ok_status();
}

Status Executor::quant_conv(const OpDesc& op, RowRange rows) {
  const StreamDesc& stream = program_.streams[op.stream];
  CARREL_ASSIGN(const TileGrid grid, make_tile_grid(stream.shape));
  const ByteRing out = bytes(op.out);
  const bool with_sums = needs_quant_sums(op, grid) &&
                         !holds_quant_panels(op, grid, out.shape, program_.header->tile_buffer_bytes);
  QuantConvPlan plan{op, bytes(op.in0), out, stream, grid, op.weights == WeightsMode::kStreamed, with_sums,
                     grid.tile_count / grid.chunks_per_panel, count_of(rows), nullptr, {}, 0};
  const ConvSplit split =
      choose_split(plan.units, count_of(rows), plan.out.shape.width, parts_.workers->threads(), plan.streamed);
  if (plan.streamed || plan.with_sums) {
    for (uint32_t i = 0; i < split.parts; ++i) plan.buffers[i] = parts_.arena->claim_tile_buffer(i);
  }
  if (!plan.streamed) plan.resident = reinterpret_cast<const std::byte*>(resident(op, grid.expanded_bytes));
  if (plan.with_sums) {
    plan.sums_offset = plan.streamed ? grid.max_expanded_bytes + 64 : 0;
    const uint64_t room = program_.header->tile_buffer_bytes - plan.sums_offset - quant_sums_bytes(0, 0);
    const uint64_t fitting = room / (quant_sums_bytes(1, plan.out.shape.width) - quant_sums_bytes(0, 0));
    if (fitting < plan.group_rows) plan.group_rows = static_cast<uint32_t>(fitting);
  }
  for (uint32_t i = 0; i < (split.by_rows ? split.parts : 1) && plan.streamed; ++i) {
    const RowRange part = split.by_rows ? part_of(rows, split.parts, i) : rows;
    stats_->bytes_decrypted += grid.stored_bytes * groups_of(part, plan.group_rows);
  }
  auto task = [&](uint32_t thread) -> Status {
    if (split.by_rows) return quant_units(plan, thread, {0, plan.units}, part_of(rows, split.parts, thread));
    return quant_units(plan, thread, part_of(plan.units, split.parts, thread), rows);
  };
  CARREL_RETURN_IF_ERROR(parts_.workers->run(split.parts, task));
  fill_pads(plan.out, rows);
  return ok_status();
}

Status Executor::quant_depthwise(const OpDesc& op, RowRange rows) {
  CARREL_ASSIGN(const TileGrid grid, make_tile_grid(program_.streams[op.stream].shape));
  const ByteRing in = bytes(op.in0), out = bytes(op.out);
  const std::byte* weights = reinterpret_cast<const std::byte*>(resident(op, grid.expanded_bytes));
  const size_t block_bytes = grid.expanded_bytes / grid.panels;
  CARREL_RETURN_IF_ERROR(
      split_work(elements(out, rows), rows, out.shape.blocks(), [&](const Share& share) -> Status {
        parts_.kernels->quant_depthwise({in, out, share.block_begin, share.block_count,
                                         weights + share.block_begin * block_bytes, op.window, low_of(op), high_of(op),
                                         share.rows});
        return ok_status();
      }));
  fill_pads(out, rows);
  return ok_status();
}

Status Executor::quant_add(const OpDesc& op, RowRange rows) {
  const ByteRing a = bytes(op.in0), b = bytes(op.in1), out = bytes(op.out);
  CARREL_RETURN_IF_ERROR(
      split_work(elements(out, rows), rows, out.shape.blocks(), [&](const Share& share) -> Status {
        parts_.kernels->quant_add({a, b, out, share.block_begin, share.block_count, op.farg0, op.farg1, low_of(op),
                                   high_of(op), share.rows});
        return ok_status();
      }));
  fill_pads(out, rows);
  return ok_status();
}

Status Executor::quant_pool(const OpDesc& op, RowRange rows) {
  const ByteRing in = bytes(op.in0), out = bytes(op.out);
  CARREL_RETURN_IF_ERROR(
      split_work(elements(out, rows), rows, out.shape.blocks(), [&](const Share& share) -> Status {
        parts_.kernels->quant_pool({in, out, share.block_begin, share.block_count, static_cast<PoolKind>(op.arg0),
                                    op.arg1 == 1, static_cast<uint16_t>(op.arg2 >> 16),
                                    static_cast<uint16_t>(op.arg2 & 0xffff), op.window, op.farg0, share.rows});
        return ok_status();
      }));
  fill_pads(out, rows);
  return ok_status();
}

Status Executor::quant_copy(const OpDesc& op, RowRange rows) {
  const ByteRing in = bytes(op.in0), out = bytes(op.out);
  CARREL_RETURN_IF_ERROR(split_work(elements(out, rows), rows, 0, [&](const Share& share) -> Status {
    parts_.kernels->quant_copy({in, out, op.arg0, op.arg1 == 1, op.arg2 == 1, op.farg0, share.rows});
    return ok_status();
  }));
  fill_pads(out, rows);
  return ok_status();
}

Status Executor::quantize(const OpDesc& op, RowRange rows) {
  const RowRing in = ring(op.in0);
  const ByteRing out = bytes(op.out);
  CARREL_RETURN_IF_ERROR(
      split_work(elements(out, rows), rows, out.shape.blocks(), [&](const Share& share) -> Status {
        parts_.kernels->quantize({in, out, share.block_begin, share.block_count, op.farg0,
                                  static_cast<uint8_t>(op.arg0), share.rows});
        return ok_status();
      }));
  fill_pads(out, rows);
  return ok_status();
}

Status Executor::dequantize(const OpDesc& op, RowRange rows) {
  const ByteRing in = bytes(op.in0);
  const RowRing out = ring(op.out);
  return split(out, rows, out.shape.blocks(), [&](const Share& share) -> Status {
    parts_.kernels->dequantize({in, out, share.block_begin, share.block_count, op.farg0,
                                static_cast<uint8_t>(op.arg0), share.rows});
    return ok_status();
  });
}

}  // namespace carrel
