#include "compiler/onnx/quantization.h"

#include <cmath>

#include "compiler/graph/quantized.h"

namespace carrel {
namespace {

Result<ValueId> binary(NodeContext& context, OpType op, ValueId a, ValueId b) {
  return context.emit(context.make(op, {a, b}));
}

ValueId scalar(NodeContext& context, float value) {
  return context.add_const(Tensor::from_f32(Shape{}, std::span(&value, 1)));
}

Result<ValueId> step(NodeContext& context, OpType op, ValueId x, const Quantization& quantization,
                     bool is_signed = false) {
  Node node = context.make(op, {x});
  set_quantization(quantization, &node);
  if (is_signed) node.attributes.ints["signed"] = {1};
  return context.emit(std::move(node));
}

// A list of one entry, or of one per entry of `axis` of `shape`, shaped to broadcast with it.
Result<ValueId> along(NodeContext& context, ValueId list, const Shape& shape, int64_t axis) {
  const Shape own = context.value(list).shape;
  if (own.count() == 1 && own.rank() <= 1) return list;
  CARREL_ASSIGN(const int at, context.normal_axis(axis, shape.rank()));
  if (own.rank() != 1 || own[0] != shape[at]) {
    return context.unsupported("scales that are neither one nor one per entry of the axis");
  }
  Node node = context.make(OpType::kReshape, {list});
  std::vector<int64_t>& dims = node.attributes.ints["shape"];
  dims.assign(static_cast<size_t>(shape.rank()), 1);
  dims[static_cast<size_t>(at)] = own[0];
  return context.emit(std::move(node));
}

Tensor integers(const Value& value) {
  return Tensor::from_i64(value.shape, value.constant->to_i64());
}

bool is_integer(DType type) { return is_narrow(type) || type == DType::kI64; }

Status check_parameters(NodeContext& context, ValueId scale, ValueId zero) {
  if (context.value(scale).type != DType::kF32) return context.invalid("scale is not a float");
  if (zero == kNoValue) return ok_status();
  const Value& value = context.value(zero);
  if (value.is_const() && !is_integer(value.type)) {
    return context.unsupported("its zero point is not an integer");
  }
  return ok_status();
}

// One constant number each.
bool is_scalar(const NodeContext& context, ValueId id) {
  return id == kNoValue || (context.value(id).is_const() && context.value(id).shape.count() == 1);
}

Quantization constant_quantization(const NodeContext& context, ValueId scale, ValueId zero) {
  Quantization q;
  q.scale = context.value(scale).constant->f32()[0];
  if (zero != kNoValue) q.zero = context.value(zero).constant->to_i64()[0];
  return q;
}

Result<ValueId> dequantize_const_value(NodeContext& context, ValueId x, ValueId scale, ValueId zero,
                                       int64_t axis) {
  if (!context.value(scale).is_const() || (zero != kNoValue && !context.value(zero).is_const())) {
    return context.unsupported("a constant whose scale is not constant");
  }
  const Tensor zeros =
      zero == kNoValue ? Tensor::zeros(DType::kI64, Shape{}) : integers(context.value(zero));
  Node node = context.make(OpType::kDequantizeConst, {x, scale, context.add_const(zeros)});
  const int rank = std::max(1, context.value(x).shape.rank());
  const bool one = context.value(scale).shape.count() == 1 && zeros.count() == 1;
  if (one) axis = 0;
  CARREL_ASSIGN(const int at, context.normal_axis(axis, rank));
  node.attributes.ints["axis"] = {at};
  return context.emit(std::move(node));
}

}  // namespace

Result<ValueId> float_levels(NodeContext& context, ValueId id) {
  const Value& value = context.value(id);
  if (value.type == DType::kF32) return id;
  if (!is_integer(value.type)) return context.unsupported("type %s", dtype_name(value.type));
  if (!value.is_const()) {
    if (!is_narrow(value.type)) return context.unsupported("type int64 at run time");
    return step(context, OpType::kDequantize, id, {1, 0});
  }
  const std::vector<int64_t> levels = value.constant->to_i64();
  const std::vector<float> floats(levels.begin(), levels.end());
  return context.add_const(Tensor::from_f32(value.shape, floats));
}

Result<ValueId> dequantize(NodeContext& context, ValueId x, ValueId scale, ValueId zero,
                           int64_t axis) {
  CARREL_RETURN_IF_ERROR(check_parameters(context, scale, zero));
  const Value& value = context.value(x);
  if (value.is_const() && is_integer(value.type)) {
    return dequantize_const_value(context, x, scale, zero, axis);
  }
  if (is_narrow(value.type) && is_scalar(context, scale) && is_scalar(context, zero)) {
    return step(context, OpType::kDequantize, x, constant_quantization(context, scale, zero));
  }
  const Shape shape = value.shape;
  CARREL_ASSIGN(ValueId levels, float_levels(context, x));
  if (zero != kNoValue) {
    CARREL_ASSIGN(const ValueId zeros, float_levels(context, zero));
    CARREL_ASSIGN(const ValueId spread, along(context, zeros, shape, axis));
    CARREL_ASSIGN(levels, binary(context, OpType::kSub, levels, spread));
  }
  CARREL_ASSIGN(const ValueId factor, along(context, scale, shape, axis));
  return binary(context, OpType::kMul, levels, factor);
}

Result<ValueId> round_floats(NodeContext& context, ValueId x) {
  const ValueId ones = scalar(context, 12582912.0f);  // 1.5 * 2^23: the sum's last bit counts ones
  CARREL_ASSIGN(const ValueId sum, binary(context, OpType::kAdd, x, ones));
  return binary(context, OpType::kSub, sum, ones);
}

Result<ValueId> quantize(NodeContext& context, ValueId x, ValueId scale, ValueId zero,
                         int64_t axis) {
  CARREL_RETURN_IF_ERROR(check_parameters(context, scale, zero));
  const DType type = zero == kNoValue ? DType::kU8 : context.value(zero).type;
  if (!is_narrow(type)) return context.unsupported("to type %s", dtype_name(type));
  const bool is_signed = type == DType::kI8;
  if (is_scalar(context, scale) && is_scalar(context, zero)) {
    return step(context, OpType::kQuantize, x, constant_quantization(context, scale, zero),
                is_signed);
  }
  const Shape shape = context.value(x).shape;
  CARREL_ASSIGN(const ValueId steps, along(context, scale, shape, axis));
  CARREL_ASSIGN(const ValueId quotient, binary(context, OpType::kDiv, x, steps));
  CARREL_ASSIGN(ValueId levels, round_floats(context, quotient));
  if (zero != kNoValue) {
    CARREL_ASSIGN(const ValueId zeros, float_levels(context, zero));
    CARREL_ASSIGN(const ValueId spread, along(context, zeros, shape, axis));
    CARREL_ASSIGN(levels, binary(context, OpType::kAdd, levels, spread));
  }
  return step(context, OpType::kQuantize, levels, {1, 0}, is_signed);
}

}  // namespace carrel
