#pragma once
// Elementwise functions of one argument: ONNX activations and maths, with up to two parameters.
// Shared by the graph (fused activations), the program format and the kernels.
#include <cstdint>

namespace carrel {

enum class UnaryFn : uint8_t {
  kNone = 0,     // x
  kRelu,         // max(x, 0)
  kLeakyRelu,    // x >= 0 ? x : a x
  kClip,         // min(max(x, a), b)
  kSigmoid,      // 1 / (1 + e^-x)
  kHardSigmoid,  // min(max(a x + b, 0), 1)
  kHardSwish,    // x * min(max(x / 6 + 1/2, 0), 1)
  kSwish,        // x * sigmoid(x)  (Mul(x, Sigmoid(x)) fused)
  kTanh,
  kElu,          // x >= 0 ? x : a (e^x - 1)
  kSelu,         // b * (x >= 0 ? x : a (e^x - 1))
  kSoftplus,     // log(1 + e^x)
  kGelu,         // x/2 (1 + erf(x / sqrt 2))
  kGeluTanh,     // the tanh approximation
  kErf,
  kSqrt,
  kExp,
  kLog,
  kNeg,
  kAbs,
  kReciprocal,
  kCount,
};

struct Unary {
  UnaryFn fn = UnaryFn::kNone;
  float a = 0;
  float b = 0;
  bool operator==(const Unary&) const = default;
};

}  // namespace carrel
