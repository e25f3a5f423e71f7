#include <fmt/core.h>

#include "apps/cli/cli.h"
#include "apps/cli/hwbench.h"
#include "engine/format/program.h"

namespace carrel::cli {
namespace {

constexpr double kGiga = 1e9;
// What carrel means to reach (docs/BENCHMARKS.md).
constexpr double kLeastFraction = 0.95, kLeastQuantFraction = 0.90, kLeastColdBytes = 10 * kGiga, kMostRequestMs = 0.3;

const char* verdict(bool met) { return met ? "met" : "missed"; }

Json engine_json(const EngineCost& cost) {
  return {{"request_ms", cost.request_seconds * 1e3}, {"step_us", cost.step_seconds * 1e6}};
}

Json candidates_json(const std::vector<Candidate>& candidates, const char* unit) {
  Json list = Json::array();
  for (const Candidate& c : candidates) {
    list.push_back({{"name", c.name}, {unit, c.flops / kGiga}, {"peak_fraction", c.peak_fraction}, {"picked", c.picked}});
  }
  return list;
}

Json fractions_json(const std::vector<double>& sorted) {
  return {{"least", sorted.front()}, {"median", sorted[sorted.size() / 2]}};
}

Json report_json(const HardwareReport& r) {
  Json json = {{"threads", r.threads}, {"vnni_gops", r.vnni_ops / kGiga}};
  for (const IsaPeak& peak : r.peaks) json["fma_peak_gflops"][isa_name(peak.isa)] = peak.flops / kGiga;
  for (const Bandwidth& b : r.bandwidths) json["read_gb_per_second"][b.level] = b.bytes_per_second / kGiga;
  json["cipher_gb_per_second"] = {{"open_hot", r.cipher.open_hot / kGiga}, {"open_cold", r.cipher.open_cold / kGiga},
                                  {"seal_cold", r.cipher.seal_cold / kGiga}};
  json["engine"] = {{"process", engine_json(r.process)}, {"inproc", engine_json(r.inproc)}};
  json["layers"] = Json::array();
  for (const LayerResult& layer : r.layers) {
    json["layers"].push_back({{"shape", layer.shape}, {"fits_l2", layer.fits_l2},
                              {"candidates", candidates_json(layer.candidates, "gflops")},
                              {"quantized", candidates_json(layer.quantized, "gops")}});
  }
  json["fp32_peak_fraction"] = fractions_json(r.picked_fractions(&LayerResult::candidates));
  json["int8_peak_fraction"] = fractions_json(r.picked_fractions(&LayerResult::quantized));
  return json;
}

void print_machine(const HardwareReport& r) {
  fmt::print("Machine ({} thread{} together)\n", r.threads, r.threads == 1 ? "" : "s");
  Table table({"what", "reached", ""}, "lrl");
  for (const IsaPeak& peak : r.peaks) {
    table.add({fmt::format("fp32 multiply-adds, {}", isa_name(peak.isa)), fmt::format("{:.1f} GF/s", peak.flops / kGiga), ""});
  }
  if (r.vnni_ops > 0) table.add({"u8 x s8 dot products, VNNI", fmt::format("{:.1f} GOP/s", r.vnni_ops / kGiga), ""});
  for (const Bandwidth& b : r.bandwidths) {
    table.add({fmt::format("reading {}", b.level), fmt::format("{:.1f} GB/s", b.bytes_per_second / kGiga),
               fmt::format("{} each", size_text(b.bytes))});
  }
  table.add({"decrypting tiles, hot", fmt::format("{:.1f} GB/s", r.cipher.open_hot / kGiga), ""});
  table.add({"decrypting tiles, cold", fmt::format("{:.1f} GB/s", r.cipher.open_cold / kGiga), ""});
  table.add({"sealing rows, cold", fmt::format("{:.1f} GB/s", r.cipher.seal_cold / kGiga), ""});
  for (const auto& [name, cost] : {std::pair{"process", r.process}, {"inproc", r.inproc}}) {
    table.add({fmt::format("request and reply, {}", name), fmt::format("{:.3f} ms", cost.request_seconds * 1e3), ""});
    table.add({fmt::format("a step, {}", name), fmt::format("{:.2f} us", cost.step_seconds * 1e6), ""});
  }
  table.print();
}

std::string candidate_text(const Candidate& c) {
  const std::string share = c.peak_fraction > 0 ? fmt::format("{:.0f} %", 100 * c.peak_fraction) : "";
  return fmt::format("{:.1f}{:>6}{}", c.flops / kGiga, share, c.picked ? " *" : "  ");
}

void print_layers(const HardwareReport& r, const char* title, std::vector<Candidate> LayerResult::*kind) {
  fmt::print("\n{}\n", title);
  const std::vector<Candidate>& all = r.layers[0].*kind;
  std::vector<std::string> header = {"layer"};
  for (const Candidate& c : all) header.push_back(c.name);
  header.emplace_back("fits L2");
  std::string alignment = "l";
  alignment.append(all.size(), 'r').append("l");
  Table table(header, alignment);
  for (const LayerResult& layer : r.layers) {
    std::vector<std::string> row = {layer.shape};
    for (const Candidate& c : layer.*kind) row.push_back(candidate_text(c));
    row.emplace_back(layer.fits_l2 ? "yes" : "");
    table.add(row);
  }
  table.print();
}

void print_fractions(const char* what, const std::vector<double>& sorted, double least) {
  const double median = sorted[sorted.size() / 2];
  fmt::print("  {} kernels on layers in L2: {:.0f} % of peak (least {:.0f} %); at least {:.0f} %: {}\n", what, 100 * median,
             100 * sorted.front(), 100 * least, verdict(median >= least));
}

void print_targets(const HardwareReport& r) {
  const double cold = r.cipher.open_cold / r.threads, request_ms = r.process.request_seconds * 1e3;
  fmt::print("\nTargets\n");
  print_fractions("fp32", r.picked_fractions(&LayerResult::candidates), kLeastFraction);
  if (r.vnni_ops > 0) print_fractions("int8", r.picked_fractions(&LayerResult::quantized), kLeastQuantFraction);
  fmt::print("  decrypting cold tiles: {:.1f} GB/s per core; at least {:.0f}: {}\n", cold / kGiga, kLeastColdBytes / kGiga,
             verdict(cold >= kLeastColdBytes));
  fmt::print("  request and reply: {:.3f} ms; at most {:.1f}: {}\n", request_ms, kMostRequestMs,
             verdict(request_ms <= kMostRequestMs));
}

struct Options {
  uint32_t threads = 1;
  bool json = false;
};

void run(const Options& options) {
  const HardwareReport report = measure_hardware(options.threads);
  if (options.json) return print_json(report_json(report));
  print_machine(report);
  print_layers(report, "fp32 convolutions (GF/s of one core, share of the instruction set's peak; *: what the engine takes)",
               &LayerResult::candidates);
  print_layers(report, "int8 convolutions (GOP/s of one core, share of VNNI's peak)", &LayerResult::quantized);
  print_targets(report);
}

}  // namespace

void add_hwbench(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("hwbench", "Measure this machine and every kernel on it against its peak");
  command->add_option("--threads", options->threads, "at once, for peaks, bandwidths and decryption")
      ->check(CLI::Range(1u, kMaxThreads))->capture_default_str();
  command->add_flag("--json", options->json, "print one JSON object");
  add_example(command, "carrel hwbench --threads 2");
  command->callback([options] { run(*options); });
}

}  // namespace carrel::cli
