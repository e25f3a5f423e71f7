#include "base/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace carrel {
namespace {

// |got - want| in units of the last place of want (of the smallest normal float below that).
double ulps(float got, double want) {
  const float rounded = static_cast<float>(want);
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  if (std::isinf(rounded)) return got == rounded ? 0 : 1e9;
  if (!std::isfinite(got)) return 1e9;
  const int exponent = std::max(std::ilogb(want == 0 ? 1e-300 : want), -126);
  return std::abs(got - want) / std::ldexp(1.0, exponent - 23);
}

// Every 1009th float: all exponents, both signs, infinities' neighbourhood.
template <typename Fast, typename Exact>
void sweep(const char* name, float low, float high, double limit, Fast fast, Exact exact) {
  double worst = 0;
  float where = 0;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 1009) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (std::isnan(x) || x < low || x > high) continue;
    const double error = ulps(fast(x), exact(static_cast<double>(x)));
    if (error > worst) worst = error, where = x;
  }
  EXPECT_LE(worst, limit) << name << " at " << where;
  ::testing::Test::RecordProperty(name, std::to_string(worst));
}

TEST(VectorMath, AgreesWithLibmInDouble) {
  const float inf = kInfinityF32;
  sweep(
      "exp", -inf, inf, 2, [](float x) { return exp_f32(x); },
      [](double x) { return std::exp(x); });
  sweep(
      "log", 0, inf, 2, [](float x) { return log_f32(x); }, [](double x) { return std::log(x); });
  sweep(
      "log1p", 0, inf, 2, [](float x) { return log1p_f32(x); },
      [](double x) { return std::log1p(x); });
  sweep(
      "expm1", -inf, 88, 3, [](float x) { return expm1_f32(x); },
      [](double x) { return std::expm1(x); });
  sweep(
      "tanh", -inf, inf, 3, [](float x) { return tanh_f32(x); },
      [](double x) { return std::tanh(x); });
  sweep(
      "erf", -inf, inf, 3, [](float x) { return erf_f32(x); },
      [](double x) { return std::erf(x); });
  // Below -88 the sum 1 + e^-x overflows: 0 instead of a denormal.
  sweep(
      "sigmoid", -88, inf, 3, [](float x) { return sigmoid_f32(x); },
      [](double x) { return 1 / (1 + std::exp(-x)); });
  sweep(
      "softplus", -inf, inf, 3, [](float x) { return softplus_f32(x); },
      [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); });
}

TEST(VectorMath, SpecialValues) {
  const float inf = kInfinityF32, nan = kNanF32;
  EXPECT_EQ(log_f32(0.0f), -inf);
  EXPECT_EQ(log_f32(inf), inf);
  EXPECT_TRUE(std::isnan(log_f32(-1.0f)));
  EXPECT_EQ(sigmoid_f32(-1000.0f), 0.0f);
  EXPECT_EQ(tanh_f32(-inf), -1.0f);
  EXPECT_TRUE(std::signbit(tanh_f32(-0.0f)));
  for (float y : {exp_f32(nan), log_f32(nan), tanh_f32(nan), erf_f32(nan), sigmoid_f32(nan),
                  softplus_f32(nan), pow_f32(nan, 2.0f), pow_f32(2.0f, nan), elu_f32(nan, 1.0f)}) {
    EXPECT_TRUE(std::isnan(y));
  }
}

TEST(VectorMath, PowAgreesWithLibm) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> exponent(-30, 30);
  for (int i = 0; i < 200000; ++i) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(random()) & 0x7fffffffu);
    if (!(x < kInfinityF32)) continue;
    const float y = exponent(random) / (1 + std::abs(std::log(x + 1e-30f)) * 0.05f);
    ASSERT_LE(ulps(pow_f32(x, y), std::pow(double{x}, double{y})), 2) << x << " ^ " << y;
  }
  const float inf = kInfinityF32;
  const float values[] = {0.0f,  -0.0f, 1.0f,  -1.0f, 2.0f, -2.0f, 3.0f,        -3.0f,      0.5f,
                          -0.5f, 1.5f,  1e30f, inf,   -inf, 4.0f,  16777217.0f, 33554432.0f};
  for (float x : values) {
    for (float y : values) {
      if (x == -1.0f && std::isinf(y)) {  // C says 1
        EXPECT_TRUE(std::isnan(pow_f32(x, y)));
        continue;
      }
      const float got = pow_f32(x, y), want = std::pow(x, y);
      EXPECT_LE(ulps(got, double{want}), 2) << x << " ^ " << y << " = " << got << ", want " << want;
    }
  }
  EXPECT_EQ(pow_f32(kNanF32, 0.0f), 1.0f);
  EXPECT_EQ(pow_f32(1.0f, kNanF32), 1.0f);
}

TEST(VectorMath, UnaryFunctions) {
  EXPECT_EQ(unary_f32(UnaryFn::kRelu, -3, 0, 0), 0);
  EXPECT_EQ(unary_f32(UnaryFn::kLeakyRelu, -3, 0.5f, 0), -1.5f);
  EXPECT_EQ(unary_f32(UnaryFn::kClip, 9, 0, 6), 6);
  EXPECT_EQ(unary_f32(UnaryFn::kHardSigmoid, 1, 0.25f, 0.5f), 0.75f);
  EXPECT_FLOAT_EQ(unary_f32(UnaryFn::kHardSwish, 1, 0, 0), 2.0f / 3);
  EXPECT_EQ(unary_f32(UnaryFn::kElu, 1e30f, 1, 0), 1e30f);
  EXPECT_EQ(unary_f32(UnaryFn::kSqrt, 9, 0, 0), 3);
  EXPECT_EQ(unary_f32(UnaryFn::kAbs, -9, 0, 0), 9);
  EXPECT_EQ(unary_f32(UnaryFn::kReciprocal, 4, 0, 0), 0.25f);
  EXPECT_FLOAT_EQ(unary_f32(UnaryFn::kGelu, 1, 0, 0), 0.8413447f);
  EXPECT_FLOAT_EQ(unary_f32(UnaryFn::kGeluTanh, 1, 0, 0), 0.841192f);
  EXPECT_NEAR(unary_f32(UnaryFn::kSelu, -1, 1.67326f, 1.0507f), -1.11133f, 1e-5f);
}

}  // namespace
}  // namespace carrel
