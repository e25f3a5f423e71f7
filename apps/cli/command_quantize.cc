#include <fmt/core.h>

#include <filesystem>

#include "apps/cli/calibration.h"
#include "apps/cli/check_outputs.h"
#include "apps/cli/cli.h"
#include "apps/cli/import.h"
#include "apps/cli/progress.h"
#include "compiler/onnx/onnx.h"

namespace carrel::cli {
namespace {

struct Options {
  std::string model, output;
  CalibrationOptions calibration;
  std::vector<std::string> dims;
  bool json = false;
};

void run(const Options& options) {
  std::vector<std::string> read = options.calibration.inputs.paths;
  read.push_back(options.model);
  check_outputs({options.output}, read);
  const Graph graph = import_or_fail(options.model, parse_symbols(options.dims));
  QuantizeReport report;
  const Graph quantized = quantize_or_fail(graph, options.model, options.calibration, &report);
  {
    const Progress progress("writing");
    ok_or_fail(export_onnx_file(quantized, options.output), options.output);
  }
  const uint64_t bytes = std::filesystem::file_size(options.output);
  if (options.json) {
    return print_json({{"path", options.output}, {"file_bytes", bytes}, {"method", options.calibration.method},
                       {"images", report.images}, {"quantized", report.quantized},
                       {"kept_float", report.kept_float}});
  }
  for (const std::string& node : report.kept_float) fmt::print(stderr, "note: stays float: {}\n", node);
  fmt::print("{}: {}, {} operators on 8 bits, {} in float, calibrated on {} inputs\n", options.output, size_text(bytes),
             report.quantized, report.kept_float.size(), report.images);
}

}  // namespace

void add_quantize(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("quantize", "Turn a float ONNX network into an 8-bit one (QDQ), by calibration");
  command->add_option("MODEL", options->model, "ONNX file")->required()->type_name("MODEL.onnx");
  command->add_option("-o,--output", options->output, "ONNX file to write")->required()->type_name("MODEL_int8.onnx")
      ->check(check_file_name);
  add_calibration_options(command, &options->calibration);
  command->get_option("--calibrate")->required();
  command->add_option("--dim", options->dims, "value of a symbolic dimension")->type_name("NAME=VALUE");
  command->add_flag("--json", options->json, "print one JSON object");
  add_example(command, "carrel quantize resnet50.onnx --calibrate photos/ -o resnet50_int8.onnx");
  command->callback([options] { run(*options); });
}

}  // namespace carrel::cli
