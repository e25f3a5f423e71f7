#include <fmt/core.h>

#include <filesystem>

#include "apps/cli/calibration.h"
#include "apps/cli/check_outputs.h"
#include "apps/cli/cli.h"
#include "apps/cli/import.h"
#include "apps/cli/key.h"
#include "apps/cli/precision.h"
#include "apps/cli/progress.h"
#include "apps/common/machine_file.h"
#include "base/bytes.h"
#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/seal/seal.h"

namespace carrel::cli {
namespace {

struct Options {
  std::string model, output, key;
  PrecisionOptions precision;
  CalibrationOptions calibration;
  std::vector<uint64_t> budgets = {4 * kMiB, 8 * kMiB, 16 * kMiB, 64 * kMiB};
  std::vector<uint32_t> threads = {1, 2};
  std::vector<std::string> strategies = {"auto"};
  std::vector<std::string> isas = {"avx2", "avx512"};
  std::vector<std::string> dims;
  bool budgets_given = false;  // not the usual ones
  bool json = false;
};

std::vector<PlanRequest> requests(const Options& options) {
  // Another machine's instruction sets share the plans of this one's.
  const MachineFigures machine = value_or_fail(load_machine_profile(), "").of(isa_level(detect_cpu()));
  std::vector<PlanRequest> all;
  for (const std::string& isa : options.isas) {
    for (uint32_t threads : options.threads) {
      for (const std::string& strategy : options.strategies) {
        for (uint64_t budget : options.budgets) {
          all.push_back({budget, *parse_strategy(strategy.c_str()), threads, parse_isa(isa), machine});
        }
      }
    }
  }
  return all;
}

void report(const Options& options, const ModelId& id, const std::vector<std::string>& notes) {
  const SealedInfo info = value_or_fail(read_sealed(options.output), options.output);
  const WeightTypes types = weight_types(info.manifest);
  if (options.json) {
    return print_json({{"path", options.output}, {"model_id", hex(id)}, {"precision", precision_word(types, info.streams)},
                       {"fc_precision", stored_name(types.dense)},
                       {"file_bytes", info.header.file_bytes}, {"streams", info.streams.size()},
                       {"programs", info.programs.size()}, {"notes", notes}});
  }
  for (const std::string& note : notes) fmt::print(stderr, "note: {}\n", note);
  fmt::print("{}: {}, {}, {} programs, model id {}\n", options.output, size_text(info.header.file_bytes),
             precision_name(types, info.streams), info.programs.size(), hex(id));
}

Graph network(const Options& options) {
  const Graph graph = import_or_fail(options.model, parse_symbols(options.dims));
  if (options.precision.precision != "int8") return graph;
  QuantizeReport report;
  Graph quantized = quantize_or_fail(graph, options.model, options.calibration, &report);
  return value_or_fail(optimize(std::move(quantized), eval_node), options.model);
}

// Calibration and precision ask for each other.
void check_calibration(const Options& options) {
  const bool int8 = options.precision.precision == "int8";
  if (int8 && options.calibration.inputs.paths.empty()) {
    throw CLI::ValidationError("--precision", "int8 needs --calibrate with inputs like those of use");
  }
  if (!int8 && !options.calibration.inputs.paths.empty()) {
    throw CLI::ValidationError("--calibrate", "is for --precision int8");
  }
}

void run(const Options& options) {
  const OwnerKey key(options.key);
  std::vector<std::string> read = options.calibration.inputs.paths;
  read.insert(read.end(), {options.model, options.key});
  check_outputs({options.output}, read);
  const Graph graph = network(options);
  SealOptions seal;
  seal.stored = weight_types(options.precision);
  seal.programs = requests(options);
  seal.every_budget = options.budgets_given;
  std::vector<std::string> notes;
  ModelId id;
  {
    Progress progress("sealing");
    const Result<ModelId> sealed = seal_model(graph, key.get(), seal, options.output, std::ref(progress), &notes);
    const bool at_output = !sealed.ok() && sealed.error().code() == ErrorCode::kIo;
    id = value_or_fail(sealed, at_output ? options.output : options.model);
  }
  report(options, id, notes);
}

}  // namespace

void add_seal(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("seal", "Encrypt an ONNX network under a key, with programs for usual budgets");
  command->add_option("MODEL", options->model, "ONNX file")->required()->type_name("MODEL.onnx");
  command->add_option("-o,--output", options->output, "sealed file to write")->required()->type_name("MODEL.carrel")
      ->check(check_file_name);
  command->add_option("--key", options->key, "key file (carrel keygen)")->required()->type_name("KEY");
  add_precision(command, &options->precision, {"fp32", "fp16", "mixed", "int8"},
                "how weights are stored; mixed: fp32, fully-connected layers int8; int8: calibrates and quantizes all first");
  CLI::Option* budgets =
      add_sizes(command, "--memory", &options->budgets, "budgets to seal programs for [4MiB 8MiB 16MiB 64MiB]");
  command->add_option("--threads", options->threads, "thread counts to seal programs for")
      ->check(CLI::Range(1u, kMaxThreads))->capture_default_str();
  command->add_option("--strategy", options->strategies, "strategies to seal programs for")
      ->check(CLI::IsMember({"whole", "channel", "yplane", "auto"}))->capture_default_str();
  command->add_option("--isa", options->isas, "instruction sets to seal programs for")
      ->check(CLI::IsMember({"generic", "avx2", "avx512"}))->capture_default_str();
  command->add_option("--dim", options->dims, "value of a symbolic dimension")->type_name("NAME=VALUE");
  command->add_flag("--json", options->json, "print one JSON object");
  add_calibration_options(command, &options->calibration);
  add_example(command, "carrel seal vgg16.onnx -o vgg16.carrel --key my.key --precision mixed --memory 8MiB 16MiB");
  command->callback([options, budgets] {
    options->budgets_given = budgets->count() > 0;
    check_calibration(*options);
    run(*options);
  });
}

}  // namespace carrel::cli
