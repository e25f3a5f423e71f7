// kPlain: an operator on dense tensors, whole.
#include "engine/kernels/plain/plain.h"
#include "engine/runtime/executor.h"

namespace carrel {
namespace {

void set_dims(const ProgramView& program, const TensorDesc& t, PlainTensor* out) {
  out->rank = t.rank;
  for (uint32_t d = 0; d < t.rank; ++d) out->dims[d] = program.ints[t.dims_begin + d];
}

}  // namespace

Status Executor::plain(const OpDesc& op) {
  // Concat and Split have the longest lists: one of 256, one of 1.
  constexpr uint32_t kMostOperands = kMaxPlainInputs + 1;
  static_assert(kMaxPlainInputs == kMaxPlainOutputs);
  PlainTensor operands[kMostOperands];
  const uint32_t count = uint32_t{op.input_count} + op.output_count;
  CARREL_CHECK(count <= kMostOperands);
  for (uint32_t i = 0; i < count; ++i) {
    const uint16_t id = program_.operands[op.operand_begin + i];
    if (id == kNone16) continue;
    set_dims(program_, tensor(id), &operands[i]);
    operands[i].data = plain_data(id);
  }
  PlainCall call;
  call.op = static_cast<PlainOp>(op.plain_op);
  call.inputs = {operands, op.input_count};
  call.outputs = {operands + op.input_count, op.output_count};
  call.ints = program_.ints.subspan(op.int_begin, op.int_count);
  call.floats = program_.floats.subspan(op.float_begin, op.float_count);
  call.activation = {op.activation, op.activation_a, op.activation_b};
  return run_plain(call);
}

}  // namespace carrel
