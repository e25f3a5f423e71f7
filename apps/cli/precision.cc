#include "apps/cli/precision.h"

#include <fmt/core.h>

namespace carrel::cli {
namespace {

StoredType parse_type(const std::string& name) {
  for (StoredType type : {StoredType::kF16, StoredType::kI8, StoredType::kI4}) {
    if (name == stored_name(type)) return type;
  }
  return StoredType::kF32;
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

std::string precision_name(const WeightTypes& types) {
  if (types.dense == types.maps) return stored_name(types.maps);
  return fmt::format("{}, fully connected {}", stored_name(types.maps), stored_name(types.dense));
}

}  // namespace carrel::cli
