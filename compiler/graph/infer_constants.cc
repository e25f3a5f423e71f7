#include <cmath>

#include "compiler/graph/infer_internal.h"

namespace carrel {
namespace {

Status infer_cast(Inference& inference) {
  const int64_t to = inference.node().attributes.int_or("to", -1);
  if (to < 0 || to > static_cast<int64_t>(DType::kF64)) return inference.fail("unknown type");
  return inference.set(0, static_cast<DType>(to), inference.shape(0));
}

// Present data, not just a shape.
bool has_data(const Value& value) {
  return value.is_const() && value.constant->data.size() ==
                                 static_cast<size_t>(value.shape.count()) * dtype_size(value.type);
}

// max(ceil((limit - start) / delta), 0)
Result<int64_t> range_count(const Inference& inference) {
  double bounds[3];
  const DType type = inference.in(0).type;
  for (size_t i = 0; i < 3; ++i) {
    const Value& value = inference.in(i);
    if (!has_data(value)) return inference.fail("start, limit and delta must be constant");
    if (value.shape.count() != 1 || value.type != type ||
        (type != DType::kF32 && type != DType::kI64)) {
      return inference.fail("start, limit and delta must be scalars of one type");
    }
    bounds[i] = type == DType::kF32 ? static_cast<double>(value.constant->f32()[0])
                                    : static_cast<double>(value.constant->i64()[0]);
  }
  const double count = std::ceil((bounds[1] - bounds[0]) / bounds[2]);
  if (!(bounds[2] != 0) || !(count < 1e12)) return inference.fail("the range does not end");
  return count > 0 ? static_cast<int64_t>(count) : 0;
}

Status infer_constant_of_shape(Inference& inference) {
  const Value& dims = inference.in(0);
  if (!has_data(dims) || dims.type != DType::kI64 || dims.shape.rank() != 1) {
    return inference.fail("the shape is not a constant list");
  }
  if (inference.has(1) && (!has_data(inference.in(1)) || inference.shape(1).count() != 1)) {
    return inference.fail("the value is not one constant element");
  }
  Shape out;
  for (int64_t dim : dims.constant->i64()) {
    if (dim < 0 || !out.push_back(dim)) return inference.fail("bad shape");
  }
  return inference.set(0, inference.has(1) ? inference.in(1).type : DType::kF32, out);
}

}  // namespace

Status infer_constants(Inference& inference) {
  switch (inference.node().op) {
    case OpType::kCast:
      return infer_cast(inference);
    case OpType::kShape:
      return inference.set(0, DType::kI64, Shape{inference.shape(0).rank()});
    case OpType::kRange: {
      CARREL_ASSIGN(const int64_t count, range_count(inference));
      return inference.set(Shape{count});
    }
    case OpType::kConstantOfShape:
      return infer_constant_of_shape(inference);
    default:
      return inference.fail("unknown operator");
  }
}

}  // namespace carrel
