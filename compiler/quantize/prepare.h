#pragma once
// The float network in the form that is quantized.
#include "compiler/graph/graph.h"

namespace carrel {

// Activations other than Relu and Clip as nodes of their own; kAffine of images as a depthwise 1x1
// convolution.
Graph prepare_for_quantization(const Graph& graph);

// Which operators work on levels.
struct QuantizedSet {
  std::vector<bool> node;        // this one does
  std::vector<bool> has_levels;  // the value comes from one, or is an input
};
QuantizedSet choose_quantized(const Graph& graph);

// Moves or selects elements: the result has its input's levels.
bool keeps_levels(OpType op);

}  // namespace carrel
