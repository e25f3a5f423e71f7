#include <fmt/core.h>

#include "apps/cli/cli.h"
#include "apps/cli/key.h"
#include "apps/cli/progress.h"
#include "compiler/seal/seal.h"

namespace carrel::cli {
namespace {

struct Options {
  std::string model, key;
  bool json = false;
};

void run(const Options& options) {
  const OwnerKey key(options.key);
  {
    Progress progress("verifying");
    ok_or_fail(verify_sealed(options.model, key.get(), std::ref(progress)), options.model);
  }
  const SealedInfo info = value_or_fail(read_sealed(options.model), options.model);
  if (options.json) {
    return print_json({{"path", options.model}, {"authentic", true}, {"model_id", hex(info.header.model_id)},
                       {"file_bytes", info.header.file_bytes}, {"programs", info.programs.size()}});
  }
  fmt::print("{}: every byte is authentic ({}, {} programs, model id {})\n", options.model,
             size_text(info.header.file_bytes), info.programs.size(), hex(info.header.model_id));
}

}  // namespace

void add_verify(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("verify", "Check that every byte of a sealed model is authentic");
  command->add_option("MODEL", options->model, "sealed file")->required()->type_name("MODEL.carrel");
  command->add_option("--key", options->key, "key file")->required()->type_name("KEY");
  command->add_flag("--json", options->json, "print one JSON object");
  add_example(command, "carrel verify resnet50.carrel --key my.key");
  command->callback([options] { run(*options); });
}

}  // namespace carrel::cli
