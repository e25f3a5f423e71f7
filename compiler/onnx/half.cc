#include "compiler/onnx/half.h"

#include <cmath>

namespace carrel {
namespace {

// `value` with `bits` bits of mantissa, ties to even, in multiples of at least `least`; what then
// exceeds `largest` is infinite.
float round_to(float value, int bits, float least, float largest) {
  if (!std::isfinite(value) || value == 0) return value;
  int exponent = 0;
  std::frexp(value, &exponent);
  const double unit = std::fmax(std::ldexp(1.0, exponent - bits), least);
  const double rounded = std::nearbyint(value / unit) * unit;
  if (std::fabs(rounded) > largest) return std::copysign(INFINITY, value);
  return std::copysign(static_cast<float>(rounded), value);
}

}  // namespace

float round_to_f16(float value) { return round_to(value, 11, 0x1p-24f, 65504.0f); }
float round_to_bf16(float value) { return round_to(value, 8, 0x1p-133f, 0x1.FEp127f); }

}  // namespace carrel
