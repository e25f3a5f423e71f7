// fold_batch_norm and fuse_bias: per-channel constants move into the weights before them.
#include <cmath>
#include <optional>

#include "compiler/graph/batch_norm.h"
#include "compiler/graph/pass_util.h"

namespace carrel {

bool affine_from_statistics(const BatchNormParameters& parameters, std::vector<float>* factor,
                            std::vector<float>* shift) {
  const size_t channels = parameters.scale.size();
  factor->resize(channels);
  shift->resize(channels);
  for (size_t c = 0; c < channels; ++c) {
    const double variance =
        static_cast<double>(parameters.variance[c]) + static_cast<double>(parameters.epsilon);
    if (!(variance > 0)) return false;
    const double scaled = static_cast<double>(parameters.scale[c]) / std::sqrt(variance);
    (*factor)[c] = static_cast<float>(scaled);
    (*shift)[c] = static_cast<float>(static_cast<double>(parameters.bias[c]) -
                                     static_cast<double>(parameters.mean[c]) * scaled);
  }
  return true;
}

namespace {

// Channels are the outermost dimension: each row times its factor.
Tensor scale_rows(const Tensor& weight, std::span<const float> scale) {
  Tensor scaled = weight;
  const std::span<float> data = scaled.f32();
  const size_t inner = data.size() / scale.size();
  for (size_t m = 0; m < scale.size(); ++m) {
    for (size_t i = 0; i < inner; ++i) data[m * inner + i] *= scale[m];
  }
  return scaled;
}

// Weight (C, M/group, kernel): row c of group g holds channels g * M/group + j.
Tensor scale_transposed(const Tensor& weight, std::span<const float> scale, int64_t group) {
  Tensor scaled = weight;
  const std::span<float> data = scaled.f32();
  const auto rows = static_cast<size_t>(weight.shape[0]);
  const auto columns = static_cast<size_t>(weight.shape[1]);
  const size_t inner = data.size() / (rows * columns);
  const size_t group_rows = rows / static_cast<size_t>(group);
  for (size_t c = 0; c < rows; ++c) {
    for (size_t j = 0; j < columns; ++j) {
      const float factor = scale[c / group_rows * columns + j];
      for (size_t i = 0; i < inner; ++i) data[(c * columns + j) * inner + i] *= factor;
    }
  }
  return scaled;
}

Tensor scale_columns(const Tensor& weight, std::span<const float> scale) {
  Tensor scaled = weight;
  const std::span<float> data = scaled.f32();
  for (size_t i = 0; i < data.size(); ++i) data[i] *= scale[i % scale.size()];
  return scaled;
}

// A weight without data (serialize.h) keeps its shape.
Tensor scale_weight(const Node& node, const Tensor& weight, std::span<const float> scale) {
  if (weight.data.empty()) return weight;
  if (node.op == OpType::kConv) return scale_rows(weight, scale);
  if (node.op == OpType::kConvTranspose) {
    return scale_transposed(weight, scale, node.attributes.int_or("group", 1));
  }
  return node.attributes.int_or("transB", 0) != 0 ? scale_rows(weight, scale)
                                                  : scale_columns(weight, scale);
}

// The bias as one value per channel, beta included; nothing if it has another form.
std::optional<std::vector<float>> channel_bias(const Graph& graph, const Node& node,
                                               size_t channels) {
  if (node.inputs.size() < 3 || node.inputs[2] == kNoValue) return std::vector<float>(channels, 0);
  if (!is_weight(graph, node.inputs[2])) return std::nullopt;
  const Tensor& bias = *graph.value(node.inputs[2]).constant;
  const auto count = static_cast<size_t>(bias.count());
  const bool per_channel =
      bias.shape.rank() >= 1 && bias.shape[bias.shape.rank() - 1] == bias.count();
  if (count != 1 && (count != channels || !per_channel)) return std::nullopt;
  const float beta = node.op == OpType::kGemm ? node.attributes.float_or("beta", 1) : 1;
  std::vector<float> values(channels);
  for (size_t m = 0; m < channels; ++m) values[m] = beta * bias.f32()[count == 1 ? 0 : m];
  return values;
}

bool is_float_constant(const Graph& graph, ValueId id) {
  return graph.value(id).is_const() && graph.value(id).type == DType::kF32;
}

bool has_channel_weights(OpType op) {
  return op == OpType::kConv || op == OpType::kConvTranspose || op == OpType::kGemm;
}

// BatchNorm with constant statistics is an Affine.
bool batch_norm_to_affine(const Graph& graph, NodeId id, PatchBuilder* builder) {
  const Node& norm = graph.node(id);
  if (norm.dead || norm.op != OpType::kBatchNorm) return false;
  for (size_t i = 1; i < 5; ++i) {
    if (!is_weight(graph, norm.inputs[i])) return false;
  }
  const auto parameter = [&](size_t i) { return graph.value(norm.inputs[i]).constant->f32(); };
  const BatchNormParameters parameters = {parameter(1), parameter(2), parameter(3), parameter(4),
                                          norm.attributes.float_or("epsilon", 1e-5f)};
  std::vector<float> scale;
  std::vector<float> shift;
  if (!affine_from_statistics(parameters, &scale, &shift)) return false;
  const Shape shape{static_cast<int64_t>(scale.size())};
  Node affine = norm;
  affine.op = OpType::kAffine;
  affine.attributes = {};
  affine.inputs = {norm.inputs[0],
                   builder->add_const(norm.name + ".scale", Tensor::from_f32(shape, scale)),
                   builder->add_const(norm.name + ".shift", Tensor::from_f32(shape, shift))};
  builder->replace({id}, std::move(affine));
  return true;
}

// The producer of `id` if its weights may absorb what follows: single use, constant weights,
// nothing fused yet.
NodeId absorbing_producer(const Graph& graph, const UseMap& uses, const PatchBuilder& builder,
                          ValueId id) {
  const NodeId producer = uses.producer(id);
  if (producer < 0 || !uses.single_use(id) || builder.touched(producer)) return -1;
  const Node& node = graph.node(producer);
  if (!has_channel_weights(node.op) || node.activation.fn != UnaryFn::kNone) return -1;
  return is_float_constant(graph, node.inputs[1]) ? producer : -1;
}

bool fold_affine(const Graph& graph, const UseMap& uses, NodeId id, PatchBuilder* builder) {
  const Node& affine = graph.node(id);
  if (affine.dead || affine.op != OpType::kAffine || !is_weight(graph, affine.inputs[1]) ||
      !is_weight(graph, affine.inputs[2])) {
    return false;
  }
  const NodeId producer = absorbing_producer(graph, uses, *builder, affine.inputs[0]);
  if (producer < 0) return false;
  Node node = graph.node(producer);
  const std::span<const float> scale = graph.value(affine.inputs[1]).constant->f32();
  const std::span<const float> shift = graph.value(affine.inputs[2]).constant->f32();
  std::optional<std::vector<float>> bias = channel_bias(graph, node, scale.size());
  if (!bias || scale.empty()) return false;
  for (size_t m = 0; m < scale.size(); ++m) (*bias)[m] = (*bias)[m] * scale[m] + shift[m];
  const Value& weight = graph.value(node.inputs[1]);
  node.inputs.resize(3);
  node.inputs[1] = builder->add_const(weight.name, scale_weight(node, *weight.constant, scale));
  node.inputs[2] = builder->add_const(
      node.name + ".bias", Tensor::from_f32(Shape{static_cast<int64_t>(bias->size())}, *bias));
  if (node.op == OpType::kGemm) node.attributes.floats["beta"] = {1.0f};
  node.outputs = affine.outputs;
  node.activation = affine.activation;
  builder->replace({producer, id}, std::move(node));
  return true;
}

// A constant that adds one value per channel to a result of rank `rank` with channels on axis 1.
bool adds_per_channel(const Value& value, int rank, int64_t channels) {
  if (value.shape.count() != channels || value.shape.rank() > rank) return false;
  const int axis = 1 - (rank - value.shape.rank());
  return axis >= 0 && value.shape[axis] == channels;
}

bool fuse_add(const Graph& graph, const UseMap& uses, NodeId id, PatchBuilder* builder) {
  const Node& add = graph.node(id);
  if (add.dead || add.op != OpType::kAdd) return false;
  const size_t side = is_weight(graph, add.inputs[0]) ? 0 : 1;
  const ValueId constant = add.inputs[side];
  const ValueId x = add.inputs[1 - side];
  if (!is_weight(graph, constant) || x == constant) return false;
  const NodeId producer = absorbing_producer(graph, uses, *builder, x);
  if (producer < 0) return false;
  Node node = graph.node(producer);
  const Shape& shape = graph.value(x).shape;
  const int64_t channels = shape[1];
  if (!adds_per_channel(graph.value(constant), shape.rank(), channels)) return false;
  std::optional<std::vector<float>> bias = channel_bias(graph, node, static_cast<size_t>(channels));
  if (!bias) return false;
  const std::span<const float> addend = graph.value(constant).constant->f32();
  for (size_t m = 0; m < bias->size(); ++m) (*bias)[m] += addend[m];
  node.inputs.resize(3);
  node.inputs[2] =
      builder->add_const(node.name + ".bias", Tensor::from_f32(Shape{channels}, *bias));
  if (node.op == OpType::kGemm) node.attributes.floats["beta"] = {1.0f};
  node.outputs = add.outputs;
  node.activation = add.activation;
  builder->replace({producer, id}, std::move(node));
  return true;
}

// Matrix times constant matrix.
bool matmul_to_gemm(const Graph& graph, NodeId id, PatchBuilder* builder) {
  const Node& matmul = graph.node(id);
  if (matmul.dead || matmul.op != OpType::kMatMul || !is_float_constant(graph, matmul.inputs[1]) ||
      graph.value(matmul.inputs[0]).shape.rank() != 2 ||
      graph.value(matmul.inputs[1]).shape.rank() != 2) {
    return false;
  }
  Node gemm = matmul;
  gemm.op = OpType::kGemm;
  gemm.attributes = {};
  builder->replace({id}, std::move(gemm));
  return true;
}

}  // namespace

Result<Patch> fold_batch_norm(const Graph& graph) {
  const UseMap uses(graph);
  PatchBuilder builder(graph, "fold_batch_norm");
  for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes.size()); ++n) {
    if (builder.touched(n) || batch_norm_to_affine(graph, n, &builder)) continue;
    fold_affine(graph, uses, n, &builder);
  }
  return builder.take();
}

Result<Patch> fuse_bias(const Graph& graph) {
  const UseMap uses(graph);
  PatchBuilder builder(graph, "fuse_bias");
  for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes.size()); ++n) {
    if (builder.touched(n)) continue;
    if (!matmul_to_gemm(graph, n, &builder)) fuse_add(graph, uses, n, &builder);
  }
  return builder.take();
}

}  // namespace carrel
