// Operators on rows without tiles, and conversions between maps and plain tensors.
#include "engine/runtime/executor.h"

namespace carrel {

Status Executor::pool(const OpDesc& op, RowRange rows) {
  const RowRing in = ring(op.in0), out = ring(op.out);
  return split(out, rows, out.shape.blocks(), [&](const Share& share) -> Status {
    PoolCall call{in, out, share.block_begin, share.block_count, static_cast<PoolKind>(op.arg0), op.arg1 == 1,
                  static_cast<uint16_t>(op.arg2 >> 16), static_cast<uint16_t>(op.arg2 & 0xffff), op.window,
                  share.rows};
    parts_.kernels->pool(call);
    return ok_status();
  });
}

// Rows are the input's and sums run on over steps, so only channel blocks can be divided.
Status Executor::global_pool(const OpDesc& op, RowRange rows) {
  const RowRing in = ring(op.in0), out = ring(op.out);
  const uint32_t blocks = out.shape.blocks();
  const bool worth = uint64_t{count_of(rows)} * in.shape.row_floats() >= 2 * kFloatsWorthAThread;
  const uint32_t threads = worth ? parts_.workers->threads() : 1;
  const uint32_t used = threads < blocks ? threads : blocks;
  auto task = [&](uint32_t thread) -> Status {
    const RowRange part = part_of(blocks, used, thread);
    parts_.kernels->global_pool({in, out, part.begin, count_of(part), static_cast<PoolKind>(op.arg0), rows,
                                 rows.begin == 0, rows.end == in.shape.height});
    return ok_status();
  };
  CARREL_RETURN_IF_ERROR(parts_.workers->run(used, task));
  zero_pads(out, {0, 1});
  return ok_status();
}

Status Executor::unary(const OpDesc& op, RowRange rows) {
  const RowRing in = ring(op.in0), out = ring(op.out);
  const bool prelu = op.arg0 == 1;
  const size_t block_floats = (prelu ? 1 : 2) * size_t{kLanes};
  const float* vectors = nullptr;
  if (op.weights == WeightsMode::kResident) {
    CARREL_ASSIGN(const TileGrid grid, make_tile_grid(program_.streams[op.stream].shape));
    vectors = resident(op, grid.expanded_bytes);
  }
  return split(out, rows, out.shape.blocks(), [&](const Share& share) -> Status {
    const float* own = vectors != nullptr ? vectors + share.block_begin * block_floats : nullptr;
    parts_.kernels->unary({in, out, share.block_begin, share.block_count, own, prelu, activation_of(op), share.rows});
    return ok_status();
  });
}

Status Executor::binary(const OpDesc& op, RowRange rows) {
  const RowRing a = ring(op.in0), b = ring(op.in1), out = ring(op.out);
  return split(out, rows, out.shape.blocks(), [&](const Share& share) -> Status {
    parts_.kernels->binary({a, b, out, share.block_begin, share.block_count, static_cast<BinaryFn>(op.arg0),
                            op.arg1 == 1, activation_of(op), share.rows});
    return ok_status();
  });
}

Status Executor::lrn(const OpDesc& op, RowRange rows) {
  const RowRing in = ring(op.in0), out = ring(op.out);
  return split(out, rows, 0, [&](const Share& share) -> Status {
    parts_.kernels->lrn({in, out, op.arg0, op.farg0, op.farg1, op.farg2, share.rows});
    return ok_status();
  });
}

Status Executor::softmax(const OpDesc& op, RowRange rows) {
  const RowRing in = ring(op.in0), out = ring(op.out);
  return split(out, rows, 0, [&](const Share& share) -> Status {
    parts_.kernels->softmax({in, out, op.arg0 == 1, share.rows});
    return ok_status();
  });
}

Status Executor::copy(const OpDesc& op, RowRange rows) {
  const RowRing in = ring(op.in0), out = ring(op.out);
  return split(out, rows, 0, [&](const Share& share) -> Status {
    parts_.kernels->copy({in, out, op.arg0, op.arg1 == 1, share.rows});
    return ok_status();
  });
}

Status Executor::rows_to_plain(const OpDesc& op, RowRange rows) {
  const RowRing in = ring(op.in0);
  float* out = plain_data(op.out);
  const size_t width = in.shape.width, plane = size_t{in.shape.height} * width;
  for (uint32_t y = rows.begin; y < rows.end; ++y) parts_.kernels->row_to_dense({in, out + y * width, plane, y});
  return ok_status();
}

Status Executor::plain_to_rows(const OpDesc& op, RowRange rows) {
  float* in = plain_data(op.in0);
  const RowRing out = ring(op.out);
  const size_t width = out.shape.width, plane = size_t{out.shape.height} * width;
  for (uint32_t y = rows.begin; y < rows.end; ++y) parts_.kernels->dense_to_row({out, in + y * width, plane, y});
  zero_pads(out, rows);
  return ok_status();
}

}  // namespace carrel
