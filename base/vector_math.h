#pragma once
// Elementary functions of floats as straight-line code: no branch, no table, no libm, so a plain
// loop over them is vectorised by the compiler and its time does not depend on the data. The same
// bits on every ISA (no FMA is contracted: -ffp-contract=off).
//
// Accuracy against the exact value, tested over all exponents: exp, log, log1p, sqrt, pow 2 ulp;
// expm1, tanh, sigmoid, erf, softplus 3 ulp. Infinities, NaN, overflow and underflow as in libm
// unless stated; denormal results may lose a bit and are zero where the CPU flushes denormals.
//
// Compile loops over these with -O3 -fno-math-errno (sqrt). Everything is static and always
// inlined: translation units built for different ISAs never share a copy.
#include <bit>
#include <cstdint>
#include <limits>

#include "base/unary.h"

namespace carrel {

#define CARREL_MATH [[gnu::always_inline]] static inline

inline constexpr float kInfinityF32 = std::numeric_limits<float>::infinity();
inline constexpr float kNanF32 = std::numeric_limits<float>::quiet_NaN();

// condition ? a : b by masks: never a branch, at any optimisation level.
CARREL_MATH float select_f32(bool condition, float a, float b) {
  const uint32_t mask = condition ? 0xffffffffu : 0u;
  return std::bit_cast<float>((std::bit_cast<uint32_t>(a) & mask) |
                              (std::bit_cast<uint32_t>(b) & ~mask));
}
CARREL_MATH double select_f64(bool condition, double a, double b) {
  const uint64_t mask = condition ? ~uint64_t{0} : uint64_t{0};
  return std::bit_cast<double>((std::bit_cast<uint64_t>(a) & mask) |
                               (std::bit_cast<uint64_t>(b) & ~mask));
}
// NaN in x is kept.
CARREL_MATH float clamp_f32(float x, float low, float high) {
  const float raised = select_f32(x < low, low, x);
  return select_f32(raised > high, high, raised);
}
CARREL_MATH float abs_f32(float x) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0x7fffffffu);
}
CARREL_MATH float copysign_f32(float magnitude, float sign) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(magnitude) & 0x7fffffffu) |
                              (std::bit_cast<uint32_t>(sign) & 0x80000000u));
}
CARREL_MATH float sqrt_f32(float x) {
  return __builtin_sqrtf(x);
}  // one instruction under -fno-math-errno

// x = n ln 2 + r, |r| <= ln 2 / 2, with `tail` = e^r - 1. Correctness: |x| < 2^15 (or NaN).
struct ExpParts {
  int32_t n;
  float tail;
};
CARREL_MATH ExpParts split_exp(float x) {
  constexpr float kRound =
      12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low mantissa bits
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  // ln 2 in two pieces; n times the first one (9 bits) is exact.
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  // Cephes expf, S. Moshier.
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const uint32_t bits = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound);
  return {static_cast<int32_t>(bits), p * (r * r) + r};
}
// 2^n. Correctness: -126 <= n <= 127.
CARREL_MATH float power_of_two(int32_t n) {
  return std::bit_cast<float>((static_cast<uint32_t>(n) + 127u) << 23);
}

CARREL_MATH float exp_f32(float x) {
  const ExpParts e = split_exp(clamp_f32(x, -104.0f, 89.0f));  // beyond: 0 and infinity
  const int32_t half = e.n >> 1;  // two factors, as 2^n itself may over- or underflow
  return (1.0f + e.tail) * power_of_two(half) * power_of_two(e.n - half);
}

// e^x - 1, accurate near 0. Correctness: x <= 88.
CARREL_MATH float expm1_f32(float x) {
  const ExpParts e = split_exp(select_f32(x < -18.0f, -18.0f, x));  // below: -1
  const float scale = power_of_two(e.n);
  return e.tail * scale + (scale - 1.0f);
}

CARREL_MATH float log_f32(float x) {
  const bool tiny = x < 1.17549435e-38f;
  const float scaled = select_f32(tiny, x * 8388608.0f, x);  // denormals get an exponent
  // m in [sqrt(1/2), sqrt 2) times 2^k.
  const uint32_t shifted = std::bit_cast<uint32_t>(scaled) + (0x3f800000u - 0x3f3504f3u);
  const int32_t k = (static_cast<int32_t>(shifted) >> 23) - 127 - (tiny ? 23 : 0);
  const float m = std::bit_cast<float>((shifted & 0x007fffffu) + 0x3f3504f3u);
  // FreeBSD e_logf.c: log(1 + f) = f - f^2/2 + s (f^2/2 + R), s = f / (2 + f).
  const float f = m - 1.0f;
  const float s = f / (2.0f + f);
  const float z = s * s;
  const float w = z * z;
  const float t1 = w * (0.40000972152f + w * 0.24279078841f);
  const float t2 = z * (0.66666662693f + w * 0.28498786688f);
  const float half_square = 0.5f * f * f;
  const float kf = static_cast<float>(k);
  const float value = s * (half_square + (t2 + t1)) + kf * 9.0580006145e-06f - half_square + f +
                      kf * 6.9313812256e-01f;
  const float finite = select_f32(x < kInfinityF32, value, x);  // infinity and NaN stay
  const float positive = select_f32(x < 0.0f, kNanF32, finite);
  return select_f32(x == 0.0f, -kInfinityF32, positive);
}

// log(1 + x). Correctness: x >= 0.
CARREL_MATH float log1p_f32(float x) {
  const float u = 1.0f + x;
  const float lost = (x - (u - 1.0f)) / u;  // what rounding u dropped, to first order
  const float value = log_f32(u) + lost;
  return select_f32(x < kInfinityF32, value, x);
}

CARREL_MATH float tanh_f32(float x) {
  const float magnitude = abs_f32(x);
  const float t = expm1_f32(2.0f * select_f32(magnitude > 20.0f, 20.0f, magnitude));  // beyond: 1
  return copysign_f32(t / (t + 2.0f), x);
}

CARREL_MATH float sigmoid_f32(float x) { return 1.0f / (1.0f + exp_f32(-x)); }

// log(1 + e^x)
CARREL_MATH float softplus_f32(float x) {
  const float value = select_f32(x > 0.0f, x, 0.0f) + log1p_f32(exp_f32(-abs_f32(x)));
  return select_f32(x != x, x, value);
}

// Two minimax polynomials, both evaluated (N. Juffa, "erff", single precision).
CARREL_MATH float erf_f32(float x) {
  const float t = select_f32(abs_f32(x) > 4.0f, 4.0f, abs_f32(x));  // beyond: 1
  const float s = t * t;
  float r = -1.72853470e-5f * t + 3.83197126e-4f;
  const float u = -3.88396438e-3f * t + 2.42546219e-2f;
  r = r * s + u;
  r = r * t + -1.06777877e-1f;
  r = r * t + -6.34846687e-1f;
  r = r * t + -1.28717512e-1f;
  r = r * t - t;
  const float large = 1.0f - exp_f32(r);
  float q = -5.96761703e-4f;
  q = q * s + 4.99119423e-3f;
  q = q * s + -2.67681349e-2f;
  q = q * s + 1.12819925e-1f;
  q = q * s + -3.76125336e-1f;
  q = q * s + 1.28379166e-1f;
  const float small = q * t + t;
  const float value = copysign_f32(select_f32(t > 0.927734375f, large, small), x);
  return select_f32(x != x, x, value);
}

// Natural logarithm of a positive normal float m 2^k in double: atanh series, relative error below
// 1e-12.
CARREL_MATH double log_wide(float x) {
  const bool tiny = x < 1.17549435e-38f;
  const float scaled = select_f32(tiny, x * 8388608.0f, x);
  const uint32_t shifted = std::bit_cast<uint32_t>(scaled) + (0x3f800000u - 0x3f3504f3u);
  const int32_t k = (static_cast<int32_t>(shifted) >> 23) - 127 - (tiny ? 23 : 0);
  const double m = std::bit_cast<float>((shifted & 0x007fffffu) + 0x3f3504f3u);
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  return 2.0 * (s + s * z * p) + static_cast<double>(k) * 0.69314718055994530942;
}
// e^x rounded to float, x in double; relative error of the polynomial below 3e-10.
CARREL_MATH float exp_wide(double x) {
  // Beyond: 0 and infinity as float.
  const double bounded = select_f64(x > 100.0, 100.0, select_f64(x < -110.0, -110.0, x));
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = bounded * 1.44269504088896340736 + kRound;
  const double n = shifted - kRound;
  const double r = bounded - n * 0.69314718055994530942;
  double p = 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const uint64_t exponent =
      std::bit_cast<uint64_t>(shifted) - std::bit_cast<uint64_t>(kRound) + 1023u;
  return static_cast<float>(p * std::bit_cast<double>(exponent << 52));
}

// x^y with C's rules for signs, zeros, infinities and NaN, except that -1 to an infinite power is
// NaN (C: 1).
CARREL_MATH float pow_f32(float x, float y) {
  const float magnitude = abs_f32(x);
  const float safe = select_f32(magnitude > 0.0f, magnitude, 1.0f);
  const float finite = select_f32(safe < kInfinityF32, safe, 1.0f);
  float value = exp_wide(static_cast<double>(y) * log_wide(finite));
  // |x| = 0 or infinity: 0 or infinity by the sign of y.
  const bool to_zero = (magnitude == 0.0f) == (y > 0.0f);
  const bool extreme = (magnitude == 0.0f) | (magnitude == kInfinityF32);
  value = select_f32(extreme, select_f32(to_zero, 0.0f, kInfinityF32), value);
  // Negative bases: the sign of an odd exponent, NaN for a fractional one. Floats of 2^24 and more
  // are even integers.
  const float bounded = clamp_f32(select_f32(y != y, 0.0f, y), -16777216.0f, 16777216.0f);
  const int32_t whole = static_cast<int32_t>(bounded);
  const bool fractional = static_cast<float>(whole) != bounded;
  const uint32_t sign =
      (std::bit_cast<uint32_t>(x) >> 31) & static_cast<uint32_t>(whole) & (fractional ? 0u : 1u);
  value = std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign << 31);
  value = select_f32((x < 0.0f) & fractional & !extreme, kNanF32, value);
  value = select_f32((x != x) | (y != y), kNanF32, value);
  return select_f32((y == 0.0f) | (x == 1.0f), 1.0f, value);
}

CARREL_MATH float gelu_tanh_f32(float x) {
  return 0.5f * x * (1.0f + tanh_f32(0.7978845608f * (x + 0.044715f * x * x * x)));
}
// a (e^x - 1) below 0, else x.
CARREL_MATH float elu_f32(float x, float a) {
  return select_f32(x > 0.0f, x, a * expm1_f32(select_f32(x > 0.0f, 0.0f, x)));
}

// One function of base/unary.h; with a compile-time `fn` the switch disappears.
CARREL_MATH float unary_f32(UnaryFn fn, float x, float a, float b) {
  switch (fn) {
    case UnaryFn::kRelu:
      return select_f32(x < 0.0f, 0.0f, x);
    case UnaryFn::kLeakyRelu:
      return select_f32(x < 0.0f, a * x, x);
    case UnaryFn::kClip:
      return clamp_f32(x, a, b);
    case UnaryFn::kSigmoid:
      return sigmoid_f32(x);
    case UnaryFn::kHardSigmoid:
      return clamp_f32(a * x + b, 0.0f, 1.0f);
    case UnaryFn::kHardSwish:
      return x * clamp_f32(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
    case UnaryFn::kSwish:
      return x * sigmoid_f32(x);
    case UnaryFn::kTanh:
      return tanh_f32(x);
    case UnaryFn::kElu:
      return elu_f32(x, a);
    case UnaryFn::kSelu:
      return b * elu_f32(x, a);
    case UnaryFn::kSoftplus:
      return softplus_f32(x);
    case UnaryFn::kGelu:
      return 0.5f * x * (1.0f + erf_f32(x * 0.70710678f));
    case UnaryFn::kGeluTanh:
      return gelu_tanh_f32(x);
    case UnaryFn::kErf:
      return erf_f32(x);
    case UnaryFn::kSqrt:
      return sqrt_f32(x);
    case UnaryFn::kExp:
      return exp_f32(x);
    case UnaryFn::kLog:
      return log_f32(x);
    case UnaryFn::kNeg:
      return -x;
    case UnaryFn::kAbs:
      return abs_f32(x);
    case UnaryFn::kReciprocal:
      return 1.0f / x;
    case UnaryFn::kNone:
    case UnaryFn::kCount:
      break;
  }
  return x;
}

#undef CARREL_MATH

}  // namespace carrel
