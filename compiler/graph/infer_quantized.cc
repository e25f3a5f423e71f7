// Operators on quantized values: types, shapes and the range of every parameter.
#include <cmath>

#include "compiler/graph/infer_internal.h"

namespace carrel {
namespace {

bool is_quantized(DType type) { return type == DType::kU8 || type == DType::kI8; }

Status require_type(const Inference& inference, size_t i, DType type) {
  if (!inference.has(i) || inference.in(i).type == type) return ok_status();
  return inference.fail("an input has the wrong type");
}

Status require_constants(const Inference& inference, size_t first) {
  for (size_t i = first; i < inference.input_count(); ++i) {
    if (inference.has(i) && !inference.in(i).is_const()) {
      return inference.fail("weights must be constant");
    }
  }
  return ok_status();
}

Status check_scale(const Inference& inference, float scale) {
  if (std::isfinite(scale) && scale > 0) return ok_status();
  return inference.fail("a scale must be positive");
}

// One of the 256 levels from `lowest` on.
Status check_level(const Inference& inference, int64_t level, int64_t lowest = 0) {
  if (level >= lowest && level <= lowest + 255) return ok_status();
  return inference.fail("a zero point or bound is out of range");
}

// floats NAME_scale and ints NAME_zero.
Status check_parameters(const Inference& inference, const char* name) {
  const Attributes& attributes = inference.node().attributes;
  const std::string scale = std::string(name).append("_scale");
  const std::string zero = std::string(name).append("_zero");
  CARREL_RETURN_IF_ERROR(check_scale(inference, attributes.float_or(scale, 0)));
  return check_level(inference, attributes.int_or(zero, -1));
}

Status check_bounds(const Inference& inference) {
  const Attributes& attributes = inference.node().attributes;
  const int64_t low = attributes.int_or("y_low", -1);
  const int64_t high = attributes.int_or("y_high", -1);
  CARREL_RETURN_IF_ERROR(check_level(inference, low));
  CARREL_RETURN_IF_ERROR(check_level(inference, high));
  return low <= high ? ok_status() : Status(inference.fail("y_low is above y_high"));
}

Status infer_quantize(Inference& inference) {
  CARREL_RETURN_IF_ERROR(inference.require_float());
  const Attributes& attributes = inference.node().attributes;
  const bool is_signed = attributes.int_or("signed", 0) != 0;
  CARREL_RETURN_IF_ERROR(check_scale(inference, attributes.float_or("scale", 0)));
  CARREL_RETURN_IF_ERROR(
      check_level(inference, attributes.int_or("zero", 999), is_signed ? -128 : 0));
  return inference.set(0, is_signed ? DType::kI8 : DType::kU8, inference.shape(0));
}

Status infer_dequantize(Inference& inference) {
  const DType type = inference.in(0).type;
  if (!is_quantized(type)) return inference.fail("the input is not quantized");
  const Attributes& attributes = inference.node().attributes;
  CARREL_RETURN_IF_ERROR(check_scale(inference, attributes.float_or("scale", 0)));
  CARREL_RETURN_IF_ERROR(
      check_level(inference, attributes.int_or("zero", 999), type == DType::kI8 ? -128 : 0));
  return inference.set(0, DType::kF32, inference.shape(0));
}

// One parameter, or one per entry of the axis.
Status check_axis_list(const Inference& inference, size_t i, int axis) {
  const Shape& list = inference.shape(i);
  const bool one = list.count() == 1 && list.rank() <= 1;
  const bool per_entry =
      list.rank() == 1 && inference.shape(0).rank() > 0 && list[0] == inference.shape(0)[axis];
  return one || per_entry ? ok_status() : Status(inference.fail("scales do not match the axis"));
}

Status infer_dequantize_const(Inference& inference) {
  CARREL_RETURN_IF_ERROR(require_constants(inference, 0));
  CARREL_RETURN_IF_ERROR(require_type(inference, 1, DType::kF32));
  CARREL_RETURN_IF_ERROR(require_type(inference, 2, DType::kI64));
  const DType type = inference.in(0).type;
  if (!is_quantized(type) && type != DType::kI32 && type != DType::kI64) {
    return inference.fail("the input is not quantized");
  }
  CARREL_ASSIGN(const int axis, inference.axis(std::max(1, inference.shape(0).rank())));
  CARREL_RETURN_IF_ERROR(check_axis_list(inference, 1, axis));
  CARREL_RETURN_IF_ERROR(check_axis_list(inference, 2, axis));
  return inference.set(0, DType::kF32, inference.shape(0));
}

// X, W, weight_scale [, B] of convolutions and Gemm.
Status check_weighted(const Inference& inference) {
  const DType types[] = {DType::kU8, DType::kI8, DType::kF32, DType::kI32};
  for (size_t i = 0; i < 4; ++i) CARREL_RETURN_IF_ERROR(require_type(inference, i, types[i]));
  CARREL_RETURN_IF_ERROR(require_constants(inference, 1));
  CARREL_RETURN_IF_ERROR(check_parameters(inference, "x"));
  CARREL_RETURN_IF_ERROR(check_parameters(inference, "y"));
  return check_bounds(inference);
}

Status infer_qgemm(Inference& inference) {
  const Shape& x = inference.shape(0);
  const Shape& weight = inference.shape(1);
  if (x.rank() != 2 || weight.rank() != 2 || x[1] != weight[1]) {
    return inference.fail("inner sizes differ");
  }
  for (size_t i = 2; i < inference.input_count(); ++i) {
    if (inference.has(i) && !(inference.shape(i) == Shape{weight[0]})) {
      return inference.fail("bias and scale need one value per output");
    }
  }
  return inference.set(Shape{x[0], weight[0]});
}

Status infer_qadd(Inference& inference) {
  for (const char* name : {"a", "b", "y"}) {
    CARREL_RETURN_IF_ERROR(check_parameters(inference, name));
  }
  CARREL_RETURN_IF_ERROR(check_bounds(inference));
  if (!(inference.shape(0) == inference.shape(1))) return inference.fail("shapes differ");
  return inference.set(inference.shape(0));
}

Status infer_qconcat(Inference& inference) {
  const Attributes& attributes = inference.node().attributes;
  const auto scales = attributes.floats.find("scales");
  const std::vector<int64_t>& zeros = attributes.int_list("zeros");
  if (scales == attributes.floats.end() || scales->second.size() != inference.input_count() ||
      zeros.size() != inference.input_count()) {
    return inference.fail("one scale and zero per input");
  }
  for (float scale : scales->second) CARREL_RETURN_IF_ERROR(check_scale(inference, scale));
  for (int64_t zero : zeros) CARREL_RETURN_IF_ERROR(check_level(inference, zero));
  CARREL_RETURN_IF_ERROR(check_parameters(inference, "y"));
  return infer_concat(inference);
}

// X and Y, one scale each.
Status infer_qpool(Inference& inference) {
  CARREL_RETURN_IF_ERROR(check_parameters(inference, "x"));
  CARREL_RETURN_IF_ERROR(check_parameters(inference, "y"));
  return infer_pool_shape(inference);
}

Status infer_uint8(Inference& inference) {
  for (size_t i = 0; i < inference.input_count(); ++i) {
    CARREL_RETURN_IF_ERROR(require_type(inference, i, DType::kU8));
  }
  switch (inference.node().op) {
    case OpType::kQAdd:
      return infer_qadd(inference);
    case OpType::kQConcat:
      return infer_qconcat(inference);
    default:
      return infer_qpool(inference);
  }
}

}  // namespace

Status infer_quantized(Inference& inference) {
  if (inference.node().activation.fn != UnaryFn::kNone) {
    return inference.fail("quantized operators take no activation");
  }
  switch (inference.node().op) {
    case OpType::kQuantize:
      return infer_quantize(inference);
    case OpType::kDequantize:
      return infer_dequantize(inference);
    case OpType::kDequantizeConst:
      return infer_dequantize_const(inference);
    case OpType::kQConv:
      CARREL_RETURN_IF_ERROR(check_weighted(inference));
      return infer_conv_shape(inference);
    case OpType::kQGemm:
      CARREL_RETURN_IF_ERROR(check_weighted(inference));
      return infer_qgemm(inference);
    default:
      return infer_uint8(inference);
  }
}

}  // namespace carrel
