#pragma once
// Static quantization: a float network and inputs like those it will see become the network with
// uint8 activations and int8 weights, as kQuantize and kDequantize around the float operators.
#include <functional>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/quantize/ranges.h"

namespace carrel {

struct QuantizeOptions {
  RangeMethod method = RangeMethod::kPercentile;  // docs/WEIGHTS.md has the comparison
  int threads = 1;  // of calibration; the result does not depend on it
  std::function<void(uint64_t done, uint64_t total)> progress;  // inputs; may be empty
};

struct QuantizeReport {
  int64_t images = 0;
  int quantized = 0;                    // operators on levels
  std::vector<std::string> kept_float;  // the others: "NODE: OPERATOR"
};

// `graph` is optimized and float. `inputs`: one tensor per input of the graph; dimension 0 may be a
// multiple n of the graph's, n inputs to calibrate on. Conv, Gemm, MatMul, Add, pools, Concat,
// Reshape and Transpose are quantized where their operands allow it; weights per output channel,
// symmetric, biases in units of the product of both scales. A Relu or Clip that the levels imply is
// left out. optimize() fuses the result; export_onnx_* writes it as a QDQ model.
// Errors: kInvalidInput (inputs that do not fit, values that are not finite, a graph that is
// quantized already).
Result<Graph> quantize_graph(const Graph& graph, const std::vector<Tensor>& inputs,
                             const QuantizeOptions& options, QuantizeReport* report);

}  // namespace carrel
