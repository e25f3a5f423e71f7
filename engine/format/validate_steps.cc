// Steps: rows inside their tensors, and the order in which blocks of a store are written and read.
#include "engine/format/validate.h"

namespace carrel {
namespace {

// What the rows of a step count.
struct RowDomain {
  uint32_t rows = 0;       // 0: the step has no rows
  uint32_t most = ~0u;     // at a time: two rows of one step never share a slot of a ring
};

RowDomain map_domain(const TensorDesc& t, uint32_t rows) {
  return t.kind == TensorKind::kMap ? RowDomain{rows, t.ring_rows} : RowDomain{rows};
}

RowDomain row_domain(const ProgramView& program, const OpDesc& op) {
  switch (op.opcode) {
    case Opcode::kLoad:
    case Opcode::kPlain:
    case Opcode::kCount:
      return {};
    case Opcode::kInput:
    case Opcode::kFetch:
      return map_domain(program.tensors[op.out], program.stores[op.store].block_count);
    case Opcode::kOutput:
    case Opcode::kSpill:
      return map_domain(program.tensors[op.in0], program.stores[op.store].block_count);
    case Opcode::kGlobalPool:
    case Opcode::kRowsToPlain:
      return map_domain(program.tensors[op.in0], program.tensors[op.in0].height);
    default:
      return map_domain(program.tensors[op.out], program.tensors[op.out].height);
  }
}

// Whole tiles of Winograd's convolution, and scratch for as many as the step has. Products cannot overflow: rows of
// validated maps are bounded (engine/layout/winograd.h).
Status check_tiles(const ProgramView& program, const OpDesc& op, const Step& step, uint32_t index) {
  const TensorDesc& out = program.tensors[op.out];
  const uint32_t side = winograd_side(op.algorithm), end = step.row_begin + step.row_count;
  CARREL_REQUIRE(step.row_begin % side == 0 && (end % side == 0 || end == out.height), "step", index,
                 "rows are not whole tiles");
  const uint64_t needed =
      winograd_scratch_bytes(side, step.row_count, out.width, op.in_channels, program.header->threads);
  CARREL_REQUIRE(needed <= op.scratch_bytes, "step", index, "needs more scratch");
  return ok_status();
}

// Blocks of each store written so far in the run: [0, written). A second write of a block would use its nonce twice;
// a fetch of one not written yet could only fail.
class StoreOrder {
 public:
  explicit StoreOrder(const ProgramView& program) : program_(program) {
    for (size_t i = 0; i < program.stores.size(); ++i) written_[i] = 0;
  }

  Status follow(const OpDesc& op, const Step& step, uint32_t index) {
    const uint32_t end = step.row_begin + step.row_count;
    if (op.opcode == Opcode::kSpill || op.opcode == Opcode::kOutput) {
      CARREL_REQUIRE(step.row_begin == written_[op.store], "step", index, "writes a block twice or out of order");
      written_[op.store] = end;
    }
    if (op.opcode == Opcode::kFetch) {
      CARREL_REQUIRE(end <= written_[op.store], "step", index, "fetches a block that was not written");
    }
    return ok_status();
  }

  Status finish() const {
    for (uint32_t i = 0; i < program_.stores.size(); ++i) {
      const StoreDesc& store = program_.stores[i];
      CARREL_REQUIRE(store.kind != StoreKind::kOutput || written_[i] == store.block_count, "store", i,
                     "an output is not written in full");
    }
    return ok_status();
  }

 private:
  const ProgramView& program_;
  uint32_t written_[kMaxStores];
};

}  // namespace

Status validate_steps(const ProgramView& program) {
  StoreOrder order(program);
  for (uint32_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    CARREL_REQUIRE(step.op < program.ops.size(), "step", i, "no such operator");
    const OpDesc& op = program.ops[step.op];
    const RowDomain domain = row_domain(program, op);
    if (domain.rows == 0) continue;
    CARREL_REQUIRE(step.row_count > 0 && step.row_begin < domain.rows &&
                       step.row_count <= domain.rows - step.row_begin,
                   "step", i, "rows are out of range");
    CARREL_REQUIRE(step.row_count <= domain.most, "step", i, "more rows than the ring has");
    if (op.opcode == Opcode::kConv && op.algorithm != ConvAlgorithm::kDirect) {
      CARREL_RETURN_IF_ERROR(check_tiles(program, op, step, i));
    }
    CARREL_RETURN_IF_ERROR(order.follow(op, step, i));
  }
  return order.finish();
}

}  // namespace carrel
