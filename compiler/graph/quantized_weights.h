#pragma once
// What a fused convolution or Gemm takes from the constants of a pattern.
#include <optional>

#include "compiler/graph/graph.h"

namespace carrel {

struct QuantizedWeights {
  TensorPtr weight;          // int8, output channels first
  std::vector<float> scale;  // one per output channel
};

// The weights behind `id`, a kDequantizeConst's output: symmetric, with scales along `axis`, int8
// after the zero point is taken away. `transposed`: (K, N) becomes (N, K). Nothing where the
// constants have another form.
std::optional<QuantizedWeights> quantized_weights(const Graph& graph, const Node& dequantize,
                                                  int axis, bool transposed);

// The bias `id` in units of x_scale * scale[m], int32. A dequantized one keeps its integers where
// its scales are those units; a float one is rounded, by at most half a unit. Nothing where it is
// no constant, or where a sum of 255 |weight| and bias, also in units of y_scale, could leave
// int32.
std::optional<Tensor> quantized_bias(const Graph& graph, ValueId id, const Node* dequantize,
                                     float x_scale, float y_scale,
                                     const QuantizedWeights& weights);

}  // namespace carrel
