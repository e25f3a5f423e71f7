// Operators whose results are known at import: constants, shapes, ranges, casts.
#include <algorithm>
#include <cmath>

#include "base/half.h"
#include "compiler/graph/fold_cost.h"
#include "compiler/onnx/quantization.h"

namespace carrel {
namespace {

Result<TensorPtr> find_tensor(NodeContext& context, const onnx::TensorProto* proto) {
  std::string reason;
  TensorPtr tensor = context.build().tensors->find(proto, &reason);
  if (tensor == nullptr) return context.unsupported("%s", reason.c_str());
  return tensor;
}

Status finish_const(NodeContext& context, Tensor tensor) {
  context.set_output(0, context.add_const(std::move(tensor)));
  return ok_status();
}

Status import_constant(NodeContext& context) {
  if (const onnx::TensorProto* proto = context.tensor_attribute("value")) {
    CARREL_ASSIGN(const TensorPtr tensor, find_tensor(context, proto));
    context.set_output(0, context.add_shared(tensor));
    return ok_status();
  }
  if (context.has_attribute("value_float")) {
    const float value = context.float_attribute("value_float", 0);
    return finish_const(context, Tensor::from_f32(Shape{}, std::span(&value, 1)));
  }
  if (context.has_attribute("value_int")) {
    const int64_t value = context.int_attribute("value_int", 0);
    return finish_const(context, Tensor::from_i64(Shape{}, std::span(&value, 1)));
  }
  if (context.has_attribute("value_floats")) {
    const std::vector<float> values = context.floats_attribute("value_floats");
    return finish_const(context,
                        Tensor::from_f32(Shape{static_cast<int64_t>(values.size())}, values));
  }
  if (context.has_attribute("value_ints")) {
    const std::vector<int64_t> values = context.ints_attribute("value_ints");
    return finish_const(context,
                        Tensor::from_i64(Shape{static_cast<int64_t>(values.size())}, values));
  }
  return context.unsupported("a constant that is neither numbers nor a tensor of numbers");
}

// A filled or counted tensor may not make a small file into a large constant.
Status check_size(const NodeContext& context, uint64_t count) {
  if (count > kFoldBytesLimit / sizeof(int64_t)) {
    return context.invalid("a constant of %llu elements", static_cast<unsigned long long>(count));
  }
  return ok_status();
}

Status import_constant_of_shape(NodeContext& context) {
  CARREL_ASSIGN(const std::vector<int64_t> dims, context.const_ints(0, "shape"));
  Shape shape;
  for (int64_t dim : dims) {
    if (!shape.push_back(dim)) return context.unsupported("%zu dimensions", dims.size());
  }
  const Result<uint64_t> count = shape.element_count();
  if (!count.ok()) return context.invalid("its shape is negative or too large");
  CARREL_RETURN_IF_ERROR(check_size(context, *count));
  const onnx::TensorProto* proto = context.tensor_attribute("value");
  if (proto == nullptr) return finish_const(context, Tensor::zeros(DType::kF32, shape));
  CARREL_ASSIGN(const TensorPtr value, find_tensor(context, proto));
  if (value->count() != 1) return context.invalid("value is not one element");
  Tensor filled = Tensor::zeros(value->type, shape);
  const size_t size = dtype_size(value->type);
  for (size_t i = 0; i < filled.data.size(); i += size) {
    std::memcpy(filled.data.data() + i, value->data.data(), size);
  }
  return finish_const(context, std::move(filled));
}

template <typename T>
Status count_up(NodeContext& context, DType type, double count, T start, T delta) {
  if (!(count < 1e12)) return context.invalid("its range does not end");
  const auto steps = count > 0 ? static_cast<uint64_t>(count) : 0;
  CARREL_RETURN_IF_ERROR(check_size(context, steps));
  Tensor tensor = Tensor::zeros(type, Shape{static_cast<int64_t>(steps)});
  for (uint64_t i = 0; i < steps; ++i) {
    T value;
    if constexpr (std::is_integral_v<T>) {
      // Wraps instead of overflowing.
      value = static_cast<T>(static_cast<uint64_t>(start) + i * static_cast<uint64_t>(delta));
    } else {
      value = start + static_cast<T>(i) * delta;
    }
    std::memcpy(tensor.data.data() + i * sizeof(T), &value, sizeof(T));
  }
  return finish_const(context, std::move(tensor));
}

Status import_range(NodeContext& context) {
  for (size_t i = 0; i < 3; ++i) {
    if (!context.is_const(i)) return context.unsupported("its range is not constant");
    if (context.shape(i).count() != 1 || context.in(i).type != context.in(0).type) {
      return context.invalid("start, limit and delta are not scalars of one type");
    }
  }
  const auto count = [](double start, double limit, double delta) {
    return std::ceil((limit - start) / delta);
  };
  if (context.in(0).type == DType::kF32) {
    const auto at = [&](size_t i) { return context.in(i).constant->f32()[0]; };
    if (at(2) == 0) return context.invalid("delta is 0");
    return count_up<float>(context, DType::kF32, count(at(0), at(1), at(2)), at(0), at(2));
  }
  const auto at = [&](size_t i) { return context.in(i).constant->i64()[0]; };
  if (at(2) == 0) return context.invalid("delta is 0");
  return count_up<int64_t>(
      context, DType::kI64,
      count(static_cast<double>(at(0)), static_cast<double>(at(1)), static_cast<double>(at(2))),
      at(0), at(2));
}

// The dims of a value are known even where its elements are not.
Status import_shape(NodeContext& context) {
  const Shape& x = context.shape(0);
  const int64_t rank = x.rank();
  const auto position = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = position(context.int_attribute("start", 0));
  const int64_t end = position(context.int_attribute("end", rank));
  std::vector<int64_t> dims;
  for (int64_t i = start; i < end; ++i) dims.push_back(x[static_cast<int>(i)]);
  return finish_const(context, Tensor::from_i64(Shape{static_cast<int64_t>(dims.size())}, dims));
}

Status import_size(NodeContext& context) {
  const int64_t count = context.shape(0).count();
  return finish_const(context, Tensor::from_i64(Shape{}, std::span(&count, 1)));
}

// Integers wrap to the width of the type they are cast to and are kept as int64.
int64_t wrap(int64_t value, int64_t type) {
  switch (type) {
    case onnx::TensorProto::INT32:
      return static_cast<int32_t>(value);
    case onnx::TensorProto::INT8:
      return static_cast<int8_t>(value);
    case onnx::TensorProto::UINT8:
      return static_cast<uint8_t>(value);
    case onnx::TensorProto::BOOL:
      return value != 0;
    default:
      return value;
  }
}

// Towards zero, saturating; NaN gives 0.
int64_t truncate(float value) {
  if (std::isnan(value)) return 0;
  if (value >= 0x1p63f) return INT64_MAX;
  if (value < -0x1p63f) return INT64_MIN;
  return static_cast<int64_t>(value);
}

// The float that a constant of the float type `to` holds; float64 constants are computed in
// float32 as everywhere.
float to_float_type(float value, int64_t to) {
  if (to == onnx::TensorProto::FLOAT16) return round_to_f16(value);
  if (to == onnx::TensorProto::BFLOAT16) return round_to_bf16(value);
  return value;
}

int64_t to_int_type(float value, int64_t to) {
  return to == onnx::TensorProto::BOOL ? int64_t{value != 0} : wrap(truncate(value), to);
}

Tensor cast_tensor(const Tensor& from, int64_t type, bool to_float) {
  Tensor to = Tensor::zeros(to_float ? DType::kF32 : DType::kI64, from.shape);
  const bool integers = from.type == DType::kI64;
  for (size_t i = 0, n = static_cast<size_t>(from.count()); i < n; ++i) {
    if (to_float) {
      const float value = integers ? static_cast<float>(from.i64()[i]) : from.f32()[i];
      to.f32()[i] = to_float_type(value, type);
    } else {
      to.i64()[i] = integers ? wrap(from.i64()[i], type) : to_int_type(from.f32()[i], type);
    }
  }
  return to;
}

bool is_float_type(int64_t type) {
  return type == onnx::TensorProto::FLOAT || type == onnx::TensorProto::DOUBLE ||
         type == onnx::TensorProto::FLOAT16 || type == onnx::TensorProto::BFLOAT16;
}

bool is_int_type(int64_t type) {
  return type == onnx::TensorProto::INT64 || type == onnx::TensorProto::INT32 ||
         type == onnx::TensorProto::INT8 || type == onnx::TensorProto::UINT8 ||
         type == onnx::TensorProto::BOOL;
}

Status import_cast(NodeContext& context) {
  const int64_t to = context.int_attribute("to", 0);
  if (to == onnx::TensorProto::FLOAT && context.in(0).type == DType::kF32) {
    context.set_output(0, context.input(0));
    return ok_status();
  }
  if (to == onnx::TensorProto::FLOAT && !context.is_const(0) && is_narrow(context.in(0).type)) {
    CARREL_ASSIGN(const ValueId levels, float_levels(context, context.input(0)));
    context.set_output(0, levels);
    return ok_status();
  }
  if (!is_float_type(to) && !is_int_type(to)) {
    const std::string name = onnx::TensorProto_DataType_Name(static_cast<int>(to));
    return context.unsupported("to type %s", name.empty() ? "unknown" : name.c_str());
  }
  if (!context.is_const(0)) {
    return context.unsupported("to type %s at run time",
                               onnx::TensorProto_DataType_Name(static_cast<int>(to)).c_str());
  }
  return finish_const(context, cast_tensor(*context.in(0).constant, to, is_float_type(to)));
}

constexpr OperatorEntry kOperators[] = {
    {"Constant", import_constant, 0, 0}, {"ConstantOfShape", import_constant_of_shape, 1, 1},
    {"Range", import_range, 3, 3},       {"Shape", import_shape, 1, 1},
    {"Size", import_size, 1, 1},         {"Cast", import_cast, 1, 1},
};

}  // namespace

std::span<const OperatorEntry> constant_operators() { return kOperators; }

}  // namespace carrel
