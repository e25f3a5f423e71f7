#pragma once
// Batch normalization with known statistics as one multiplication and one addition per channel.
#include <span>
#include <vector>

#include "compiler/graph/tensor.h"

namespace carrel {

struct BatchNormParameters {
  std::span<const float> scale, bias, mean, variance;  // one value per channel
  float epsilon = 1e-5f;
};

// factor = scale / sqrt(variance + epsilon) and shift = bias - mean * factor, computed in double.
// False if a variance + epsilon is not positive.
[[nodiscard]] bool affine_from_statistics(const BatchNormParameters& parameters,
                                          std::vector<float>* factor, std::vector<float>* shift);

}  // namespace carrel
