#include "engine/kernels/plain/plain.h"

#include "engine/kernels/plain/internal.h"

namespace carrel {
namespace plain {

Status check_arity(const PlainCall& call, const Arity& arity) {
  PLAIN_REQUIRE(call.inputs.size() >= arity.min_inputs && call.inputs.size() <= arity.max_inputs,
                "wrong number of inputs");
  PLAIN_REQUIRE(call.ints.size() >= arity.min_ints && call.ints.size() <= arity.max_ints,
                "wrong number of integers");
  PLAIN_REQUIRE(call.floats.size() >= arity.min_floats && call.floats.size() <= arity.max_floats,
                "wrong number of floats");
  for (size_t i = 0; i < arity.min_inputs; ++i) {
    PLAIN_REQUIRE(call.inputs[i].data != nullptr || count(call.inputs[i]) == 0,
                  "a required input is missing");
  }
  if (arity.allow_i64) return ok_status();
  for (const PlainTensor& t : call.inputs)
    PLAIN_REQUIRE(t.type == PlainType::kF32, "needs float32");
  for (const PlainTensor& t : call.outputs)
    PLAIN_REQUIRE(t.type == PlainType::kF32, "needs float32");
  return ok_status();
}

bool same_types(const PlainCall& call) {
  const PlainType type = call.outputs[0].type;
  const auto is_type = [type](const PlainTensor& t) { return t.type == type; };
  return std::all_of(call.inputs.begin(), call.inputs.end(), is_type) &&
         std::all_of(call.outputs.begin(), call.outputs.end(), is_type);
}

namespace {

// Any product of dims stays below kMaxElements, a zero among them or not.
bool valid_tensor(const PlainTensor& t) {
  if (t.rank > kMaxRank || t.type > PlainType::kI64) return false;
  int64_t n = 1;
  for (int i = 0; i < t.rank; ++i) {
    if (t.dims[i] < 0 || t.dims[i] > kMaxElements) return false;
    const int64_t dim = std::max<int64_t>(t.dims[i], 1);
    if (n > kMaxElements / dim) return false;
    n *= dim;
  }
  return true;
}

Status check_call(const PlainCall& call) {
  PLAIN_REQUIRE(call.op < PlainOp::kCount, "no such operator");
  PLAIN_REQUIRE(call.inputs.size() <= kMaxPlainInputs, "too many inputs");
  PLAIN_REQUIRE(!call.outputs.empty() && call.outputs.size() <= kMaxPlainOutputs,
                "no outputs or too many");
  PLAIN_REQUIRE(call.op == PlainOp::kSplit || call.outputs.size() == 1, "needs one output");
  PLAIN_REQUIRE(call.ints.size() <= kMaxPlainInts && call.floats.size() <= kMaxPlainFloats,
                "too many numbers");
  PLAIN_REQUIRE(valid_unary(call.activation), "no such activation");
  for (const PlainTensor& t : call.inputs)
    PLAIN_REQUIRE(valid_tensor(t), "an input's dims are wrong");
  for (const PlainTensor& t : call.outputs) {
    PLAIN_REQUIRE(valid_tensor(t), "an output's dims are wrong");
    PLAIN_REQUIRE(t.data != nullptr || count(t) == 0, "an output has no memory");
  }
  return ok_status();
}

Status dispatch(const PlainCall& call) {
  switch (call.op) {
    case PlainOp::kUnary:
      return run_unary(call);
    case PlainOp::kConv:
      return run_conv(call);
    case PlainOp::kConvTranspose:
      return run_conv_transpose(call);
    case PlainOp::kGemm:
      return run_gemm(call);
    case PlainOp::kMatMul:
      return run_matmul(call);
    case PlainOp::kAffine:
      return run_affine(call);
    case PlainOp::kBatchNorm:
      return run_batch_norm(call);
    case PlainOp::kInstanceNorm:
      return run_instance_norm(call);
    case PlainOp::kLayerNorm:
      return run_layer_norm(call);
    case PlainOp::kLrn:
      return run_lrn(call);
    case PlainOp::kPRelu:
      return run_prelu(call);
    case PlainOp::kSoftmax:
    case PlainOp::kLogSoftmax:
      return run_softmax(call);
    case PlainOp::kMaxPool:
    case PlainOp::kAveragePool:
      return run_pool(call);
    case PlainOp::kAdd:
    case PlainOp::kSub:
    case PlainOp::kMul:
    case PlainOp::kDiv:
    case PlainOp::kPow:
    case PlainOp::kMax:
    case PlainOp::kMin:
      return run_binary(call);
    case PlainOp::kReduceMean:
    case PlainOp::kReduceSum:
    case PlainOp::kReduceMax:
    case PlainOp::kReduceMin:
    case PlainOp::kReduceProd:
      return run_reduce(call);
    case PlainOp::kConcat:
      return run_concat(call);
    case PlainOp::kSplit:
      return run_split(call);
    case PlainOp::kSlice:
      return run_slice(call);
    case PlainOp::kPad:
      return run_pad(call);
    case PlainOp::kReshape:
      return run_reshape(call);
    case PlainOp::kTranspose:
      return run_transpose(call);
    case PlainOp::kExpand:
      return run_expand(call);
    case PlainOp::kGather:
      return run_gather(call);
    case PlainOp::kResize:
      return run_resize(call);
    case PlainOp::kDepthToSpace:
      return run_depth_to_space(call);
    case PlainOp::kSpaceToDepth:
      return run_space_to_depth(call);
    case PlainOp::kQuantize:
      return run_quantize(call);
    case PlainOp::kDequantize:
      return run_dequantize(call);
    case PlainOp::kQConv:
      return run_qconv(call);
    case PlainOp::kQGemm:
      return run_qgemm(call);
    case PlainOp::kQAdd:
      return run_qadd(call);
    case PlainOp::kQAveragePool:
      return run_qpool(call);
    case PlainOp::kQConcat:
      return run_qconcat(call);
    case PlainOp::kCount:
      break;
  }
  return bad(call, "no such operator");
}

}  // namespace
}  // namespace plain

Status run_plain(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(plain::check_call(call));
  CARREL_RETURN_IF_ERROR(plain::dispatch(call));
  if (call.op == PlainOp::kUnary || call.activation.fn == UnaryFn::kNone) return ok_status();
  for (const PlainTensor& t : call.outputs) {
    if (t.type != PlainType::kF32) continue;
    plain::apply_unary(call.activation, plain::f32(t), plain::f32(t), plain::count(t));
  }
  return ok_status();
}

}  // namespace carrel
