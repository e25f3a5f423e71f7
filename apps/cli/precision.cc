#include "apps/cli/precision.h"

#include <fmt/core.h>

#include <algorithm>

namespace carrel::cli {
namespace {

StoredType parse_type(const std::string& name) {
  for (StoredType type : {StoredType::kF16, StoredType::kI8, StoredType::kI4}) {
    if (name == stored_name(type)) return type;
  }
  return StoredType::kF32;
}

bool any_quantized(std::span<const StreamDesc> streams) {
  return std::any_of(streams.begin(), streams.end(), [](const StreamDesc& s) { return quantized(s.shape.kind); });
}
// Weights of an operator on floats; constants are not.
bool is_float(const StreamDesc& stream) {
  const WeightsKind kind = stream.shape.kind;
  return kind == WeightsKind::kConv || kind == WeightsKind::kDepthwise || kind == WeightsKind::kDense;
}

}  // namespace

void add_precision(CLI::App* command, PrecisionOptions* options, const std::vector<std::string>& names,
                   const std::string& help) {
  command->add_option("--precision", options->precision, help)->check(CLI::IsMember(names))->capture_default_str();
  command->add_option("--fc", options->fc,
                      "fully-connected layers alone; int8 is a quarter of fp32 and loses next to nothing, int4 a seventh "
                      "and costs up to a point of accuracy (docs/WEIGHTS.md); arithmetic stays fp32 [as --precision says]")
      ->check(CLI::IsMember({"fp32", "fp16", "int8", "int4"}));
}

WeightTypes weight_types(const PrecisionOptions& options) {
  const StoredType maps = options.precision == "fp16" ? StoredType::kF16 : StoredType::kF32;
  if (!options.fc.empty()) return {maps, parse_type(options.fc)};
  return {maps, options.precision == "mixed" ? StoredType::kI8 : maps};
}

std::string precision_name(const WeightTypes& types, std::span<const StreamDesc> streams) {
  const std::string floats = types.dense == types.maps ? stored_name(types.maps)
      : fmt::format("{}, fully connected {}", stored_name(types.maps), stored_name(types.dense));
  if (!any_quantized(streams)) return floats;
  return std::any_of(streams.begin(), streams.end(), is_float) ? "int8, the rest " + floats : "int8";
}

const char* precision_word(const WeightTypes& types, std::span<const StreamDesc> streams) {
  return any_quantized(streams) ? "int8" : stored_name(types.maps);
}

}  // namespace carrel::cli
