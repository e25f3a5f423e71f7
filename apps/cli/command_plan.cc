#include <fmt/core.h>

#include <cstring>
#include <fstream>

#include "apps/cli/check_outputs.h"
#include "apps/cli/cli.h"
#include "apps/cli/import.h"
#include "apps/cli/key.h"
#include "apps/cli/precision.h"
#include "apps/cli/plan_page.h"
#include "apps/cli/progress.h"
#include "apps/common/machine_file.h"
#include "compiler/graph/serialize.h"
#include "compiler/plan/plan.h"
#include "compiler/seal/seal.h"
#include "files/atomic_file.h"

namespace carrel::cli {
namespace {

struct Options {
  std::string model, strategy = "auto", isa = "auto", html, key, seal_into;
  PrecisionOptions precision;
  std::vector<std::string> dims;
  uint64_t budget_bytes = 0;
  uint32_t threads = 1;
  bool json = false;
};

// What is planned: a network and its streams, from either kind of file.
struct Subject {
  Graph graph;
  WeightTypes stored;
  StreamPlan streams;
};

bool is_sealed(const std::string& path) {
  char magic[sizeof(kSealedMagic)] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof(magic));
  return std::memcmp(magic, kSealedMagic, sizeof(magic)) == 0;
}

Subject load(const Options& options) {
  Subject subject;
  if (is_sealed(options.model)) {
    SealedInfo info = value_or_fail(read_sealed(options.model), options.model);
    subject.streams = value_or_fail(sealed_streams(info), options.model);
    subject.stored = weight_types(info.manifest);
    subject.graph = std::move(info.architecture);
    return subject;
  }
  subject.graph = import_or_fail(options.model, parse_symbols(options.dims));
  subject.stored = weight_types(options.precision);
  subject.streams = value_or_fail(plan_streams(subject.graph, subject.stored), options.model);
  return subject;
}

Json segments_json(const Plan& plan) {
  Json list = Json::array();
  for (const SegmentReport& s : plan.segments) {
    list.push_back({{"first_layer", s.first_layer}, {"last_layer", s.last_layer}, {"rounds", s.rounds},
                    {"slab_rows", s.slab_rows}, {"memory_bytes", s.memory_bytes},
                    {"weight_bytes_fetched", s.weight_bytes_fetched}, {"spill_bytes", s.spill_bytes},
                    {"predicted_ms", s.predicted_ms}});
  }
  return list;
}

Json layers_json(const Plan& plan) {
  Json list = Json::array();
  for (const LayerReport& l : plan.layers) {
    list.push_back({{"name", l.name}, {"op", l.op}, {"shape", l.shape}, {"segment", l.segment},
                    {"weights", l.weights}, {"stored", l.stored}, {"output", l.output}, {"weight_bytes", l.weight_bytes},
                    {"fetched_bytes", l.fetched_bytes}, {"ring_bytes", l.ring_bytes}});
  }
  return list;
}

Json head_json(const Options& options, const Subject& subject, const PlanRequest& request) {
  return {{"model", options.model}, {"name", subject.graph.name}, {"precision", precision_word(subject.stored, subject.streams.streams)},
          {"fc_precision", stored_name(subject.stored.dense)},
          {"strategy", strategy_name(request.strategy)}, {"threads", request.threads},
          {"isa", isa_name(request.isa)}, {"budget_bytes", request.budget_bytes}};
}

ProgramHeader header_of(const Plan& plan) {
  ProgramHeader header;
  std::memcpy(&header, plan.program.data(), sizeof(header));
  return header;
}

void print_plan_json(Json head, const Plan& plan, uint64_t least) {
  const ProgramHeader header = header_of(plan);
  head["fits"] = true;
  head["planned_peak_bytes"] = header.planned_peak_bytes;
  head["least_bytes"] = least;
  head["arena_bytes"] = header.arena_bytes;
  head["program_bytes"] = plan.program.size();
  head["steps"] = header.step_count;
  head["predicted_ms"] = plan.predicted_ms;
  head["segments"] = segments_json(plan);
  head["layers"] = layers_json(plan);
  print_json(head);
}

void print_segments(const Plan& plan) {
  fmt::print("\nSegments (layers that run depth-first, a slab of rows at a time)\n");
  Table table({"#", "layers", "rounds", "slab rows", "memory", "weights in", "activations out and in", "predicted"},
              "rlrrrrrr");
  for (size_t i = 0; i < plan.segments.size(); ++i) {
    const SegmentReport& s = plan.segments[i];
    table.add({std::to_string(i), fmt::format("{} - {}", s.first_layer, s.last_layer), std::to_string(s.rounds),
               std::to_string(s.slab_rows), size_text(s.memory_bytes), size_text(s.weight_bytes_fetched),
               size_text(s.spill_bytes), fmt::format("{:.2f} ms", s.predicted_ms)});
  }
  table.print();
}

void print_layers(const Plan& plan) {
  fmt::print("\nLayers\n");
  Table table({"#", "layer", "operation", "output", "segment", "weights", "stored", "size", "kept as", "memory"}, "rlllrllrlr");
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const LayerReport& l = plan.layers[i];
    table.add({std::to_string(i), l.name, l.op, l.shape, std::to_string(l.segment), l.weights, l.stored,
               l.weight_bytes == 0 ? "-" : size_text(l.weight_bytes), l.output.empty() ? "-" : l.output,
               size_text(l.ring_bytes)});
  }
  table.print();
}

void print_plan(const Subject& subject, const PlanRequest& request, const Plan& plan, uint64_t least,
                const std::string& figures) {
  const ProgramHeader header = header_of(plan);
  uint64_t fetched = 0, spilled = 0;
  for (const SegmentReport& s : plan.segments) fetched += s.weight_bytes_fetched, spilled += s.spill_bytes;
  fmt::print("{}: strategy {}, {} thread{}, {}, weights {}\n", printable(subject.graph.name),
             strategy_name(request.strategy), request.threads, request.threads == 1 ? "" : "s", isa_name(request.isa),
             precision_name(subject.stored, subject.streams.streams));
  fmt::print("Fits into {}: planned peak {} ({} bytes). The least that works is {} ({} bytes).\n",
             size_text(request.budget_bytes), size_text(header.planned_peak_bytes), header.planned_peak_bytes,
             size_text(least), least);
  fmt::print("Per inference about {:.1f} ms; {} of weights decrypted, {} of activations and images across the boundary.\n",
             plan.predicted_ms, size_text(fetched), size_text(spilled));
  fmt::print("Figures of the machine: {}.\n", printable(figures));
  print_segments(plan);
  print_layers(plan);
}

// The program may join a sealed file only if it is the same network's.
void seal_into(const Options& options, const Subject& subject, const Plan& plan) {
  const OwnerKey key(options.key);
  const SealedInfo info = value_or_fail(read_sealed(options.seal_into), options.seal_into);
  ok_or_fail(authenticate_sealed(info, key.get()), options.seal_into);
  if (!(weight_types(info.manifest) == subject.stored) ||
      serialize_architecture(info.architecture) != serialize_architecture(subject.graph)) {
    fail(options.seal_into + ": seals another network than " + options.model + ", or with another precision");
  }
  ok_or_fail(add_program(options.seal_into, key.get(), info.header.model_id, plan.program), options.seal_into);
  if (!options.json) fmt::print("\nAdded to {}.\n", options.seal_into);
}

Result<Plan> plan_visibly(const Subject& subject, const PlanRequest& request) {
  const Progress progress("planning");
  return plan_program(subject.graph, subject.streams, request);
}

Result<uint64_t> least_visibly(const Subject& subject, const PlanRequest& request) {
  const Progress progress("looking for the least budget");
  return least_budget(subject.graph, subject.streams, request);
}

void run(const Options& options) {
  check_outputs({options.html}, {options.model, options.key, options.seal_into});
  const Subject subject = load(options);
  PlanRequest request;
  request.budget_bytes = options.budget_bytes;
  request.strategy = *parse_strategy(options.strategy.c_str());
  request.threads = options.threads;
  request.isa = parse_isa(options.isa);
  const MachineProfile machine = value_or_fail(load_machine_profile(), "");
  request.machine = machine.of(request.isa);
  Json head = head_json(options, subject, request);
  head["machine_figures"] = machine.source;
  const Result<Plan> plan = plan_visibly(subject, request);
  if (!plan.ok()) {
    if (options.json && plan.error().code() == ErrorCode::kBudgetTooSmall) {
      head["fits"] = false;
      head["least_bytes"] = plan.error().detail();
      print_json(head);
    }
    fail(plan.error(), options.model);
  }
  const uint64_t least = value_or_fail(least_visibly(subject, request), options.model);
  if (!options.html.empty()) {
    const std::string page = plan_page({subject.graph.name, precision_name(subject.stored, subject.streams.streams), least}, *plan);
    ok_or_fail(write_file(options.html, std::as_bytes(std::span(page))), options.html);
  }
  if (options.json) print_plan_json(std::move(head), *plan, least);
  else print_plan(subject, request, *plan, least, machine.source);
  if (!options.seal_into.empty()) seal_into(options, subject, *plan);
}

}  // namespace

void add_plan(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("plan", "Show whether and how a network fits into a budget of trusted memory");
  command->add_option("MODEL", options->model, "ONNX or sealed file")->required()->type_name("MODEL.onnx|MODEL.carrel");
  add_size(command, "--memory", &options->budget_bytes, "every writable byte of the trusted side")->required();
  command->add_option("--strategy", options->strategy, "how layers are partitioned")
      ->check(CLI::IsMember({"whole", "channel", "yplane", "auto"}))->capture_default_str();
  command->add_option("--threads", options->threads)->check(CLI::Range(1u, kMaxThreads))->capture_default_str();
  command->add_option("--isa", options->isa, "instruction set (auto: this machine's)")
      ->check(CLI::IsMember({"generic", "avx2", "avx512", "auto"}))->capture_default_str();
  add_precision(command, &options->precision, {"fp32", "fp16", "mixed"},
                "of stored weights, for an ONNX file; mixed: fp32, fully-connected layers int8");
  command->add_option("--dim", options->dims, "value of a symbolic dimension")->type_name("NAME=VALUE");
  command->add_option("--html", options->html, "write a self-contained page with diagrams")->type_name("FILE")
      ->check(check_file_name);
  CLI::Option* key = command->add_option("--key", options->key, "key file, to seal the program")->type_name("KEY");
  command->add_option("--seal-into", options->seal_into, "sealed file that gets the program")
      ->type_name("MODEL.carrel")->check(check_file_name)->needs(key);
  command->add_flag("--json", options->json, "print one JSON object");
  add_example(command, "carrel plan resnet50.onnx --memory 8MiB --html plan.html");
  command->callback([options] { run(*options); });
}

}  // namespace carrel::cli
