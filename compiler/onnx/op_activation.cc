// Functions of one element.
#include <limits>

#include "compiler/onnx/node_context.h"

namespace carrel {
namespace {

Status finish_unary(NodeContext& context, UnaryFn fn, float a = 0, float b = 0) {
  Node node = context.make(OpType::kUnary, {context.input(0)});
  node.activation = {fn, a, b};
  return context.finish(std::move(node));
}

template <UnaryFn kFn>
Status import_unary(NodeContext& context) {
  return finish_unary(context, kFn);
}

Status import_leaky_relu(NodeContext& context) {
  return finish_unary(context, UnaryFn::kLeakyRelu, context.float_attribute("alpha", 0.01f));
}

Status import_elu(NodeContext& context) {
  return finish_unary(context, UnaryFn::kElu, context.float_attribute("alpha", 1));
}

Status import_selu(NodeContext& context) {
  return finish_unary(context, UnaryFn::kSelu,
                      context.float_attribute("alpha", 1.67326319217681884765625f),
                      context.float_attribute("gamma", 1.05070102214813232421875f));
}

Status import_hard_sigmoid(NodeContext& context) {
  return finish_unary(context, UnaryFn::kHardSigmoid, context.float_attribute("alpha", 0.2f),
                      context.float_attribute("beta", 0.5f));
}

Status import_gelu(NodeContext& context) {
  const std::string mode = context.string_attribute("approximate", "none");
  if (mode != "none" && mode != "tanh") return context.invalid("approximate is '%s'", mode.c_str());
  return finish_unary(context, mode == "none" ? UnaryFn::kGelu : UnaryFn::kGeluTanh);
}

// 0 - x for integers, whose negation has no kernel.
Status import_neg(NodeContext& context) {
  if (context.in(0).type != DType::kI64) return finish_unary(context, UnaryFn::kNeg);
  const ValueId zero = context.add_const(Tensor::zeros(DType::kI64, Shape{}));
  return context.finish(context.make(OpType::kSub, {zero, context.input(0)}));
}

// A bound as one number: `fallback` where it is omitted.
Result<float> const_bound(NodeContext& context, size_t i, const char* name, float fallback) {
  if (!context.has(i)) return fallback;
  CARREL_ASSIGN(const std::vector<float> bound, context.const_floats(i, name));
  if (bound.size() != 1) return context.invalid("%s is not a scalar", name);
  return bound[0];
}

Status import_clip(NodeContext& context) {
  const float lowest = std::numeric_limits<float>::lowest();
  const float highest = std::numeric_limits<float>::max();
  if (context.opset() < 11) {
    return finish_unary(context, UnaryFn::kClip, context.float_attribute("min", lowest),
                        context.float_attribute("max", highest));
  }
  if (context.in(0).type != DType::kF32) return context.unsupported("type int64");
  const bool run_time =
      (context.has(1) && !context.is_const(1)) || (context.has(2) && !context.is_const(2));
  if (!run_time) {
    CARREL_ASSIGN(const float low, const_bound(context, 1, "min", lowest));
    CARREL_ASSIGN(const float high, const_bound(context, 2, "max", highest));
    return finish_unary(context, UnaryFn::kClip, low, high);
  }
  ValueId x = context.input(0);
  if (context.has(1)) {
    CARREL_ASSIGN(x, context.emit(context.make(OpType::kMax, {x, context.input(1)})));
  }
  if (context.has(2)) {
    CARREL_ASSIGN(x, context.emit(context.make(OpType::kMin, {x, context.input(2)})));
  }
  context.set_output(0, x);
  return ok_status();
}

constexpr OperatorEntry kOperators[] = {
    {"Relu", import_unary<UnaryFn::kRelu>, 1, 1},
    {"LeakyRelu", import_leaky_relu, 1, 1},
    {"Clip", import_clip, 1, 3},
    {"Sigmoid", import_unary<UnaryFn::kSigmoid>, 1, 1},
    {"HardSigmoid", import_hard_sigmoid, 1, 1},
    {"HardSwish", import_unary<UnaryFn::kHardSwish>, 1, 1},
    {"Tanh", import_unary<UnaryFn::kTanh>, 1, 1},
    {"Elu", import_elu, 1, 1},
    {"Selu", import_selu, 1, 1},
    {"Softplus", import_unary<UnaryFn::kSoftplus>, 1, 1},
    {"Gelu", import_gelu, 1, 1},
    {"Erf", import_unary<UnaryFn::kErf>, 1, 1},
    {"Sqrt", import_unary<UnaryFn::kSqrt>, 1, 1},
    {"Exp", import_unary<UnaryFn::kExp>, 1, 1},
    {"Log", import_unary<UnaryFn::kLog>, 1, 1},
    {"Neg", import_neg, 1, 1},
    {"Abs", import_unary<UnaryFn::kAbs>, 1, 1},
    {"Reciprocal", import_unary<UnaryFn::kReciprocal>, 1, 1},
};

}  // namespace

std::span<const OperatorEntry> activation_operators() { return kOperators; }

}  // namespace carrel
