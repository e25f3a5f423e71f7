#pragma once
// How a command is told the types that weights are stored in: --precision and --fc.
#include <string>

#include "apps/cli/cli.h"
#include "compiler/plan/plan.h"

namespace carrel::cli {

struct PrecisionOptions {
  std::string precision = "fp32";  // or "fp16", "mixed"; whatever else a command takes stores as fp32
  std::string fc;  // empty: what `precision` says
};

// `names`: what --precision may be.
void add_precision(CLI::App* command, PrecisionOptions* options, const std::vector<std::string>& names,
                   const std::string& help);
WeightTypes weight_types(const PrecisionOptions& options);

// "fp16", "fp32, fully connected int8".
std::string precision_name(const WeightTypes& types);

}  // namespace carrel::cli
