#include <fmt/core.h>

#include "apps/cli/cli.h"
#include "client/keys.h"

namespace carrel::cli {
namespace {

struct Options {
  std::string output;
  bool json = false;
};

void run(const Options& options) {
  ok_or_fail(create_key_file(options.output), options.output);
  if (options.json) return print_json({{"path", options.output}});
  fmt::print("{}: a new model key. Who has it can read every model sealed under it; nobody can without.\n",
             options.output);
}

}  // namespace

void add_keygen(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("keygen", "Make a model key; an existing file is never overwritten");
  command->add_option("-o,--output", options->output, "key file to write")->required()->type_name("KEY")
      ->check(check_file_name);
  command->add_flag("--json", options->json, "print one JSON object");
  add_example(command, "carrel keygen -o my.key");
  command->callback([options] { run(*options); });
}

}  // namespace carrel::cli
