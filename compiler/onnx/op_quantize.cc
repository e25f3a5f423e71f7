// QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, QLinearConv, QLinearMatMul: as the
// quantizing, dequantizing and float operators that they stand for.
#include "compiler/onnx/quantization.h"
#include "compiler/onnx/window.h"

namespace carrel {
namespace {

Status check_blocks(NodeContext& context) {
  if (context.int_attribute("block_size", 0) == 0) return ok_status();
  return context.unsupported("blocked scales");
}

Status import_quantize(NodeContext& context) {
  CARREL_RETURN_IF_ERROR(check_blocks(context));
  const int64_t type = context.int_attribute("output_dtype", 0);
  ValueId zero = context.input(2);
  if (type != 0 && zero == kNoValue) {
    if (type != onnx::TensorProto::UINT8 && type != onnx::TensorProto::INT8) {
      return context.unsupported("to type %s",
                                 onnx::TensorProto_DataType_Name(static_cast<int>(type)).c_str());
    }
    zero = context.add_const(
        Tensor::zeros(type == onnx::TensorProto::INT8 ? DType::kI8 : DType::kU8, Shape{}));
  }
  CARREL_ASSIGN(const ValueId y, quantize(context, context.input(0), context.input(1), zero,
                                          context.int_attribute("axis", 1)));
  context.set_output(0, y);
  return ok_status();
}

Status import_dequantize(NodeContext& context) {
  CARREL_RETURN_IF_ERROR(check_blocks(context));
  CARREL_ASSIGN(const ValueId y, dequantize(context, context.input(0), context.input(1),
                                            context.input(2), context.int_attribute("axis", 1)));
  context.set_output(0, y);
  return ok_status();
}

ValueId scalar(NodeContext& context, float value) {
  return context.add_const(Tensor::from_f32(Shape{}, std::span(&value, 1)));
}

// The least or greatest element, 0 included.
Result<ValueId> extreme(NodeContext& context, OpType reduce, OpType bound) {
  Node node = context.make(reduce, {context.input(0)});
  for (int i = 0; i < context.shape(0).rank(); ++i) node.attributes.ints["axes"].push_back(i);
  node.attributes.ints["keepdims"] = {0};
  CARREL_ASSIGN(const ValueId found, context.emit(std::move(node)));
  return context.emit(context.make(bound, {found, scalar(context, 0)}));
}

// Scale and zero point follow from the data: scale = (max - min) / 255, zero = round(-min / scale).
Status import_dynamic_quantize(NodeContext& context) {
  CARREL_ASSIGN(const ValueId high, extreme(context, OpType::kReduceMax, OpType::kMax));
  CARREL_ASSIGN(const ValueId low, extreme(context, OpType::kReduceMin, OpType::kMin));
  CARREL_ASSIGN(const ValueId range, context.emit(context.make(OpType::kSub, {high, low})));
  CARREL_ASSIGN(const ValueId scale,
                context.emit(context.make(OpType::kDiv, {range, scalar(context, 255)})));
  CARREL_ASSIGN(const ValueId depth,
                context.emit(context.make(OpType::kSub, {scalar(context, 0), low})));
  CARREL_ASSIGN(const ValueId zero, quantize(context, depth, scale, kNoValue, 0));
  // The zero point's type is uint8, so the result's is too.
  CARREL_ASSIGN(const ValueId y, quantize(context, context.input(0), scale, zero, 0));
  context.set_output(0, y);
  context.set_output(1, scale);
  context.set_output(2, zero);
  return ok_status();
}

// x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero [, B in units of x_scale * w_scale]
Status import_qlinear_conv(NodeContext& context) {
  CARREL_ASSIGN(const ValueId x,
                dequantize(context, context.input(0), context.input(1), context.input(2), 1));
  CARREL_ASSIGN(const ValueId w,
                dequantize(context, context.input(3), context.input(4), context.input(5), 0));
  ValueId bias = kNoValue;
  if (context.has(8)) {
    CARREL_ASSIGN(const ValueId unit,
                  context.emit(context.make(OpType::kMul, {context.input(1), context.input(4)})));
    CARREL_ASSIGN(bias, dequantize(context, context.input(8), unit, kNoValue, 0));
  }
  CARREL_ASSIGN(const ValueId sum, emit_conv(context, x, w, bias));
  CARREL_ASSIGN(const ValueId y, quantize(context, sum, context.input(6), context.input(7), 1));
  context.set_output(0, y);
  return ok_status();
}

// a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero; a's parameters per row, b's per column.
Status import_qlinear_matmul(NodeContext& context) {
  CARREL_ASSIGN(const ValueId a,
                dequantize(context, context.input(0), context.input(1), context.input(2), -2));
  CARREL_ASSIGN(const ValueId b,
                dequantize(context, context.input(3), context.input(4), context.input(5), -1));
  CARREL_ASSIGN(const ValueId product, context.emit(context.make(OpType::kMatMul, {a, b})));
  CARREL_ASSIGN(const ValueId y,
                quantize(context, product, context.input(6), context.input(7), -2));
  context.set_output(0, y);
  return ok_status();
}

constexpr OperatorEntry kOperators[] = {
    {"QuantizeLinear", import_quantize, 2, 3, true},
    {"DequantizeLinear", import_dequantize, 2, 3, true},
    {"DynamicQuantizeLinear", import_dynamic_quantize, 1, 1, true},
    {"QLinearConv", import_qlinear_conv, 8, 9, true},
    {"QLinearMatMul", import_qlinear_matmul, 8, 8, true},
};

}  // namespace

std::span<const OperatorEntry> quantize_operators() { return kOperators; }

}  // namespace carrel
