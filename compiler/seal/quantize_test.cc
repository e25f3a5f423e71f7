#include "compiler/seal/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "engine/layout/dense.h"

namespace carrel {
namespace {

WeightsShape shape_of(uint32_t in, uint32_t side, uint32_t out, StoredType stored) {
  return {WeightsKind::kDense, stored, in, out, side, side, 0};
}

std::vector<float> normal(size_t count, float deviation) {
  std::mt19937 random(3);
  std::normal_distribution<float> distribution(0, deviation);
  std::vector<float> values(count);
  for (float& v : values) v = distribution(random);
  return values;
}

double relative_rms(const std::vector<float>& exact, const std::vector<float>& other) {
  double lost = 0, all = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double difference = static_cast<double>(exact[i]) - static_cast<double>(other[i]);
    lost += difference * difference;
    all += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
  }
  return std::sqrt(lost / all);
}

double error_of(const WeightsShape& shape, float deviation) {
  const std::vector<float> weights = normal(dense_rows(shape) * shape.out_channels, deviation);
  return relative_rms(weights, dequantize_dense(shape, quantize_dense(shape, weights)));
}

TEST(Quantize, ErrorsOfNormalWeights) {
  for (float deviation : {1.0f, 1e-3f, 1e-12f}) {
    EXPECT_LT(error_of(shape_of(4096, 1, 8, StoredType::kI8), deviation), 0.0105);
    EXPECT_LT(error_of(shape_of(4096, 1, 8, StoredType::kI4), deviation), 0.0765);
    EXPECT_GT(error_of(shape_of(4096, 1, 8, StoredType::kI4), deviation), 0.07);
    EXPECT_LT(error_of(shape_of(50, 5, 3, StoredType::kI4), deviation), 0.08);
  }
}

TEST(Quantize, EveryWeightIsAsNearAsItsCodesAllow) {
  const WeightsShape shape = shape_of(19, 3, 5, StoredType::kI8);
  const std::vector<float> weights = normal(dense_rows(shape) * 5, 0.1f);
  const QuantizedWeights quantized = quantize_dense(shape, weights);
  const std::vector<float> back = dequantize_dense(shape, quantized);
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_LE(std::fabs(back[i] - weights[i]), 0.501f * quantized.scales[i / dense_rows(shape)]);
  }
}

TEST(Quantize, ZerosAndSingleNumbersAreExact) {
  for (StoredType stored : {StoredType::kI8, StoredType::kI4}) {
    const WeightsShape shape = shape_of(100, 1, 2, stored);
    std::vector<float> weights(200, 0.0f);
    weights[37] = -3.5f;
    const std::vector<float> back = dequantize_dense(shape, quantize_dense(shape, weights));
    for (size_t i = 0; i < 200; ++i) EXPECT_NEAR(back[i], weights[i], i == 37 ? 4e-3 : 0) << i;
  }
}

}  // namespace
}  // namespace carrel
