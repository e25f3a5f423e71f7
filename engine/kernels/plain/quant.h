#pragma once
// Arithmetic that the quantized plain operators share.
#include "base/vector_math.h"
#include "engine/kernels/plain/window.h"

namespace carrel::plain {

// A result's zero point and the levels it is clamped to.
struct Levels {
  float zero = 0, low = 0, high = 255;
};

// Branch-free; NaN gives `low`.
inline float bounded(float v, float low, float high) {
  v = select_f32(v > low, v, low);
  return select_f32(v < high, v, high);
}

// v rounded to an integer, halves to even, plus the zero point, clamped.
inline float to_level(float v, const Levels& levels) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the sum's last bit counts ones
  constexpr float kFar = 65536.0f;       // beyond every level, within what kRound rounds
  const float rounded = bounded(v, -kFar, kFar) + kRound - kRound;
  return bounded(rounded + levels.zero, levels.low, levels.high);
}

inline bool is_level(int64_t v) { return v >= 0 && v <= 255; }
// Every one of `count` numbers is a level.
inline bool are_levels(const int64_t* numbers, size_t count) {
  return std::all_of(numbers, numbers + count, is_level);
}
inline Levels levels_of(int64_t zero, int64_t low = 0, int64_t high = 255) {
  return {static_cast<float>(zero), static_cast<float>(low), static_cast<float>(high)};
}

// The bias of a channel, however it is stored.
inline double bias_at(const PlainTensor* bias, int64_t channel) {
  if (bias == nullptr) return 0;
  return bias->type == PlainType::kI64 ? static_cast<double>(i64(*bias)[channel])
                                       : static_cast<double>(f32(*bias)[channel]);
}

// X, W, weight_scale and Y are f32; B, if there, a vector of `channels`, may be i64.
bool valid_weighted_inputs(const PlainCall& call, int64_t channels);

}  // namespace carrel::plain
