#include "apps/cli/hwbench.h"

#include <algorithm>

#include "apps/cli/cli.h"
#include "apps/cli/progress.h"
#include "compiler/machine/layer_speed.h"
#include "compiler/machine/peak.h"
#include "compiler/machine/quant_speed.h"
#include "compiler/machine/region.h"
#include "compiler/machine/timing.h"
#include "compiler/machine/together.h"
#include "engine/crypto/gcm.h"

namespace carrel::cli {
namespace {

constexpr double kSeconds = 0.2;
constexpr uint32_t kInferences = 300;

// In turns, since the clock drifts: best peak and best kernel of the same few hundred milliseconds.
Candidate time_candidate(const machine::LayerShape& shape, IsaLevel isa) {
  constexpr int kTurns = 6;
  const machine::LayerTrial trial(shape, isa);
  double seconds = 1e9, peak = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    peak = std::max(peak, machine::fma_flops(isa, kSeconds / 4 / kTurns));
    seconds = std::min(seconds, machine::seconds_per_call(kSeconds / kTurns, [&] { trial.run(); }));
  }
  const double flops = trial.flops() / seconds;
  return {isa_name(isa), flops, flops / peak, isa == isa_level(detect_cpu())};
}

Candidate time_quantized(const machine::LayerShape& shape, const char* name, CpuMask cpu) {
  constexpr int kTurns = 6;
  const machine::QuantTrial trial(shape, cpu);
  double seconds = 1e9, peak = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    peak = std::max(peak, machine::vnni_ops(cpu, kSeconds / 4 / kTurns));
    seconds = std::min(seconds, machine::seconds_per_call(kSeconds / kTurns, [&] { trial.run(); }));
  }
  const double ops = trial.operations() / seconds;
  return {name, ops, peak > 0 ? ops / peak : 0, false};
}

// Every selection that some machine with fewer features than this one would make; the last is this one's.
std::vector<Candidate> time_all_quantized(const machine::LayerShape& shape) {
  const CpuMask here = detect_cpu(), avx2 = here & ~CpuMask{kCpuAvx512 | kCpuVnni};
  std::vector<Candidate> all = {time_quantized(shape, "generic", kCpuGeneric)};
  if (here & kCpuAvx2) all.push_back(time_quantized(shape, "avx2", avx2 & ~CpuMask{kCpuAvxVnni}));
  if (here & kCpuAvxVnni) all.push_back(time_quantized(shape, "avx-vnni", avx2));
  if (here & kCpuAvx512) all.push_back(time_quantized(shape, "avx512", here & ~CpuMask{kCpuVnni}));
  if (here & kCpuVnni) all.push_back(time_quantized(shape, "avx512-vnni", here));
  all.back().picked = true;
  return all;
}

std::vector<Bandwidth> measure_bandwidths(const std::vector<machine::Region>& regions) {
  const machine::LevelSizes sizes = machine::level_sizes();
  const auto threads = static_cast<uint32_t>(regions.size());
  std::vector<Bandwidth> all;
  for (const auto& [level, bytes] : {std::pair{"L1", sizes.l1}, {"L2", sizes.l2}, {"L3", sizes.l3}, {"memory", sizes.memory}}) {
    const uint64_t own = std::min<uint64_t>(bytes, regions[0].bytes().size());
    all.push_back({level, own, machine::sum_over_threads(threads, [&, own = own](uint32_t i) {
                     return machine::read_bytes_per_second(regions[i].bytes().first(own), kSeconds);
                   })});
  }
  return all;
}

machine::CipherSpeed measure_cipher(const std::vector<machine::Region>& regions) {
  const auto threads = static_cast<uint32_t>(regions.size());
  std::vector<machine::CipherSpeed> each(threads);
  machine::sum_over_threads(threads, [&](uint32_t i) {
    each[i] = machine::cipher_speed(detect_cpu(), regions[i].bytes(), 3 * kSeconds);
    return 0.0;
  });
  machine::CipherSpeed sum;
  for (const machine::CipherSpeed& one : each) {
    sum.open_hot += one.open_hot;
    sum.open_cold += one.open_cold;
    sum.seal_cold += one.seal_cold;
  }
  return sum;
}

std::vector<LayerResult> measure_layers() {
  std::vector<LayerResult> layers;
  for (const machine::LayerShape& shape : machine::layer_shapes()) {
    LayerResult layer{shape.name, shape.fits_l2, {}, time_all_quantized(shape)};
    for (uint8_t level = 0; level <= static_cast<uint8_t>(isa_level(detect_cpu())); ++level) {
      layer.candidates.push_back(time_candidate(shape, static_cast<IsaLevel>(level)));
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace

std::vector<double> HardwareReport::picked_fractions(std::vector<Candidate> LayerResult::*kind) const {
  std::vector<double> fractions;
  for (const LayerResult& layer : layers) {
    for (const Candidate& c : layer.*kind) {
      if (layer.fits_l2 && c.picked) fractions.push_back(c.peak_fraction);
    }
  }
  std::sort(fractions.begin(), fractions.end());
  return fractions;
}

HardwareReport measure_hardware(uint32_t threads) {
  const Progress progress("measuring");
  ok_or_fail(check_crypto_cpu(), "");
  HardwareReport report;
  report.threads = threads;
  for (uint8_t level = 0; level <= static_cast<uint8_t>(isa_level(detect_cpu())); ++level) {
    const IsaLevel isa = static_cast<IsaLevel>(level);
    report.peaks.push_back({isa, machine::sum_over_threads(threads, [&](uint32_t) { return machine::fma_flops(isa, kSeconds); })});
  }
  report.vnni_ops = machine::sum_over_threads(threads, [](uint32_t) { return machine::vnni_ops(detect_cpu(), kSeconds); });
  {
    std::vector<machine::Region> regions;
    // Together they are larger than the last cache.
    const uint64_t own = machine::level_sizes().memory / threads / 65536 * 65536;
    for (uint32_t i = 0; i < threads; ++i) regions.push_back(value_or_fail(machine::Region::take(own), "hwbench"));
    report.bandwidths = measure_bandwidths(regions);
    report.cipher = measure_cipher(regions);
  }
  report.process = value_or_fail(measure_engine_cost(PlatformKind::kProcess, threads, kInferences), "hwbench");
  report.inproc = value_or_fail(measure_engine_cost(PlatformKind::kInproc, threads, kInferences), "hwbench");
  report.layers = measure_layers();
  return report;
}

}  // namespace carrel::cli
