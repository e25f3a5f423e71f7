#include "compiler/graph/quantized_weights.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace carrel {
namespace {

bool has_data(const Tensor& t) { return t.count() == 0 || !t.data.empty(); }

// Level minus zero point as int8; false if it does not fit.
template <typename T>
bool centre(const Tensor& x, const std::vector<int64_t>& zeros, size_t inner, Tensor* out) {
  for (size_t i = 0, n = static_cast<size_t>(x.count()); i < n; ++i) {
    T level;
    std::memcpy(&level, x.data.data() + i * sizeof(T), sizeof(T));
    const int64_t zero = zeros[zeros.size() == 1 ? 0 : i / inner % zeros.size()];
    if (zero < -128 || zero > 255) return false;
    const auto wide = static_cast<int64_t>(level);
    if (wide < zero - 128 || wide > zero + 127) return false;
    out->data[i] = static_cast<std::byte>(static_cast<int8_t>(wide - zero));
  }
  return true;
}

TensorPtr centred(const TensorPtr& x, const std::vector<int64_t>& zeros, size_t inner) {
  const bool symmetric = std::all_of(zeros.begin(), zeros.end(), [](int64_t z) { return z == 0; });
  if (x->type == DType::kI8 && symmetric) return x;
  auto out = std::make_shared<Tensor>(Tensor::zeros(DType::kI8, x->shape));
  bool fits = false;
  if (x->type == DType::kI8) fits = centre<int8_t>(*x, zeros, inner, out.get());
  if (x->type == DType::kU8) fits = centre<uint8_t>(*x, zeros, inner, out.get());
  if (x->type == DType::kI64) fits = centre<int64_t>(*x, zeros, inner, out.get());
  return fits ? out : nullptr;
}

TensorPtr transpose(const Tensor& t) {
  const auto rows = static_cast<size_t>(t.shape[0]), columns = static_cast<size_t>(t.shape[1]);
  auto out = std::make_shared<Tensor>(Tensor::zeros(t.type, Shape{t.shape[1], t.shape[0]}));
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) out->data[c * rows + r] = t.data[r * columns + c];
  }
  return out;
}

// The greatest |sum of levels times weights| of any channel, in integers.
std::vector<int64_t> farthest_sums(const Tensor& weight) {
  const auto channels = static_cast<size_t>(weight.shape[0]);
  std::vector<int64_t> sums(channels, 0);
  const size_t inner = channels == 0 ? 0 : weight.data.size() / channels;
  for (size_t i = 0; i < weight.data.size(); ++i) {
    sums[i / inner] += 255 * std::abs(static_cast<int>(static_cast<int8_t>(weight.data[i])));
  }
  return sums;
}

// Element i of a bias as a multiple of the unit.
std::optional<double> bias_units(const Tensor& t, size_t i, bool integers, double unit) {
  if (!integers) return std::nearbyint(static_cast<double>(t.f32()[i]) / unit);
  if (t.type == DType::kI64) return static_cast<double>(t.i64()[i]);
  if (t.type != DType::kI32) return std::nullopt;
  int32_t value;
  std::memcpy(&value, t.data.data() + i * sizeof(value), sizeof(value));
  return static_cast<double>(value);
}

bool is_unit(float scale, float unit) { return std::abs(scale - unit) <= 1e-5f * unit; }

// The dequantized bias has zero points 0 and one scale per channel, each its channel's unit.
bool scales_are_units(const Graph& graph, const Node& dequantize, float x_scale,
                      const std::vector<float>& scales) {
  const Tensor& own = *graph.value(dequantize.inputs[1]).constant;
  const Tensor& zeros = *graph.value(dequantize.inputs[2]).constant;
  if (!has_data(own) || !has_data(zeros) || own.count() < 1) return false;
  for (int64_t zero : zeros.to_i64()) {
    if (zero != 0) return false;
  }
  for (size_t m = 0; m < scales.size(); ++m) {
    const float scale = own.f32()[own.count() == 1 ? 0 : std::min(m, own.f32().size() - 1)];
    if (!is_unit(scale, x_scale * scales[m])) return false;
  }
  return true;
}

}  // namespace

std::optional<QuantizedWeights> quantized_weights(const Graph& graph, const Node& dequantize,
                                                  int axis, bool transposed) {
  const TensorPtr& x = graph.value(dequantize.inputs[0]).constant;
  const Tensor& scale = *graph.value(dequantize.inputs[1]).constant;
  const Tensor& zero = *graph.value(dequantize.inputs[2]).constant;
  if (!has_data(*x) || !has_data(scale) || !has_data(zero)) return std::nullopt;
  const bool lists = scale.count() != 1 || zero.count() != 1;
  if (lists && dequantize.attributes.int_or("axis", 0) != axis) return std::nullopt;
  if (x->shape.count() == 0 || (transposed && x->shape.rank() != 2)) return std::nullopt;
  size_t inner = 1;
  for (int i = axis + 1; i < x->shape.rank(); ++i) inner *= static_cast<size_t>(x->shape[i]);
  QuantizedWeights weights;
  weights.weight = centred(x, zero.to_i64(), inner);
  if (weights.weight == nullptr) return std::nullopt;
  if (transposed) weights.weight = transpose(*weights.weight);
  for (int64_t m = 0; m < weights.weight->shape[0]; ++m) {
    weights.scale.push_back(scale.f32()[scale.count() == 1 ? 0 : static_cast<size_t>(m)]);
    if (!std::isfinite(weights.scale.back()) || weights.scale.back() <= 0) return std::nullopt;
  }
  return weights;
}

std::optional<Tensor> quantized_bias(const Graph& graph, ValueId id, const Node* dequantize,
                                     float x_scale, float y_scale,
                                     const QuantizedWeights& weights) {
  const size_t channels = weights.scale.size();
  std::vector<int64_t> farthest = farthest_sums(*weights.weight);
  Tensor bias = Tensor::zeros(DType::kI32, Shape{static_cast<int64_t>(channels)});
  const Tensor* given = nullptr;
  if (dequantize != nullptr) {
    if (!scales_are_units(graph, *dequantize, x_scale, weights.scale)) return std::nullopt;
    given = graph.value(dequantize->inputs[0]).constant.get();
  } else if (id != kNoValue) {
    const Value& value = graph.value(id);
    if (!value.is_const() || value.type != DType::kF32) return std::nullopt;
    given = value.constant.get();
  }
  if (given != nullptr && (!has_data(*given) || given->shape.rank() < 1 ||
                           given->count() != bias.count() ||
                           given->shape[given->shape.rank() - 1] != bias.count())) {
    return std::nullopt;
  }
  for (size_t m = 0; m < channels; ++m) {
    double units = 0;
    const double unit = static_cast<double>(x_scale) * static_cast<double>(weights.scale[m]);
    if (given != nullptr) {
      const auto found = bias_units(*given, m, dequantize != nullptr, unit);
      if (!found) return std::nullopt;
      units = *found;
    }
    // Less than INT32_MAX by more than what rounding to float adds.
    constexpr double kMost = 2147e6;
    const double growth = std::max(1.0, unit / static_cast<double>(y_scale));
    if (!((std::abs(units) + static_cast<double>(farthest[m])) * growth <= kMost)) return std::nullopt;
    const auto stored = static_cast<int32_t>(units);
    std::memcpy(bias.data.data() + m * sizeof(stored), &stored, sizeof(stored));
  }
  return bias;
}

}  // namespace carrel
