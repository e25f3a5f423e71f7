// The order in which rows of tensors are written and read.
#include "engine/format/validate.h"

namespace carrel {
namespace {

constexpr uint32_t kTracked = 4096;           // tensors followed at a time: 16 KiB of stack
constexpr uint32_t kPartial = uint32_t{1} << 31;  // with what has been taken so far: a sum or a copy that runs on

struct Rows {
  uint32_t begin = 0, end = 0;
};
constexpr Rows kWhole{0, 1};  // a plain tensor counts as one row

// Rows of a map of `height` rows that the window of output rows `out` reads. Bounded as check_conv() and check_pool() ask.
Rows window_rows(const Window& w, Rows out, uint32_t height) {
  const int64_t begin = int64_t{out.begin} * w.stride_h - w.pad_top;
  const int64_t end = int64_t{out.end - 1} * w.stride_h - w.pad_top + w.span_h();
  const auto clamped = [&](int64_t y) { return static_cast<uint32_t>(y < 0 ? 0 : y < height ? y : height); };
  return {clamped(begin), clamped(end)};
}

// Rows [0, written) of each tensor from `first` on, of which its ring still has the last ones.
class RowOrder {
 public:
  RowOrder(const ProgramView& program, uint32_t first) : program_(program), first_(first) {}

  Status follow(const Step& step, uint32_t index) {
    index_ = index;
    const OpDesc& op = program_.ops[step.op];
    const Rows rows{step.row_begin, uint32_t{step.row_begin} + step.row_count};
    switch (op.opcode) {
      case Opcode::kLoad:
        return program_.streams[op.stream].shape.kind == WeightsKind::kPlain ? write(op.out, kWhole) : ok_status();
      case Opcode::kPlain: return follow_plain(op);
      case Opcode::kInput:
      case Opcode::kFetch:
        if (is_map(op.out)) return write(op.out, rows);
        return take(op.out, rows, program_.stores[op.store].block_count);
      case Opcode::kOutput:
      case Opcode::kSpill: return read(op.in0, is_map(op.in0) ? rows : kWhole);
      case Opcode::kGlobalPool:
      case Opcode::kRowsToPlain:
        CARREL_RETURN_IF_ERROR(read(op.in0, rows));
        return take(op.out, rows, program_.tensors[op.in0].height);
      case Opcode::kPlainToRows:
        CARREL_RETURN_IF_ERROR(read(op.in0, kWhole));
        return write(op.out, rows);
      default: return follow_rows(op, rows);
    }
  }

 private:
  bool is_map(uint16_t id) const { return program_.tensors[id].kind == TensorKind::kMap; }
  // nullptr: not followed in this pass.
  uint32_t* state(uint16_t id) { return id >= first_ && id - first_ < kTracked ? &state_[id - first_] : nullptr; }
  static uint32_t written(uint32_t state) { return (state & kPartial) != 0 ? 0 : state; }

  Status follow_rows(const OpDesc& op, Rows rows) {
    const uint32_t height = program_.tensors[op.in0].height;
    CARREL_RETURN_IF_ERROR(read(op.in0, has_window(op.opcode) ? window_rows(op.window, rows, height) : rows));
    if (op.opcode == Opcode::kConv && op.in1 != kNone16) CARREL_RETURN_IF_ERROR(read(op.in1, rows));
    if (op.opcode == Opcode::kBinary || op.opcode == Opcode::kQuantAdd) {
      const bool broadcast = program_.tensors[op.in1].height != height;
      CARREL_RETURN_IF_ERROR(read(op.in1, broadcast ? Rows{0, 1} : rows));
    }
    return write(op.out, rows);
  }

  Status follow_plain(const OpDesc& op) {
    for (uint32_t i = 0; i < op.input_count; ++i) {
      const uint16_t id = program_.operands[op.operand_begin + i];
      if (id != kNone16) CARREL_RETURN_IF_ERROR(read(id, kWhole));
    }
    for (uint32_t o = 0; o < op.output_count; ++o) {
      CARREL_RETURN_IF_ERROR(write(program_.operands[op.operand_begin + op.input_count + o], kWhole));
    }
    return ok_status();
  }

  Status read(uint16_t id, Rows rows) {
    const uint32_t* s = state(id);
    if (s == nullptr || rows.begin >= rows.end) return ok_status();
    CARREL_REQUIRE(rows.end <= written(*s), "step", index_, "reads a row that was not written");
    CARREL_REQUIRE(!is_map(id) || uint64_t{rows.begin} + program_.tensors[id].ring_rows >= written(*s), "step", index_,
                   "reads a row that left its ring");
    return ok_status();
  }

  // Several operators may write the same rows, each its channels.
  Status write(uint16_t id, Rows rows) {
    uint32_t* s = state(id);
    if (s == nullptr) return ok_status();
    CARREL_REQUIRE(rows.begin <= written(*s), "step", index_, "leaves rows out");
    *s = rows.end > written(*s) ? rows.end : written(*s);
    return ok_status();
  }

  // `rows` of `total` flow into the only row of a tensor, which is written with the last of them.
  Status take(uint16_t id, Rows rows, uint32_t total) {
    uint32_t* s = state(id);
    if (s == nullptr) return ok_status();
    const uint32_t taken = (*s & kPartial) != 0 ? *s & ~kPartial : 0;
    CARREL_REQUIRE(rows.begin == taken, "step", index_, "does not go on where it stopped");
    *s = rows.end == total ? 1 : kPartial | rows.end;
    return ok_status();
  }

  const ProgramView& program_;
  uint32_t first_, index_ = 0;
  uint32_t state_[kTracked] = {};  // rows written, or kPartial
};

}  // namespace

Status validate_rows(const ProgramView& program) {
  for (uint32_t first = 0; first < program.tensors.size(); first += kTracked) {
    RowOrder order(program, first);
    for (uint32_t i = 0; i < program.steps.size(); ++i) CARREL_RETURN_IF_ERROR(order.follow(program.steps[i], i));
  }
  return ok_status();
}

}  // namespace carrel
