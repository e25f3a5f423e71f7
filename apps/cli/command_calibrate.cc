#include <fmt/core.h>

#include "apps/cli/cli.h"
#include "apps/cli/progress.h"
#include "apps/common/engine_cost.h"
#include "apps/common/machine_file.h"
#include "compiler/cost/figure_list.h"
#include "compiler/machine/machine.h"
#include "compiler/machine/region.h"

namespace carrel::cli {
namespace {

constexpr double kSecondsPerFigure = 0.25;
constexpr uint32_t kInferences = 300;

MachineProfile measure(const std::string& what) {
  const Progress progress(what);
  ok_or_fail(check_crypto_cpu(), "");
  const machine::Region region = value_or_fail(machine::Region::take(machine::level_sizes().memory), "calibrate");
  const machine::CipherSpeed cipher = machine::cipher_speed(detect_cpu(), region.bytes(), 4 * kSecondsPerFigure);
  const EngineCost engine = value_or_fail(measure_engine_cost(PlatformKind::kProcess, 1, kInferences), "calibrate");
  MachineProfile profile;
  for (uint8_t level = 0; level <= static_cast<uint8_t>(isa_level(detect_cpu())); ++level) {
    const IsaLevel isa = static_cast<IsaLevel>(level);
    profile.figures[level] = machine::measure_figures(isa, cipher, engine.step_seconds, kSecondsPerFigure);
    const FigureField* bad = implausible_figure(profile.figures[level]);
    if (bad != nullptr) fail(fmt::format("calibrate: {} measured as {}: the machine is too busy; try again", bad->name,
                                         profile.figures[level].*bad->value));
  }
  return profile;
}

Json figures_json(const MachineFigures& figures) {
  Json json = Json::object();
  for (const FigureField& field : figure_fields()) json[field.name] = figures.*field.value;
  return json;
}

void print_figures(const MachineProfile& profile) {
  Table table({"figure of one core", "generic", "avx2", "avx512", "default"}, "lrrrr");
  const uint8_t best = static_cast<uint8_t>(isa_level(detect_cpu()));
  for (const FigureField& field : figure_fields()) {
    std::vector<std::string> row = {field.name};
    for (uint8_t level = 0; level < 3; ++level) {
      row.push_back(level <= best ? fmt::format("{:.3g}", profile.figures[level].*field.value) : "-");
    }
    row.push_back(fmt::format("{:.3g}", MachineFigures{}.*field.value));
    table.add(row);
  }
  table.print();
}

void run(bool json) {
  const MachineProfile profile = measure("measuring this machine");
  const std::string path = value_or_fail(save_machine_profile(profile), "");
  if (json) {
    Json report = {{"path", path}, {"figures", Json::object()}};
    for (uint8_t level = 0; level <= static_cast<uint8_t>(isa_level(detect_cpu())); ++level) {
      report["figures"][isa_name(static_cast<IsaLevel>(level))] = figures_json(profile.figures[level]);
    }
    return print_json(report);
  }
  print_figures(profile);
  fmt::print("Kept in {}; plan, seal and run plan with it from now on.\n", path);
}

}  // namespace

void add_calibrate(CLI::App& app) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("calibrate", "Measure this machine, so that plans are the fastest on it");
  command->add_flag("--json", *json, "print one JSON object");
  command->footer(
      "Takes less than a minute; let the machine be idle meanwhile. The figures are kept per user, in\n"
      "$XDG_CONFIG_HOME/carrel/machine.json or ~/.config/carrel/machine.json. Without them plans are made for an\n"
      "AVX-512 server of 2.8 GHz. Programs that are sealed already stay as they are.\n"
      "Example:\n  carrel calibrate && carrel plan resnet50.onnx --memory 8MiB");
  command->callback([json] { run(*json); });
}

}  // namespace carrel::cli
