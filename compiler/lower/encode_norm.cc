// Normalisations, softmax, reductions.
#include "compiler/lower/encoder.h"

namespace carrel {

Status Encoder::encode_normalisation() {
  const auto reduce = [this](PlainOp op) -> Status {
    add_int("keepdims", 1);
    const std::vector<int64_t>& axes = node_.attributes.int_list("axes");
    out_.ints.insert(out_.ints.end(), axes.begin(), axes.end());
    return first_input_only(op);
  };
  switch (node_.op) {
    case OpType::kBatchNorm:
      add_float("epsilon", 1e-5f);
      return simple(PlainOp::kBatchNorm);
    case OpType::kInstanceNorm:
      add_float("epsilon", 1e-5f);
      return simple(PlainOp::kInstanceNorm);
    case OpType::kLayerNorm:
      add_int("axis", rank(0) - 1);
      add_float("epsilon", 1e-5f);
      return simple(PlainOp::kLayerNorm);
    case OpType::kLrn:
      add_int("size", 1);
      add_float("alpha", 1e-4f);
      add_float("beta", 0.75f);
      add_float("bias", 1);
      return simple(PlainOp::kLrn);
    case OpType::kSoftmax:
      add_int("axis", rank(0) - 1);
      return simple(PlainOp::kSoftmax);
    case OpType::kLogSoftmax:
      add_int("axis", rank(0) - 1);
      return simple(PlainOp::kLogSoftmax);
    case OpType::kReduceMean:
      return reduce(PlainOp::kReduceMean);
    case OpType::kReduceSum:
      return reduce(PlainOp::kReduceSum);
    case OpType::kReduceMax:
      return reduce(PlainOp::kReduceMax);
    case OpType::kReduceMin:
      return reduce(PlainOp::kReduceMin);
    default:
      return reduce(PlainOp::kReduceProd);
  }
}

}  // namespace carrel
