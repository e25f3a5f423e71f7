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
  for (uint32_t step = 0; step < program_.steps.size(); ++step) {
    parts_.tracer->step = step;
    CARREL_RETURN_IF_ERROR(parts_.profiler->on() ? run_profiled_step(step) : run_step(program_.steps[step]));
  }
  return ok_status();
}

Status Executor::run_profiled_step(uint32_t step) {
  parts_.profiler->begin_step(*stats_);
  CARREL_RETURN_IF_ERROR(run_step(program_.steps[step]));
  parts_.profiler->end_step(step, *stats_);
  return ok_status();
}

Status Executor::any_conv(const OpDesc& op, RowRange rows) {
  const StreamDesc& stream = program_.streams[op.stream];
  if (stream.shape.kind == WeightsKind::kDense) return dense(op, stream);
  return op.algorithm == ConvAlgorithm::kDirect ? conv(op, rows) : winograd(op, rows);
}

Status Executor::run_step(const Step& step) {
  const OpDesc& op = program_.ops[step.op];
  const RowRange rows{step.row_begin, step.row_begin + step.row_count};
  switch (op.opcode) {
    case Opcode::kLoad: return load(op);
    case Opcode::kConv: return any_conv(op, rows);
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
    case Opcode::kQuantConv: return quant_conv(op, rows);
    case Opcode::kQuantDepthwise: return quant_depthwise(op, rows);
    case Opcode::kQuantAdd: return quant_add(op, rows);
    case Opcode::kQuantPool: return quant_pool(op, rows);
    case Opcode::kQuantCopy: return quant_copy(op, rows);
    case Opcode::kQuantize: return quantize(op, rows);
    case Opcode::kDequantize: return dequantize(op, rows);
    case Opcode::kCount: break;
  }
  return Error(ErrorCode::kInvalidInput, "unknown opcode");
}

void Executor::zero_pads(const RowRing& out, RowRange rows) const {
  if (out.shape.pad_left + out.shape.pad_right > 0) parts_.kernels->zero_pads(out, rows);
}

void Executor::fill_pads(const ByteRing& out, RowRange rows) const {
  if (out.shape.pad_left + out.shape.pad_right > 0) parts_.kernels->fill_pads(out, rows);
}

}  // namespace carrel
