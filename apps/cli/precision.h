#pragma once
// How a command is told the types that weights are stored in: --precision and --fc.
#include <span>
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

// What the weights of `streams` are stored as: "fp16", "fp32, fully connected int8", "int8" of a quantized network, "int8,
// the rest fp32" where some of its operators stayed float.
std::string precision_name(const WeightTypes& types, std::span<const StreamDesc> streams);
// The same in one word: "fp32", "fp16" or "int8".
const char* precision_word(const WeightTypes& types, std::span<const StreamDesc> streams);

}  // namespace carrel::cli
