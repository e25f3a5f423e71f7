#include <fmt/core.h>

#include <filesystem>

#include "apps/cli/check_outputs.h"
#include "apps/cli/cli.h"
#include "apps/cli/paper_chart.h"
#include "apps/cli/progress.h"
#include "apps/common/machine_file.h"
#include "base/bytes.h"
#include "bench/paper/comparison.h"
#include "compiler/zoo/zoo.h"
#include "files/atomic_file.h"

namespace carrel::cli {
namespace {

struct Options {
  std::vector<std::string> networks = {"vgg16", "vgg19", "resnet50", "mobilenetv2", "alexnet"};
  std::vector<uint64_t> sizes = {8 * kMiB, 16 * kMiB, 32 * kMiB, 64 * kMiB, 128 * kMiB, 256 * kMiB};
  std::string profile = "sgx1", svg, folder;
  uint32_t threads = 1, repeat = 5;
  bool json = false;
};

// For sealed models of up to 600 MB each, whose names are gone as soon as they are open: whatever ends this program, no more
// than an empty folder stays.
class WorkFolder {
 public:
  explicit WorkFolder(const std::string& parent) {
    std::string name = (parent.empty() ? std::filesystem::temp_directory_path().string() : parent) + "/carrel-paper-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) fail(name + ": cannot be made");
    path_ = name;
  }
  ~WorkFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Json row_json(const PaperRow& row) {
  Json json = {{"system", row.system}, {"precision", row.precision}, {"memory_bytes", row.memory_bytes}, {"fits", row.fits}};
  if (!row.fits) {
    json["least_bytes"] = row.least_bytes;
    return json;
  }
  json.update({{"trusted_bytes", row.trusted_bytes}, {"measured_ms", row.measured.ms},
               {"measured_ratio", row.measured_ratio}, {"modelled_ms", row.modelled.ms},
               {"modelled_ratio", row.modelled_ratio}, {"faults", row.measured.counters.faults()},
               {"relative_error", row.relative_error}});
  return json;
}

Json network_json(const PaperNetwork& network) {
  Json json = {{"name", network.name}, {"unprotected_ms", network.unprotected_ms}, {"unmodified_bytes", network.unmodified_bytes},
               {"largest_output_bytes", network.largest_output_bytes}, {"auto_spread", network.auto_spread()}};
  json["rows"] = Json::array();
  for (const PaperRow& row : network.rows) json["rows"].push_back(row_json(row));
  json["fully_connected"] = Json::array();
  for (const PaperDense& d : network.dense) {
    json["fully_connected"].push_back({{"stored", d.stored}, {"bytes_decrypted", d.bytes_decrypted}, {"decrypt_ms", d.decrypt_ms},
                                       {"layers_ms", d.layers_ms}, {"decrypt_share", d.decrypt_share()}, {"total_ms", d.total_ms}});
  }
  return json;
}

void print_network(const PaperNetwork& network, const EpcProfile& profile) {
  fmt::print("\n{}: {:.1f} ms unprotected (the unmodified engine, {} of plain memory)\n\n", network.name, network.unprotected_ms,
             size_text(network.unmodified_bytes));
  Table table({"TEE", "system", "weights", "trusted", "faults", "measured", "ratio", "modelled " + profile.name, "ratio"},
              "rllrrrrrr");
  for (const PaperRow& row : network.rows) {
    if (!row.fits) {
      table.add({size_text(row.memory_bytes), row.system, row.precision,
                 row.least_bytes != 0 ? "needs " + size_text(row.least_bytes) : "does not fit", "", "", "", "", ""});
      continue;
    }
    table.add({size_text(row.memory_bytes), row.system, row.precision, size_text(row.trusted_bytes),
               std::to_string(row.measured.counters.faults()), fmt::format("{:.1f} ms", row.measured.ms),
               fmt::format("{:.2f}", row.measured_ratio), fmt::format("{:.1f} ms", row.modelled.ms),
               fmt::format("{:.2f}", row.modelled_ratio)});
  }
  table.print();
  if (network.auto_spread() > 0) {
    fmt::print("auto, fp32: {:.2f} from its fastest to its slowest size (largest output {})\n", network.auto_spread(),
               size_text(network.largest_output_bytes));
  }
  fmt::print("\n");
  Table dense({"fully-connected", "decrypted", "decryption", "layers", "share", "whole network"}, "lrrrrr");
  for (const PaperDense& d : network.dense) {
    dense.add({d.stored, size_text(d.bytes_decrypted), fmt::format("{:.2f} ms", d.decrypt_ms), fmt::format("{:.2f} ms", d.layers_ms),
               fmt::format("{:.0f} %", 100 * d.decrypt_share()), fmt::format("{:.1f} ms", d.total_ms)});
  }
  dense.print();
}

std::string modelled_name(const std::string& path) {
  const std::filesystem::path p(path);
  return (p.parent_path() / (p.stem().string() + "_modelled" + p.extension().string())).string();
}

void run_paper(const Options& options) {
  if (!options.svg.empty()) check_outputs({options.svg, modelled_name(options.svg)}, {});
  const WorkFolder folder(options.folder);
  PaperOptions paper;
  paper.sizes = options.sizes;
  paper.profile = value_or_fail(load_epc_profile(options.profile), "");
  paper.machine = value_or_fail(load_machine_profile(), "").of(isa_level(detect_cpu()));
  paper.threads = options.threads;
  paper.repeat = options.repeat;
  paper.folder = folder.path();
  std::vector<PaperNetwork> networks;
  Json json = {{"profile", paper.profile.name}, {"threads", options.threads}, {"networks", Json::array()}};
  for (const std::string& name : options.networks) {
    Progress progress(name);
    networks.push_back(value_or_fail(compare_network(name, paper, std::ref(progress)), name));
    json["networks"].push_back(network_json(networks.back()));
  }
  if (!options.svg.empty()) {
    for (const bool modelled : {false, true}) {
      const std::string file = modelled ? modelled_name(options.svg) : options.svg;
      const std::string chart = paper_chart(networks, paper.profile, modelled);
      ok_or_fail(write_file(file, std::as_bytes(std::span(chart))), file);
    }
  }
  if (options.json) return print_json(json);
  for (const PaperNetwork& network : networks) print_network(network, paper.profile);
}

}  // namespace

void add_bench(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* bench = app.add_subcommand("bench", "Measure carrel beside others");
  bench->require_subcommand(1);
  CLI::App* command = bench->add_subcommand(
      "paper", "An unmodified engine and carrel's strategies over sizes of trusted memory, in the EPC simulator");
  command->add_option("--networks", options->networks, "of the zoo")
      ->check(CLI::IsMember(std::vector<std::string>(zoo_names().begin(), zoo_names().end())))->capture_default_str();
  add_sizes(command, "--memory", &options->sizes, "sizes of the TEE [8MiB 16MiB 32MiB 64MiB 128MiB 256MiB]");
  command->add_option("--epc-profile", options->profile, "what is modelled: a name or a JSON file")->capture_default_str();
  command->add_option("--threads", options->threads)->check(CLI::Range(1u, kMaxThreads))->capture_default_str();
  command->add_option("--repeat", options->repeat, "turns of each, two inferences timed in each")->check(CLI::Range(1u, 1000u))->capture_default_str();
  command->add_option("--svg", options->svg, "write the measured ratios; and the modelled ones, to FILE_modelled.svg")
      ->check(check_file_name)->type_name("FILE.svg");
  command->add_option("--folder", options->folder, "for sealed models meanwhile, up to 2 GB [the system's]")->type_name("FOLDER");
  command->add_flag("--json", options->json, "print one JSON object");
  add_example(command, "carrel bench paper --networks vgg16 alexnet --memory 8MiB 64MiB --svg paper.svg");
  command->callback([options] { run_paper(*options); });
}

}  // namespace carrel::cli
