#include "compiler/quantize/weights.h"

#include <algorithm>
#include <cmath>

namespace carrel {
namespace {

constexpr float kMostWeight = 127;
constexpr float kMostBias = 0x1p29f;
constexpr float kLeastScale = 0x1p-100f;

}  // namespace

IntegerWeights integer_weights(const Tensor& weight, int axis, const Tensor* bias, float x_scale) {
  const auto channels = static_cast<size_t>(weight.shape[axis]);
  size_t inner = 1;
  for (int i = axis + 1; i < weight.shape.rank(); ++i)
    inner *= static_cast<size_t>(weight.shape[i]);
  const std::span<const float> w = weight.f32();
  IntegerWeights out;
  out.scale.assign(channels, kLeastScale);
  for (size_t i = 0; i < w.size(); ++i) {
    float& scale = out.scale[i / inner % channels];
    scale = std::max(scale, std::abs(w[i]) / kMostWeight);
  }
  const Shape per_channel{static_cast<int64_t>(channels)};
  out.bias = Tensor::zeros(DType::kI32, bias == nullptr ? Shape{0} : per_channel);
  for (size_t m = 0; bias != nullptr && m < channels; ++m) {
    const float value = bias->f32()[m];
    out.scale[m] = std::max(out.scale[m], std::abs(value) / kMostBias / x_scale);
    const double unit = static_cast<double>(x_scale) * static_cast<double>(out.scale[m]);
    const auto units = static_cast<int32_t>(std::lrint(static_cast<double>(value) / unit));
    std::memcpy(out.bias.data.data() + m * sizeof(units), &units, sizeof(units));
  }
  out.weight = Tensor::zeros(DType::kI8, weight.shape);
  for (size_t i = 0; i < w.size(); ++i) {
    const float level = std::nearbyint(w[i] / out.scale[i / inner % channels]);
    const float bounded = std::clamp(level, -kMostWeight, kMostWeight);
    out.weight.data[i] = static_cast<std::byte>(static_cast<int8_t>(bounded));
  }
  return out;
}

}  // namespace carrel
