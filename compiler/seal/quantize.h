#pragma once
// Weights of fully-connected layers in 8 or 4 bits (engine/layout/dense.h), rounded to nearest.
//
// kI8: a filter's largest weight is code 127. kI4: per 32 rows of a filter the step that gives the
// least squared error of three starts, each improved once; measured 7.5 % of the weights' root mean
// square for normally distributed ones, 0.9 % for kI8 (docs/WEIGHTS.md).
#include <vector>

#include "engine/kernels/rows/rows.h"

namespace carrel {

struct QuantizedWeights {
  std::vector<int8_t> codes;
  std::vector<float> steps, scales;
  operator DenseCodes() const { return {codes, steps, scales}; }
};

// `shape`: kDense, kI8 or kI4. weights: (Cout, Cin, kh, kw), finite. Filters do not influence one
// another.
QuantizedWeights quantize_dense(const WeightsShape& shape, std::span<const float> weights);

// What they mean, in the order of `weights`.
std::vector<float> dequantize_dense(const WeightsShape& shape, const QuantizedWeights& quantized);

}  // namespace carrel
