// ConvInteger, MatMulInteger: float32 arithmetic on integers.
#include "compiler/onnx/quantization.h"
#include "compiler/onnx/window.h"

namespace carrel {
namespace {

// Input i less its zero point (input z), whose list, if it is one, runs along `axis`.
Result<ValueId> centred(NodeContext& context, size_t i, size_t z, int64_t axis) {
  const float one = 1;
  const ValueId unit = context.add_const(Tensor::from_f32(Shape{}, std::span(&one, 1)));
  return dequantize(context, context.input(i), unit, context.input(z), axis);
}

Status import_conv_integer(NodeContext& context) {
  CARREL_ASSIGN(const ValueId x, centred(context, 0, 2, 1));
  CARREL_ASSIGN(const ValueId w, centred(context, 1, 3, 0));
  CARREL_ASSIGN(const ValueId y, emit_conv(context, x, w, kNoValue));
  context.set_output(0, y);
  return ok_status();
}

Status import_matmul_integer(NodeContext& context) {
  CARREL_ASSIGN(const ValueId a, centred(context, 0, 2, -2));
  CARREL_ASSIGN(const ValueId b, centred(context, 1, 3, -1));
  return context.finish(context.make(OpType::kMatMul, {a, b}));
}

constexpr OperatorEntry kOperators[] = {
    {"ConvInteger", import_conv_integer, 2, 4, true},
    {"MatMulInteger", import_matmul_integer, 2, 4, true},
};

}  // namespace

std::span<const OperatorEntry> integer_operators() { return kOperators; }

}  // namespace carrel
