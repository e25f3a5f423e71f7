// Operators of two and more tensors with NumPy broadcasting, PRelu, Identity and Dropout.
#include "compiler/graph/fold_cost.h"
#include "compiler/onnx/node_context.h"

namespace carrel {
namespace {

// More than real networks sum up; keeps hostile chains short.
constexpr int kMaxOperands = 1024;

template <OpType kOp>
Status import_binary(NodeContext& context) {
  return context.finish(context.make(kOp, {context.input(0), context.input(1)}));
}

// An integer exponent of a float base becomes a float.
Status import_pow(NodeContext& context) {
  ValueId exponent = context.input(1);
  if (context.in(0).type == DType::kF32 && context.is_const(1) &&
      context.in(1).type == DType::kI64) {
    const std::vector<int64_t> wide = context.in(1).constant->to_i64();
    const std::vector<float> values(wide.begin(), wide.end());
    exponent = context.add_const(Tensor::from_f32(context.shape(1), values));
  }
  return context.finish(context.make(OpType::kPow, {context.input(0), exponent}));
}

Result<ValueId> chain(NodeContext& context, OpType op) {
  ValueId result = context.input(0);
  for (size_t i = 1; i < context.input_count(); ++i) {
    if (!context.has(i)) return context.invalid("input %zu is missing", i);
    CARREL_ASSIGN(result, context.emit(context.make(op, {result, context.input(i)})));
  }
  return result;
}

template <OpType kOp>
Status import_chain(NodeContext& context) {
  CARREL_ASSIGN(const ValueId result, chain(context, kOp));
  context.set_output(0, result);
  return ok_status();
}

Status import_mean(NodeContext& context) {
  CARREL_ASSIGN(const ValueId sum, chain(context, OpType::kAdd));
  if (context.input_count() == 1) {
    context.set_output(0, sum);
    return ok_status();
  }
  const float share = 1.0f / static_cast<float>(context.input_count());
  const ValueId factor = context.add_const(Tensor::from_f32(Shape{}, std::span(&share, 1)));
  return context.finish(context.make(OpType::kMul, {sum, factor}));
}

Status import_identity(NodeContext& context) {
  context.set_output(0, context.input(0));
  return ok_status();
}

// Everything is kept. A mask beyond the limit is left out, and missed only where it is read.
void emit_mask(NodeContext& context) {
  const Shape& shape = context.shape(0);
  if (static_cast<uint64_t>(shape.count()) > kFoldBytesLimit / sizeof(int64_t)) return;
  Tensor mask = Tensor::zeros(DType::kI64, shape);
  for (int64_t& kept : mask.i64()) kept = 1;
  context.set_output(1, context.add_const(std::move(mask)));
}

// Inference only: the identity, unless a constant training_mode asks for more.
Status import_dropout(NodeContext& context) {
  if (context.has(2)) {
    CARREL_ASSIGN(const std::vector<int64_t> training, context.const_ints(2, "training_mode"));
    float ratio = 0.5f;
    if (context.has(1)) {
      CARREL_ASSIGN(const std::vector<float> given, context.const_floats(1, "ratio"));
      if (given.size() != 1) return context.invalid("ratio is not a scalar");
      ratio = given[0];
    }
    if (training.size() != 1) return context.invalid("training_mode is not a scalar");
    if (training[0] != 0 && ratio != 0) return context.unsupported("training");
  }
  CARREL_RETURN_IF_ERROR(import_identity(context));
  if (context.output_count() > 1) emit_mask(context);
  return ok_status();
}

constexpr OperatorEntry kOperators[] = {
    {"Add", import_binary<OpType::kAdd>, 2, 2},
    {"Sub", import_binary<OpType::kSub>, 2, 2},
    {"Mul", import_binary<OpType::kMul>, 2, 2},
    {"Div", import_binary<OpType::kDiv>, 2, 2},
    {"Pow", import_pow, 2, 2},
    {"PRelu", import_binary<OpType::kPRelu>, 2, 2},
    {"Sum", import_chain<OpType::kAdd>, 1, kMaxOperands},
    {"Max", import_chain<OpType::kMax>, 1, kMaxOperands},
    {"Min", import_chain<OpType::kMin>, 1, kMaxOperands},
    {"Mean", import_mean, 1, kMaxOperands},
    {"Identity", import_identity, 1, 1},
    {"Dropout", import_dropout, 1, 3},
};

}  // namespace

std::span<const OperatorEntry> elementwise_operators() { return kOperators; }

}  // namespace carrel
