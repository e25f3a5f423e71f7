#include "compiler/seal/round_half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/half.h"

namespace carrel {
namespace {

std::vector<float> normal(size_t count) {
  std::mt19937 random(3);
  std::normal_distribution<float> deviate(0, 0.05f);
  std::vector<float> out(count);
  for (float& x : out) x = deviate(random);
  return out;
}

TEST(RoundToHalf, HalvesWhoseRunningSumsStay) {
  constexpr size_t kRow = 27, kRows = 40;
  const std::vector<float> exact = normal(kRow * kRows);
  std::vector<float> rounded = exact;
  round_to_half(rounded, kRow);
  for (size_t row = 0; row < kRows; ++row) {
    double lost = 0;
    for (size_t i = row * kRow; i < (row + 1) * kRow; ++i) {
      ASSERT_EQ(rounded[i], round_to_f16(rounded[i]));
      lost += static_cast<double>(exact[i]) - rounded[i];
      ASSERT_LE(std::fabs(lost), std::fabs(rounded[i]) * 0x1p-11 + 0x1p-22) << i;
    }
  }
}

TEST(RoundToHalf, RowsDoNotTouch) {
  std::vector<float> together = normal(64), first(together.begin(), together.begin() + 32),
                     second(together.begin() + 32, together.end());
  round_to_half(together, 32);
  round_to_half(first, 32);
  round_to_half(second, 32);
  first.insert(first.end(), second.begin(), second.end());
  EXPECT_EQ(together, first);
}

TEST(RoundToHalf, ZerosAndHalvesStay) {
  std::vector<float> weights = {0.1f, 0, 0, 0.1f, -0.0f};
  round_to_half(weights, 5);
  EXPECT_EQ(weights[1], 0);
  EXPECT_EQ(weights[2], 0);
  EXPECT_EQ(weights[4], 0);
  std::vector<float> halves = weights;
  round_to_half(halves, 5);
  EXPECT_EQ(halves, weights);
}

TEST(RoundToHalf, AtTheEndOfTheRange) {
  // Each loses nearly 16; carried on, the second would round to infinity.
  std::vector<float> weights = {65519.0f, 65519.0f, 1e30f, 1.0f};
  round_to_half(weights, 4);
  EXPECT_EQ(weights[0], kLargestF16);
  EXPECT_EQ(weights[1], kLargestF16);
  EXPECT_EQ(weights[2], INFINITY);
  EXPECT_EQ(weights[3], 1.0f);
}

}  // namespace
}  // namespace carrel
