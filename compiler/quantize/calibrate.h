#pragma once
// The spread of every run-time value over the calibration inputs.
#include "compiler/quantize/quantize.h"

namespace carrel {

// One histogram per value; empty for constants.
Result<std::vector<Histogram>> calibrate(const Graph& graph, const std::vector<Tensor>& inputs,
                                         const QuantizeOptions& options, int64_t* images);

}  // namespace carrel
