#pragma once
// Weights and biases as integers.
#include "compiler/graph/graph.h"

namespace carrel {

struct IntegerWeights {
  Tensor weight;             // int8, the float weight's shape
  std::vector<float> scale;  // per output channel
  Tensor bias;               // int32, in units of x_scale * scale[m]; without elements if none
};

// Symmetric: the greatest weight of a channel becomes 127, unless its bias needs coarser units to
// stay within 2^29. `axis` is the output channels' (0 or 1). `bias` may be null.
IntegerWeights integer_weights(const Tensor& weight, int axis, const Tensor* bias, float x_scale);

}  // namespace carrel
