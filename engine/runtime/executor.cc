#include "engine/runtime/executor.h"

namespace carrel {

void Executor::attach(const ProgramView& program, const Parts& parts) {
  program_ = program;
  parts_ = parts;
}

Status Executor::run(uint64_t counter, bool first, RunStats* stats) {
  counter_ = counter;
  first_ = first;
  stats_ = stats;
  for (step_ = 0; step_ < program_.steps.size(); ++step_) {
    parts_.arena->set_step(step_);
    CARREL_RETURN_IF_ERROR(run_step(program_.steps[step_]));
  }
  return ok_status();
}

Status Executor::run_step(const Step& step) {
  const OpDesc& op = program_.ops[step.op];
  const RowRange rows{step.row_begin, step.row_begin + step.row_count};
  switch (op.opcode) {
    case Opcode::kLoad: return load(op);
    case Opcode::kConv: return conv(op, rows);
    case Opcode::kDepthwise: return depthwise(op, rows);
    case Opcode::kPool: return pool(op, rows);
    case Opcode::kGlobalPool: return global_pool(op, rows);
    case Opcode::kUnary: return unary(op, rows);
    case Opcode::kBinary: return binary(op, rows);
    case Opcode::kLrn: return lrn(op, rows);
    case Opcode::kSoftmax: return softmax(op, rows);
    case Opcode::kCopy: return copy(op, rows);
    case Opcode::kRowsToPlain: return rows_to_plain(op, rows);
    case Opcode::kPlainToRows: return plain_to_rows(op, rows);
    case Opcode::kPlain: return plain(op);
    case Opcode::kInput: return input(op, rows);
    case Opcode::kOutput: return output(op, rows);
    case Opcode::kSpill: return spill(op, rows);
    case Opcode::kFetch: return fetch(op, rows);
    case Opcode::kCount: break;
  }
  return Error(ErrorCode::kInvalidInput, "unknown opcode");
}

void Executor::zero_pads(const RowRing& out, RowRange rows) const {
  if (out.shape.pad_left + out.shape.pad_right > 0) parts_.kernels->zero_pads(out, rows);
}

void Executor::record_blocks(TraceKind kind, const StoreDesc& store, RowRange blocks) const {
  if (parts_.trace == nullptr) return;
  for (uint32_t b = blocks.begin; b < blocks.end; ++b) {
    parts_.trace->record({kind, step_, block_offset(store, b), store.block_bytes});
  }
}

void Executor::record_tiles(const StreamDesc& stream, const TileGrid& grid) const {
  if (parts_.trace == nullptr) return;
  for (uint32_t t = 0; t < grid.tile_count; ++t) {
    const uint64_t offset = stream.file_offset + tile_stored_offset(grid, t) + kTagBytes * uint64_t{t};
    const uint64_t bytes = tile_info(grid, t).stored_bytes;
    parts_.trace->record({TraceKind::kTile, step_, offset, bytes});
    if (!parts_.mapped) parts_.trace->record({TraceKind::kHostCall, step_, offset, bytes + kTagBytes});
  }
}

}  // namespace carrel
