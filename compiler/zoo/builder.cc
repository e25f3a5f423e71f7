#include "compiler/zoo/builder.h"

#include <cinttypes>
#include <cmath>
#include <cstdio>

#include "base/checked.h"
#include "compiler/graph/shape_inference.h"
#include "compiler/zoo/random.h"

namespace carrel::zoo {
namespace {

// Of max(z, 0), z standard normal: variance (1 - 1/pi) / 2 and squared mean 1 / (2 pi).
constexpr double kRectifiedVariance = 0.3408;
constexpr double kRectifiedMeanPower = 0.1592;
// Of a rectified map averaged over its pixels, across channels. Between that of one pixel and that
// of many independent ones; the maps of these networks come out near it.
constexpr double kPooledVariance = 0.1;
// Of a filter's mean: so that pictures still differ, and half-precision weights move the logits no more than
// `suite_zoo` allows (builder.h).
constexpr double kMeanKept = 0.8;
// Standard deviation of biases and running means: a little asymmetry, as trained networks have.
constexpr double kBiasDeviation = 0.1;

double filter_deviation(int64_t fan_in, Signal signal, bool depthwise) {
  const double kept = depthwise ? 1 : kMeanKept;
  double power = 1;
  if (signal == Signal::kRectified) power = kRectifiedVariance + kept * kept * kRectifiedMeanPower;
  if (signal == Signal::kPooled) power = kPooledVariance + kept * kept * kRectifiedMeanPower;
  return std::sqrt(1.0 / (static_cast<double>(fan_in) * power));
}

// End padding so that floor division gives what ceil_mode gives: PyTorch's rule, where a last
// window that would start in the end padding is dropped.
int64_t end_padding(int64_t size, const PoolSpec& spec) {
  if (!spec.ceil_mode) return spec.pad;
  const int64_t span = size + 2 * spec.pad - spec.kernel;
  if (span < 0 || span % spec.stride == 0) return spec.pad;
  const int64_t start = (span / spec.stride + 1) * spec.stride;
  if (start >= size + spec.pad) return spec.pad;
  return start + spec.kernel - size - spec.pad;
}

}  // namespace

Builder::Builder(const ZooOptions& options) : options_(options) {
  char suffix[64];
  std::snprintf(suffix, sizeof suffix, " (synthetic weights, seed %" PRIu64 ")", options.seed);
  graph_.name = options.name + suffix;
  Value input;
  input.name = "input";
  input.shape = Shape{1, 3, options.resolution, options.resolution};
  input.shape_known = true;
  graph_.inputs.push_back(graph_.add_value(std::move(input)));
}

int64_t Builder::channels(ValueId x) const { return failed() ? 1 : graph_.value(x).shape[1]; }

ValueId Builder::constant(const std::string& name, const Shape& shape, const Weights& weights) {
  if (failed()) return kNoValue;
  const Result<uint64_t> count = shape.element_count();
  if (count.ok()) constant_bytes_ += *count * sizeof(float);
  if (!count.ok() || constant_bytes_ > kMaxZooBytes) {
    status_ = Error(ErrorCode::kInvalidInput,
                    "%s at resolution %d has more than 2000 MiB of weights; use a smaller one",
                    options_.name.c_str(), static_cast<int>(options_.resolution));
    return kNoValue;
  }
  if (options_.shapes_only && shape.rank() >= 2) {
    Tensor tensor;
    tensor.shape = shape;
    return graph_.add_const(name, std::move(tensor));
  }
  Tensor tensor = Tensor::zeros(DType::kF32, shape);
  const TensorRandom random(options_.seed, name);
  switch (weights.fill) {
    case Fill::kNormal:
      random.fill_normal(tensor.f32(), weights.low_or_mean, weights.high_or_deviation);
      break;
    case Fill::kDampedRows:
      random.fill_damped_rows(tensor.f32(), weights.high_or_deviation, *count / shape[0],
                              kMeanKept);
      break;
    case Fill::kUniform:
      random.fill_uniform(tensor.f32(), weights.low_or_mean, weights.high_or_deviation);
      break;
  }
  return graph_.add_const(name, std::move(tensor));
}

ValueId Builder::filters(const std::string& name, const Shape& shape, Signal signal,
                         bool depthwise) {
  int64_t fan_in = 1;
  for (int i = 1; i < shape.rank(); ++i) fan_in *= shape[i];
  const bool damped = signal != Signal::kPlain && !depthwise;
  return constant(name, shape,
                  {damped ? Fill::kDampedRows : Fill::kNormal, 0,
                   filter_deviation(fan_in, signal, depthwise)});
}

ValueId Builder::bias(const std::string& name, int64_t count) {
  return constant(name, Shape{count}, {Fill::kNormal, 0, kBiasDeviation});
}

ValueId Builder::append(OpType op, const std::string& name, std::vector<ValueId> inputs,
                        Attributes attributes, Unary activation) {
  if (failed()) return kNoValue;
  Node node;
  node.name = name;
  node.op = op;
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  node.activation = activation;
  Value output;
  output.name = name + ".out";
  node.outputs.push_back(graph_.add_value(std::move(output)));
  std::vector<Value> inferred;
  status_ = infer_node(graph_, node, &inferred);
  if (failed()) {
    status_ = Error(ErrorCode::kInvalidInput, "%s: resolution %d is too small for it (%s)",
                    options_.name.c_str(), static_cast<int>(options_.resolution),
                    status_.error().message());
    return kNoValue;
  }
  const ValueId result = node.outputs[0];
  graph_.value(result).type = inferred[0].type;
  graph_.value(result).shape = inferred[0].shape;
  graph_.value(result).shape_known = true;
  graph_.add_node(std::move(node));
  return result;
}

ValueId Builder::conv(ValueId x, const std::string& name, const ConvSpec& spec) {
  const int64_t inputs = channels(x);
  const bool depthwise = spec.group == inputs && spec.group > 1;
  const Shape shape{spec.channels, inputs / spec.group, spec.kernel, spec.kernel};
  std::vector<ValueId> operands = {x, filters(name + ".weight", shape, spec.signal, depthwise)};
  if (spec.bias) operands.push_back(bias(name + ".bias", spec.channels));
  Attributes attributes;
  attributes.ints["kernel_shape"] = {spec.kernel, spec.kernel};
  attributes.ints["strides"] = {spec.stride, spec.stride};
  attributes.ints["pads"] = {spec.pad, spec.pad, spec.pad, spec.pad};
  attributes.ints["dilations"] = {1, 1};
  attributes.ints["group"] = {spec.group};
  return append(OpType::kConv, name, std::move(operands), std::move(attributes));
}

ValueId Builder::batch_norm(ValueId x, const std::string& name, double scale) {
  const Shape shape{channels(x)};
  const ValueId gain =
      constant(name + ".weight", shape, {Fill::kUniform, 0.8 * scale, 1.2 * scale});
  const ValueId shift = constant(name + ".bias", shape, {Fill::kNormal, 0, kBiasDeviation});
  const ValueId mean = constant(name + ".running_mean", shape, {Fill::kNormal, 0, kBiasDeviation});
  const ValueId variance = constant(name + ".running_var", shape, {Fill::kUniform, 0.6, 1.4});
  Attributes attributes;
  attributes.floats["epsilon"] = {1e-5f};
  return append(OpType::kBatchNorm, name, {x, gain, shift, mean, variance}, std::move(attributes));
}

ValueId Builder::relu(ValueId x, const std::string& name) {
  return append(OpType::kUnary, name, {x}, {}, Unary{UnaryFn::kRelu, 0, 0});
}

ValueId Builder::relu6(ValueId x, const std::string& name) {
  return append(OpType::kUnary, name, {x}, {}, Unary{UnaryFn::kClip, 0, 6});
}

ValueId Builder::pool(OpType op, ValueId x, const std::string& name, const PoolSpec& spec) {
  if (failed()) return kNoValue;
  const Shape& shape = graph_.value(x).shape;
  Attributes attributes;
  attributes.ints["kernel_shape"] = {spec.kernel, spec.kernel};
  attributes.ints["strides"] = {spec.stride, spec.stride};
  attributes.ints["pads"] = {spec.pad, spec.pad, end_padding(shape[2], spec),
                             end_padding(shape[3], spec)};
  attributes.ints["dilations"] = {1, 1};
  return append(op, name, {x}, std::move(attributes));
}

ValueId Builder::max_pool(ValueId x, const std::string& name, const PoolSpec& spec) {
  return pool(OpType::kMaxPool, x, name, spec);
}

ValueId Builder::average_pool(ValueId x, const std::string& name, const PoolSpec& spec) {
  return pool(OpType::kAveragePool, x, name, spec);
}

ValueId Builder::global_average_pool(ValueId x, const std::string& name) {
  return append(OpType::kGlobalAveragePool, name, {x}, {});
}

ValueId Builder::lrn(ValueId x, const std::string& name) {
  Attributes attributes;
  attributes.ints["size"] = {5};
  attributes.floats["alpha"] = {1e-4f};
  attributes.floats["beta"] = {0.75f};
  attributes.floats["bias"] = {1.0f};
  return append(OpType::kLrn, name, {x}, std::move(attributes));
}

ValueId Builder::add(ValueId a, ValueId b, const std::string& name) {
  return append(OpType::kAdd, name, {a, b}, {});
}

ValueId Builder::concat(const std::vector<ValueId>& inputs, const std::string& name) {
  Attributes attributes;
  attributes.ints["axis"] = {1};
  return append(OpType::kConcat, name, inputs, std::move(attributes));
}

ValueId Builder::flatten(ValueId x, const std::string& name) {
  if (failed()) return kNoValue;
  const Shape& shape = graph_.value(x).shape;
  Attributes attributes;
  attributes.ints["shape"] = {shape[0], shape.count() / shape[0]};
  return append(OpType::kReshape, name, {x}, std::move(attributes));
}

ValueId Builder::dense(ValueId x, const std::string& name, int64_t outputs, Signal signal) {
  const int64_t inputs = channels(x);
  const ValueId weight = filters(name + ".weight", Shape{outputs, inputs}, signal, false);
  const ValueId offset = bias(name + ".bias", outputs);
  Attributes attributes;
  attributes.ints["transA"] = {0};
  attributes.ints["transB"] = {1};
  attributes.floats["alpha"] = {1.0f};
  attributes.floats["beta"] = {1.0f};
  return append(OpType::kGemm, name, {x, weight, offset}, std::move(attributes));
}

Result<Graph> Builder::finish(ValueId logits) {
  CARREL_RETURN_IF_ERROR(status_);
  graph_.value(logits).name = "logits";
  graph_.outputs = {logits};
  graph_.batch = 0;
  CARREL_RETURN_IF_ERROR(verify_graph(graph_));
  return std::move(graph_);
}

}  // namespace carrel::zoo
