// Normalisations and softmaxes.
#include "compiler/graph/batch_norm.h"
#include "compiler/onnx/node_context.h"

namespace carrel {
namespace {

// Affine in place of constant statistics.
Status fold_statistics(NodeContext& context, float epsilon) {
  const int64_t channels = context.shape(0).rank() < 2 ? -1 : context.shape(0)[1];
  for (size_t i = 1; i < 5; ++i) {
    if (!(context.shape(i) == Shape{channels})) {
      return context.invalid("its statistics need one value per channel");
    }
  }
  const auto data = [&](size_t i) { return context.in(i).constant->f32(); };
  std::vector<float> scale;
  std::vector<float> shift;
  if (!affine_from_statistics({data(1), data(2), data(3), data(4), epsilon}, &scale, &shift)) {
    return context.invalid("a variance is not positive");
  }
  const ValueId scale_id = context.add_const(Tensor::from_f32(Shape{channels}, scale));
  const ValueId shift_id = context.add_const(Tensor::from_f32(Shape{channels}, shift));
  return context.finish(context.make(OpType::kAffine, {context.input(0), scale_id, shift_id}));
}

Status import_batch_norm(NodeContext& context) {
  if (context.int_attribute("training_mode", 0) != 0) return context.unsupported("training");
  if (context.opset() < 9 && context.int_attribute("spatial", 1) == 0) {
    return context.unsupported("statistics per element (spatial = 0)");
  }
  const float epsilon = context.float_attribute("epsilon", 1e-5f);
  bool constant = true;
  for (size_t i = 1; i < 5; ++i) {
    constant &= context.is_const(i) && context.in(i).type == DType::kF32;
  }
  if (constant) return fold_statistics(context, epsilon);
  Node node = context.make(
      OpType::kBatchNorm,
      {context.input(0), context.input(1), context.input(2), context.input(3), context.input(4)});
  node.attributes.floats["epsilon"] = {epsilon};
  return context.finish(std::move(node));
}

Status import_instance_norm(NodeContext& context) {
  Node node =
      context.make(OpType::kInstanceNorm, {context.input(0), context.input(1), context.input(2)});
  node.attributes.floats["epsilon"] = {context.float_attribute("epsilon", 1e-5f)};
  return context.finish(std::move(node));
}

// Mean and 1 / sqrt(variance + epsilon) over the dims from `axis` on, as outputs 1 and 2.
Status emit_layer_statistics(NodeContext& context, int axis, float epsilon) {
  const ValueId x = context.input(0);
  const auto reduce_mean = [&](ValueId id) {
    Node node = context.make(OpType::kReduceMean, {id});
    for (int i = axis; i < context.value(x).shape.rank(); ++i) {
      node.attributes.ints["axes"].push_back(i);
    }
    node.attributes.ints["keepdims"] = {1};
    return context.emit(std::move(node));
  };
  const auto apply = [&](UnaryFn fn, ValueId id) {
    Node node = context.make(OpType::kUnary, {id});
    node.activation.fn = fn;
    return context.emit(std::move(node));
  };
  CARREL_ASSIGN(const ValueId mean, reduce_mean(x));
  CARREL_ASSIGN(const ValueId centred, context.emit(context.make(OpType::kSub, {x, mean})));
  CARREL_ASSIGN(const ValueId square, context.emit(context.make(OpType::kMul, {centred, centred})));
  CARREL_ASSIGN(const ValueId variance, reduce_mean(square));
  const ValueId constant = context.add_const(Tensor::from_f32(Shape{}, std::span(&epsilon, 1)));
  CARREL_ASSIGN(const ValueId shifted,
                context.emit(context.make(OpType::kAdd, {variance, constant})));
  CARREL_ASSIGN(const ValueId deviation, apply(UnaryFn::kSqrt, shifted));
  CARREL_ASSIGN(const ValueId inverse, apply(UnaryFn::kReciprocal, deviation));
  context.set_output(1, mean);
  if (context.output_count() > 2) context.set_output(2, inverse);
  return ok_status();
}

Status import_layer_norm(NodeContext& context) {
  CARREL_ASSIGN(const int axis,
                context.normal_axis(context.int_attribute("axis", -1), context.shape(0).rank()));
  const float epsilon = context.float_attribute("epsilon", 1e-5f);
  Node node =
      context.make(OpType::kLayerNorm, {context.input(0), context.input(1), context.input(2)});
  node.attributes.ints["axis"] = {axis};
  node.attributes.floats["epsilon"] = {epsilon};
  CARREL_RETURN_IF_ERROR(context.finish(std::move(node)));
  // Dead code removal drops them where nobody looks.
  return context.output_count() > 1 ? emit_layer_statistics(context, axis, epsilon) : ok_status();
}

Status import_lrn(NodeContext& context) {
  Node node = context.make(OpType::kLrn, {context.input(0)});
  node.attributes.ints["size"] = {context.int_attribute("size", 0)};
  node.attributes.floats["alpha"] = {context.float_attribute("alpha", 0.0001f)};
  node.attributes.floats["beta"] = {context.float_attribute("beta", 0.75f)};
  node.attributes.floats["bias"] = {context.float_attribute("bias", 1)};
  return context.finish(std::move(node));
}

Result<ValueId> reshape_to(NodeContext& context, ValueId x, const Shape& shape) {
  Node node = context.make(OpType::kReshape, {x});
  std::vector<int64_t>& dims = node.attributes.ints["shape"];
  for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
  return context.emit(std::move(node));
}

// Before opset 13 the input is flattened to two dimensions at `axis`, and each row is one
// distribution.
template <OpType kOp>
Status import_softmax(NodeContext& context) {
  const Shape shape = context.shape(0);
  const bool flattens = context.opset() < 13;
  CARREL_ASSIGN(
      const int axis,
      context.normal_axis(context.int_attribute("axis", flattens ? 1 : -1), shape.rank()));
  int64_t outer = 1;
  int64_t inner = 1;  // below `axis`
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  Node node = context.make(kOp, {context.input(0)});
  node.attributes.ints["axis"] = {axis};
  if (!flattens || inner == 1) return context.finish(std::move(node));
  CARREL_ASSIGN(const ValueId flat,
                reshape_to(context, context.input(0), Shape{outer, shape[axis] * inner}));
  node = context.make(kOp, {flat});
  node.attributes.ints["axis"] = {1};
  CARREL_ASSIGN(const ValueId result, context.emit(std::move(node)));
  CARREL_ASSIGN(const ValueId restored, reshape_to(context, result, shape));
  context.set_output(0, restored);
  return ok_status();
}

constexpr OperatorEntry kOperators[] = {
    {"BatchNormalization", import_batch_norm, 5, 5},
    {"InstanceNormalization", import_instance_norm, 3, 3},
    {"LayerNormalization", import_layer_norm, 2, 3},
    {"LRN", import_lrn, 1, 1},
    {"Softmax", import_softmax<OpType::kSoftmax>, 1, 1},
    {"LogSoftmax", import_softmax<OpType::kLogSoftmax>, 1, 1},
};

}  // namespace

std::span<const OperatorEntry> norm_operators() { return kOperators; }

}  // namespace carrel
