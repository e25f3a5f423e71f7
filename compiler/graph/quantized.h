#pragma once
// Quantized values in graphs: real = scale * (q - zero).
#include "compiler/graph/graph.h"

namespace carrel {

struct Quantization {
  float scale = 1;
  int64_t zero = 0;
  bool operator==(const Quantization&) const = default;
};

// Attributes `scale` and `zero` of a kQuantize or kDequantize.
Quantization quantization_of(const Node& node);
void set_quantization(const Quantization& quantization, Node* node);
// Attributes PREFIX_scale and PREFIX_zero.
void set_quantization(const std::string& prefix, const Quantization& quantization, Node* node);

// The level of a real value: round(x / scale), halves to even, + zero, within [0, 255].
int64_t level_of(float x, const Quantization& quantization);

// Run-time int8 values become uint8 ones: 128 is added to them and their zero points.
void shift_to_uint8(Graph* graph);

}  // namespace carrel
