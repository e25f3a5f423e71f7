#include <fmt/core.h>

#include <filesystem>

#include "apps/cli/check_outputs.h"
#include "apps/cli/cli.h"
#include "apps/cli/import.h"
#include "apps/cli/progress.h"
#include "compiler/onnx/onnx.h"
#include "compiler/zoo/zoo.h"

namespace carrel::cli {
namespace {

struct Options {
  ZooOptions zoo;
  std::string output;
  bool json = false;
};

void run(const Options& options) {
  check_outputs({options.output}, {});
  Graph graph;
  {
    const Progress progress("making the weights");
    graph = value_or_fail(make_zoo_model(options.zoo), "");
  }
  {
    const Progress progress("writing");
    ok_or_fail(export_onnx_file(graph, options.output), options.output);
  }
  const uint64_t bytes = std::filesystem::file_size(options.output);
  if (options.json) {
    return print_json({{"path", options.output}, {"name", graph.name}, {"parameters", parameter_count(graph)},
                       {"file_bytes", bytes}, {"synthetic", true}});
  }
  fmt::print("{}: {}, {:.1f} M parameters, {}\nThe weights are synthetic: its answers mean nothing.\n", options.output,
             graph.name, static_cast<double>(parameter_count(graph)) / 1e6, size_text(bytes));
}

}  // namespace

void add_zoo(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("zoo", "Write a well-known network as ONNX, with seeded synthetic weights");
  std::vector<std::string> names(zoo_names().begin(), zoo_names().end());
  command->add_option("NAME", options->zoo.name, "network")->required()->check(CLI::IsMember(names));
  command->add_option("-o,--output", options->output, "ONNX file to write")->required()->type_name("MODEL.onnx")
      ->check(check_file_name);
  command->add_option("--seed", options->zoo.seed, "of the weights")->capture_default_str();
  command->add_option("--width", options->zoo.width, "channel multiplier (mobilenets)")->capture_default_str();
  command->add_option("--resolution", options->zoo.resolution, "input height and width")->capture_default_str();
  command->add_flag("--json", options->json, "print one JSON object");
  add_example(command, "carrel zoo resnet50 -o resnet50.onnx");
  command->callback([options] { run(*options); });
}

}  // namespace carrel::cli
