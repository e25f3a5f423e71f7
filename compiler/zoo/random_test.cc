#include "compiler/zoo/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace carrel {
namespace {

TEST(TensorRandom, NormalHasItsMomentsAndShortTails) {
  std::vector<float> x(1 << 20);
  TensorRandom(1, "w").fill_normal(x, 0.25, 2);
  double sum = 0, squares = 0, fourth = 0;
  for (float v : x) {
    const double z = (v - 0.25) / 2;
    ASSERT_LT(std::abs(z), 3.47);
    sum += z;
    squares += z * z;
    fourth += z * z * z * z;
  }
  const double n = static_cast<double>(x.size());
  EXPECT_NEAR(sum / n, 0, 0.005);  // five standard errors
  EXPECT_NEAR(squares / n, 1, 0.007);
  EXPECT_NEAR(fourth / n, 2.7, 0.05);  // 3 - 6/5 / 4: a sum of four uniforms
}

double sum_of_row(const std::vector<float>& x, size_t row, size_t count) {
  return std::accumulate(x.begin() + row * count, x.begin() + (row + 1) * count, 0.0);
}

TEST(TensorRandom, DampedRowsKeepAShareOfTheirMean) {
  constexpr size_t kRow = 147, kRows = 7;
  const TensorRandom random(3, "conv.weight");
  std::vector<float> whole(kRows * kRow), damped(kRows * kRow), centred(kRows * kRow);
  random.fill_normal(whole, 0, 0.1);
  random.fill_damped_rows(damped, 0.1, kRow, 0.75);
  random.fill_damped_rows(centred, 0.1, kRow, 0);
  for (size_t row = 0; row < kRows; ++row) {
    EXPECT_NEAR(sum_of_row(damped, row, kRow), 0.75 * sum_of_row(whole, row, kRow), 1e-6);
    EXPECT_NEAR(sum_of_row(centred, row, kRow), 0, 1e-6);
    for (size_t i = row * kRow + 1; i < (row + 1) * kRow; ++i) {
      EXPECT_NEAR(damped[i] - damped[i - 1], whole[i] - whole[i - 1], 1e-7);
    }
  }
}

TEST(TensorRandom, UniformStaysInItsRange) {
  std::vector<float> x(100000);
  TensorRandom(5, "bn.weight").fill_uniform(x, 0.5, 1.5);
  double sum = 0;
  for (float v : x) {
    ASSERT_GE(v, 0.5f);
    ASSERT_LE(v, 1.5f);
    sum += v;
  }
  EXPECT_NEAR(sum / 100000, 1, 0.005);
}

TEST(TensorRandom, StreamsAreSeparate) {
  std::vector<float> a(64), b(64), c(64), longer(128);
  TensorRandom(1, "a").fill_normal(a, 0, 1);
  TensorRandom(1, "b").fill_normal(b, 0, 1);
  TensorRandom(2, "a").fill_normal(c, 0, 1);
  TensorRandom(1, "a").fill_normal(longer, 0, 1);
  EXPECT_NE(a, b);
  EXPECT_NE(a, c);
  EXPECT_TRUE(std::equal(a.begin(), a.end(), longer.begin()));
}

}  // namespace
}  // namespace carrel
