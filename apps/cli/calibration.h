#pragma once
// Quantization as an option of commands.
#include <CLI/CLI.hpp>
#include <string>

#include "apps/cli/inputs.h"
#include "compiler/quantize/quantize.h"

namespace carrel::cli {

struct CalibrationOptions {
  InputOptions inputs;  // paths may be folders too
  std::string method = "percentile";
  int64_t images = 200;
};

// --calibrate, --method, --images and how pictures are prepared.
void add_calibration_options(CLI::App* command, CalibrationOptions* options);

// `graph`, read from `model`, on uint8 and int8, not yet optimized. Fails with one line.
Graph quantize_or_fail(const Graph& graph, const std::string& model, const CalibrationOptions& options,
                       QuantizeReport* report);

}  // namespace carrel::cli
