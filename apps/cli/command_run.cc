#include <fmt/core.h>

#include <algorithm>

#include "apps/cli/check_outputs.h"
#include "apps/cli/cli.h"
#include "apps/cli/epc_report.h"
#include "apps/cli/inputs.h"
#include "apps/cli/key.h"
#include "apps/cli/latencies.h"
#include "apps/cli/outputs.h"
#include "apps/cli/profile_tables.h"
#include "apps/cli/precision.h"
#include "apps/cli/progress.h"
#include "apps/cli/run_unmodified.h"
#include "apps/common/clock.h"
#include "apps/common/epc_runner.h"
#include "apps/common/machine_file.h"
#include "apps/common/runner.h"
#include "client/labels.h"

namespace carrel::cli {
namespace {

struct Options {
  std::string model, key, output, save_input, labels, platform = "process", strategy = "auto", isa = "auto", expected, enclave;
  std::string engine = "carrel", epc_profile = "sgx1", trace;
  InputOptions input;
  uint64_t budget_bytes = 0;
  bool memory_given = false;
  uint32_t threads = 1;
  uint32_t repeat = 1;
  bool json = false, profile = false;
};

struct Measured {
  Latencies latencies;
  RunStats last;
  EpcMeasured epc;  // epcsim: of the last
};

// Features that decide arithmetic are taken away; those of encryption stay.
CpuMask cpu_for(const std::string& isa) {
  const CpuMask all = detect_cpu();
  if (isa == "avx2") return all & ~(kCpuAvx512 | kCpuVnni);
  if (isa == "generic") return all & ~(kCpuAvx512 | kCpuVnni | kCpuAvx2);
  if (isa == "avx512" && isa_level(all) != IsaLevel::kAvx512) fail("--isa avx512: this machine has no AVX-512");
  return all;
}

PlatformKind platform_kind(const std::string& name) {
  if (name == "inproc") return PlatformKind::kInproc;
  return name == "epcsim" ? PlatformKind::kEpcsim : PlatformKind::kProcess;
}

RunnerOptions runner_options(const Options& options) {
  RunnerOptions out;
  out.model_path = options.model;
  out.memory_bytes = options.budget_bytes;
  out.strategy = *parse_strategy(options.strategy.c_str());
  out.threads = options.threads;
  out.platform = platform_kind(options.platform);
  if (!options.trace.empty()) out.trace_events = kEpcTraceEvents;
  out.cpu = cpu_for(options.isa);
  out.enclave_path = options.enclave;
  out.profile = options.profile;
  out.machine = value_or_fail(load_machine_profile(), "").of(isa_level(out.cpu));
  out.pin_model = !options.expected.empty();
  if (out.pin_model) parse_model_id(options.expected, &out.expected_model);
  return out;
}

std::vector<Tensor> infer(const Options& options, const std::vector<Tensor>& inputs, Runner* runner,
                          Measured* measured) {
  std::vector<Tensor> outputs;
  Progress progress("running");
  for (uint32_t i = 0; i < options.repeat; ++i) {
    const auto image_done = [&](int64_t done, int64_t images) {
      const auto whole = static_cast<uint64_t>(images);
      progress(i * whole + static_cast<uint64_t>(done), options.repeat * whole);
    };
    const EpcsimSession* epc = runner->epcsim();
    const EpcCounters counters_before = epc != nullptr ? epc->counters() : EpcCounters{};
    const uint64_t bytes_before = epc != nullptr ? epc->bytes_handed_out() : 0;
    const double before = now_ms();
    outputs = value_or_fail(runner->run(inputs, &measured->last, image_done), options.model);
    const double ms = now_ms() - before;
    if (epc != nullptr) {
      measured->epc.counters = epc->counters().since(counters_before);
      measured->epc.bytes_touched = epc->bytes_handed_out() - bytes_before;
    }
    measured->latencies.add(ms);
    if (i == 0 && options.repeat > 1) runner->drop_profile();  // like the latencies: of the later ones
  }
  return outputs;
}

EpcReport epc_report(const Options& options, const EpcProfile& profile, Runner* runner, const Measured& measured) {
  EpcReport report;
  report.profile = profile;
  report.memory_bytes = options.budget_bytes;
  report.engine_bytes = runner->program().budget_bytes;
  report.measured = measured.epc;
  report.measured.ms = measured.latencies.median();
  report.measured.crossings = measured.last.crossings;
  report.measured.working_set = measured.last.peak_trusted_bytes;
  report.delivery_us = value_or_fail(fault_delivery_us(detect_cpu()), "");
  const EpcTrace* trace = runner->epcsim()->trace();
  report.traced = trace != nullptr;
  if (trace == nullptr) return report;
  const EpcNames names = value_or_fail(program_page_names(runner->program_view(), runner->architecture()), options.model);
  report.summary = summarize_epc(trace->events(), names);
  report.events_dropped = trace->dropped();
  ok_or_fail(write_epc_trace(options.trace, *trace), options.trace);
  return report;
}

const char* guarantee(const Options& options) {
  return options.platform != "process"
             ? "no wall around the engine: anything in this process, and whoever may read it, sees weights and inputs"
             : "weights and activations are encrypted outside a sandboxed process of its own, which other users and "
               "processes cannot read";
}

Json report_json(const Options& options, Runner* runner, const Measured& measured) {
  Json report = {{"model", runner->architecture().name},
                 {"model_id", hex(runner->model().model_id)},
                 {"precision", precision_word(runner->precision(), runner->streams())},
                 {"fc_precision", stored_name(runner->precision().dense)},
                 {"platform", options.platform},
                 {"guarantee", guarantee(options)},
                 {"protection_notes", runner->protection_notes()},
                 {"threads", options.threads},
                 {"strategy", options.strategy},
                 {"isa", isa_name(static_cast<IsaLevel>(runner->program().isa))},
                 {"planned_now", runner->planned_now()},
                 {"budget_bytes", options.budget_bytes},
                 {"planned_peak_bytes", runner->program().planned_peak_bytes},
                 {"peak_trusted_bytes", measured.last.peak_trusted_bytes},
                 {"kernel_private_bytes", runner->kernel_private_bytes()},
                 {"start_ms", runner->start_ms()}};
  report.update(latencies_json(measured.latencies));
  report.update({{"bytes_decrypted", measured.last.bytes_decrypted},
                 {"bytes_spilled", measured.last.bytes_spilled},
                 {"bytes_fetched", measured.last.bytes_fetched},
                 {"crossings", measured.last.crossings}});
  return report;
}

void print_report(const Options& options, Runner* runner, const Measured& measured) {
  fmt::print("trusted memory  {} measured, {} planned, {} granted", size_text(measured.last.peak_trusted_bytes),
             size_text(runner->program().planned_peak_bytes), size_text(options.budget_bytes));
  if (runner->kernel_private_bytes() != 0) fmt::print("; the kernel counts {}", size_text(runner->kernel_private_bytes()));
  fmt::print("\n");
  print_latencies(measured.latencies, runner->start_ms());
  fmt::print("boundary        {} of weights decrypted, {} of activations sealed out and {} back, {} crossings\n",
             size_text(measured.last.bytes_decrypted), size_text(measured.last.bytes_spilled),
             size_text(measured.last.bytes_fetched), measured.last.crossings);
}

// Said before the answer, on stderr, so that nobody takes this platform for more than it is.
void say_guarantee(const Options& options, Runner* runner) {
  fmt::print(stderr, "{}: {}\n", options.platform, guarantee(options));
  // The others' notes say the same again.
  const bool walled = options.platform == "process" && runner->protection_notes()[0] != '\0';
  if (walled) fmt::print(stderr, "{}: {}\n", options.platform, runner->protection_notes());
  if (!runner->planned_now()) return;
  fmt::print(stderr, "note: no sealed program for {}, {}, {} threads, {}: planned now (carrel plan --seal-into keeps one)\n",
             size_text(options.budget_bytes), options.strategy, options.threads,
             isa_name(static_cast<IsaLevel>(runner->program().isa)));
}

std::vector<std::string> files_read(const Options& options) {
  std::vector<std::string> files = options.input.paths;
  files.insert(files.end(), {options.model, options.key, options.labels, options.enclave});
  return files;
}

std::unique_ptr<Runner> open_runner(const Options& options, const EpcProfile& profile, const SecretKey& key) {
  const Progress progress("starting");  // planning, where no sealed program fits
  const RunnerOptions wanted = runner_options(options);
  const bool simulated = wanted.platform == PlatformKind::kEpcsim;
  return value_or_fail(simulated ? open_in_epc(wanted, profile, key) : Runner::open(wanted, key), options.model);
}

std::vector<Tensor> read_inputs(const Options& options, const Runner& runner) {
  const Progress progress("reading the input");
  return load_inputs(runner.architecture(), options.input);
}

// What only carrel's engine has is refused, not ignored.
void check_engine(const Options& options, const CLI::App& command) {
  if (options.engine != "unmodified") return;
  if (options.platform == "process") throw CLI::ValidationError("--engine", "unmodified needs --platform epcsim or inproc");
  for (const char* own : {"--profile", "--save-input", "--strategy", "--isa", "--expect-model", "--enclave"}) {
    if (command.count(own) > 0) throw CLI::ValidationError(own, "is for carrel's own engine");
  }
}

// The profile gives the memory where nobody does; and the limit, where its machine has no paging.
EpcProfile choose_memory(Options* options) {
  if (options->platform != "epcsim") {
    if (!options->trace.empty()) throw CLI::ValidationError("--trace", "needs --platform epcsim");
    const bool unbounded = options->engine == "unmodified" && options->platform == "inproc";
    if (!options->memory_given && !unbounded) throw CLI::RequiredError("--memory");
    return {};
  }
  const EpcProfile profile = value_or_fail(load_epc_profile(options->epc_profile), "");
  if (!options->memory_given) options->budget_bytes = profile.resident_bytes;
  if (!profile.pages && options->budget_bytes > profile.resident_bytes) {
    fail(fmt::format("--memory {}: {} has {} and no paging", size_text(options->budget_bytes), profile.name,
                     size_text(profile.resident_bytes)));
  }
  return profile;
}

// 0: plain memory.
uint64_t unmodified_memory(const Options& options) {
  return options.platform == "epcsim" ? std::max<uint64_t>(options.budget_bytes, 1) : 0;  // 0 is too little, too
}

void run(Options options) {
  const EpcProfile epc_profile = choose_memory(&options);
  const OwnerKey key(options.key);
  check_outputs({options.output, options.save_input, options.trace}, files_read(options));
  std::vector<std::string> labels;
  if (!options.labels.empty()) labels = value_or_fail(read_labels(options.labels), options.labels);
  if (options.engine == "unmodified") {
    return run_unmodified({options.model, options.output, options.trace, options.input, labels, unmodified_memory(options),
                           epc_profile, options.threads, options.repeat, options.json}, key.get());
  }
  const std::unique_ptr<Runner> runner = open_runner(options, epc_profile, key.get());
  check_array_file(options.output, runner->outputs().size());
  check_array_file(options.save_input, runner->inputs().size());
  const std::vector<Tensor> inputs = read_inputs(options, *runner);
  if (!options.save_input.empty()) write_tensors(options.save_input, runner->inputs(), inputs);
  Measured measured;
  const std::vector<Tensor> outputs = infer(options, inputs, runner.get(), &measured);
  const bool batched = runner->batch() != 1 && !inputs.empty() && inputs[0].shape.rank() > 0;
  const int64_t images = batched ? inputs[0].shape[0] : 1;
  if (!options.output.empty()) write_tensors(options.output, runner->outputs(), outputs);
  Profile profile;
  if (options.profile) profile = value_or_fail(runner->profile(), options.model);
  EpcReport epc;
  if (runner->epcsim() != nullptr) epc = epc_report(options, epc_profile, runner.get(), measured);
  if (options.json) {
    Json report = report_json(options, runner.get(), measured);
    report["images"] = images;
    if (options.profile) report["profile"] = profile_json(profile);
    if (runner->epcsim() != nullptr) report["epc"] = epc_json(epc);
    report["outputs"] = outputs_json(runner->outputs(), outputs, images, labels);
    return print_json(report);
  }
  say_guarantee(options, runner.get());
  print_outputs(runner->outputs(), outputs, images, labels);
  print_report(options, runner.get(), measured);
  if (runner->epcsim() != nullptr) print_epc(epc);
  if (options.profile) print_profile(profile, options.threads);
}

}  // namespace

void add_run(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "Run a sealed model inside a budget of trusted memory");
  command->add_option("MODEL", options->model, "sealed file")->required()->type_name("MODEL.carrel");
  command->add_option("--key", options->key, "key file")->required()->type_name("KEY");
  CLI::Option* memory = add_size(command, "--memory", &options->budget_bytes, "every writable byte of the trusted side [epcsim: the profile's]");
  add_input_options(command, &options->input);
  command->add_option("--save-input", options->save_input, "write what the network is fed, for another engine")
      ->type_name("FILE");
  command->add_option("-o,--output", options->output, "write outputs: .npy for one, .npz for all by name")
      ->check(check_file_name)
      ->type_name("FILE");
  command->add_option("--platform", options->platform, "wall around the engine; inproc has none, epcsim simulates paging (docs/EPC.md)")
      ->check(CLI::IsMember({"process", "inproc", "epcsim"}))->capture_default_str();
  command->add_option("--engine", options->engine, "the engine; unmodified: one to compare with (epcsim, inproc)")
      ->check(CLI::IsMember({"carrel", "unmodified"}))->capture_default_str();
  command->add_option("--epc-profile", options->epc_profile, "epcsim: sgx1, sgx2, optee-16, optee-32 or a JSON file")
      ->type_name("NAME")->capture_default_str();
  command->add_option("--trace", options->trace, "epcsim: write every fault and crossing, and sum them up by layer")
      ->check(check_file_name)->type_name("FILE.csv");
  command->add_option("--threads", options->threads)->check(CLI::Range(1u, kMaxThreads))->capture_default_str();
  command->add_option("--strategy", options->strategy, "how layers are partitioned")
      ->check(CLI::IsMember({"whole", "channel", "yplane", "auto"}))->capture_default_str();
  command->add_option("--isa", options->isa, "instruction set (auto: this machine's)")
      ->check(CLI::IsMember({"generic", "avx2", "avx512", "auto"}))->capture_default_str();
  command->add_option("--repeat", options->repeat, "inferences")->check(CLI::Range(1u, 1000000u))->capture_default_str();
  command->add_option("--labels", options->labels, "class names, one per line")->type_name("FILE");
  command->add_option("--expect-model", options->expected, "refuse any sealing but the one with this model id")
      ->type_name("ID")
      ->check([](const std::string& text) {
        ModelId id;
        return parse_model_id(text, &id) ? std::string() : std::string("a model id is 32 hexadecimal digits");
      });
  command->add_option("--enclave", options->enclave, "trusted executable [beside this program]")->type_name("FILE");
  command->add_flag("--profile", options->profile, "show where the time goes, layer by layer");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer(
      "Without --mean, --std and --scale pictures are prepared as for ImageNet. With any of them the others are mean 0,\n"
      "std 1 and scale 1/255.\n"
      "Example:\n  carrel run resnet50.carrel --key my.key --memory 8MiB --input photo.jpg --labels imagenet.txt");
  command->callback([options, memory, command] {
    check_engine(*options, *command);
    options->memory_given = memory->count() > 0;
    run(*options);
  });
}

}  // namespace carrel::cli
