#include "compiler/graph/infer_internal.h"

namespace carrel {
namespace {

Status infer_binary(Inference& inference) {
  const DType a = inference.in(0).type;
  const DType b = inference.in(1).type;
  const bool int_exponent = inference.node().op == OpType::kPow && b == DType::kI64;
  if ((a != DType::kF32 && a != DType::kI64) || (a != b && !int_exponent)) {
    return Error(ErrorCode::kUnsupported, "node %s: %s of types %s and %s",
                 inference.node().name.c_str(), op_name(inference.node().op), dtype_name(a),
                 dtype_name(b));
  }
  const Result<Shape> out = broadcast_shapes(inference.shape(0), inference.shape(1));
  if (!out.ok()) return inference.fail("shapes do not broadcast");
  return inference.set(*out);
}

// Inputs from 1 on hold one value per channel (axis 1).
Status infer_per_channel(Inference& inference) {
  const Shape& x = inference.shape(0);
  if (x.rank() < 2) return inference.fail("a channel dimension is needed");
  for (size_t i = 1; i < inference.input_count(); ++i) {
    if (!inference.has(i)) continue;
    const Shape& parameter = inference.shape(i);
    if (parameter.rank() != 1 || parameter[0] != x[1]) {
      return inference.fail("parameters need one value per channel");
    }
  }
  return inference.set(x);
}

// Inputs from 1 on broadcast to X's dims from `axis` on.
Status infer_broadcast_parameters(Inference& inference, int axis) {
  const Shape& x = inference.shape(0);
  Shape tail;
  for (int i = axis; i < x.rank(); ++i) CARREL_CHECK(tail.push_back(x[i]));
  for (size_t i = 1; i < inference.input_count(); ++i) {
    if (!inference.has(i)) continue;
    const Result<Shape> both = broadcast_shapes(tail, inference.shape(i));
    if (!both.ok() || !(*both == tail)) return inference.fail("parameters do not broadcast");
  }
  return inference.set(x);
}

}  // namespace

Status infer_elementwise(Inference& inference) {
  const OpType op = inference.node().op;
  if (op >= OpType::kAdd && op <= OpType::kMin) return infer_binary(inference);
  if (op == OpType::kIdentity) return inference.set(inference.shape(0));
  CARREL_RETURN_IF_ERROR(inference.require_float());
  switch (op) {
    case OpType::kAffine:
    case OpType::kBatchNorm:
    case OpType::kInstanceNorm:
      return infer_per_channel(inference);
    case OpType::kPRelu:
      return infer_broadcast_parameters(inference, 0);
    case OpType::kLayerNorm: {
      CARREL_ASSIGN(const int axis, inference.axis(inference.shape(0).rank()));
      return infer_broadcast_parameters(inference, axis);
    }
    case OpType::kSoftmax:
    case OpType::kLogSoftmax: {
      CARREL_RETURN_IF_ERROR(inference.axis(inference.shape(0).rank()));
      return inference.set(inference.shape(0));
    }
    case OpType::kLrn: {
      const int64_t size = inference.node().attributes.int_or("size", 0);
      if (inference.shape(0).rank() < 2) return inference.fail("a channel dimension is needed");
      if (size < 1 || size >= kMaxWindow) return inference.fail("size is out of range");
      return inference.set(inference.shape(0));
    }
    case OpType::kUnary: {
      const UnaryFn fn = inference.node().activation.fn;
      if (fn == UnaryFn::kNone || fn >= UnaryFn::kCount) return inference.fail("no function");
      return inference.set(inference.shape(0));
    }
    default:
      return inference.fail("unknown operator");
  }
}

Status infer_reduce(Inference& inference) {
  const Value& x = inference.in(0);
  if (x.type != DType::kF32 && x.type != DType::kI64) {
    return Error(ErrorCode::kUnsupported, "node %s: %s of type %s", inference.node().name.c_str(),
                 op_name(inference.node().op), dtype_name(x.type));
  }
  const bool keep = inference.node().attributes.int_or("keepdims", 1) != 0;
  std::array<bool, Shape::kMaxRank> reduced{};
  int64_t previous = -1;
  for (int64_t axis : inference.node().attributes.int_list("axes")) {
    if (axis <= previous || axis >= x.shape.rank()) return inference.fail("axes out of range");
    reduced[static_cast<size_t>(axis)] = true;
    previous = axis;
  }
  Shape out;
  for (int i = 0; i < x.shape.rank(); ++i) {
    if (!reduced[static_cast<size_t>(i)])
      CARREL_CHECK(out.push_back(x.shape[i]));
    else if (keep)
      CARREL_CHECK(out.push_back(1));
  }
  return inference.set(out);
}

}  // namespace carrel
