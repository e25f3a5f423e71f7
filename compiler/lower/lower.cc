#include "compiler/lower/lower.h"

#include "compiler/lower/encoder.h"

namespace carrel {

Result<PlainEncoding> Encoder::encode() {
  if (node_.op >= OpType::kCount) return invalid(node_, "no such operator");
  for (ValueId id : node_.inputs) {
    const bool known = id >= 0 && static_cast<size_t>(id) < graph_.values.size();
    if (id != kNoValue && !known) return invalid(node_, "an input does not exist");
    if (known && !graph_.value(id).shape_known)
      return invalid(node_, "the shape of an input is not known");
  }
  CARREL_RETURN_IF_ERROR(encode_op());
  if (out_.ints.size() > kMaxPlainInts || out_.floats.size() > kMaxPlainFloats) {
    return unsupported(node_, "its list of numbers is too long");
  }
  if (out_.inputs.size() > kMaxPlainInputs) return unsupported(node_, "too many inputs");
  return std::move(out_);
}

Status Encoder::encode_op() {
  switch (node_.op) {
    case OpType::kUnary:
      return simple(PlainOp::kUnary);
    case OpType::kPRelu:
      return simple(PlainOp::kPRelu);
    case OpType::kAffine:
      return simple(PlainOp::kAffine);
    case OpType::kMatMul:
      return simple(PlainOp::kMatMul);
    case OpType::kAdd:
      return simple(PlainOp::kAdd);
    case OpType::kSub:
      return simple(PlainOp::kSub);
    case OpType::kMul:
      return simple(PlainOp::kMul);
    case OpType::kDiv:
      return simple(PlainOp::kDiv);
    case OpType::kPow:
      return simple(PlainOp::kPow);
    case OpType::kMax:
      return simple(PlainOp::kMax);
    case OpType::kMin:
      return simple(PlainOp::kMin);
    case OpType::kGemm:
      add_int("transA", 0);
      add_int("transB", 0);
      add_float("alpha", 1);
      add_float("beta", 1);
      return simple(PlainOp::kGemm);
    case OpType::kConv:
    case OpType::kConvTranspose:
    case OpType::kMaxPool:
    case OpType::kAveragePool:
    case OpType::kGlobalAveragePool:
    case OpType::kGlobalMaxPool:
      return encode_windowed();
    case OpType::kBatchNorm:
    case OpType::kInstanceNorm:
    case OpType::kLayerNorm:
    case OpType::kLrn:
    case OpType::kSoftmax:
    case OpType::kLogSoftmax:
    case OpType::kReduceMean:
    case OpType::kReduceSum:
    case OpType::kReduceMax:
    case OpType::kReduceMin:
    case OpType::kReduceProd:
      return encode_normalisation();
    case OpType::kGather:
      return gather();
    case OpType::kQuantize:
    case OpType::kDequantize:
    case OpType::kDequantizeConst:
    case OpType::kQConv:
    case OpType::kQGemm:
    case OpType::kQAdd:
    case OpType::kQAveragePool:
    case OpType::kQGlobalAveragePool:
    case OpType::kQConcat:
      return encode_quantized();
    default:
      return encode_movement();
  }
}

Result<PlainEncoding> encode_plain(const Graph& graph, const Node& node) {
  return Encoder(graph, node).encode();
}

}  // namespace carrel
