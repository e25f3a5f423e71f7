// The simulator beside measurements on a real SGX1 machine (Xeon E-2288G; github.com/safeFBDC-TU-Darmstadt/sgx4ml, BTW 2023: medians of
// their CSV files, DNNL inside and outside the enclave, one thread).
//
//   epc_validation [--json]
//
// Their programs are replayed page by page: a layer at a time, its input and weights are read, its output is written, every tensor with memory
// of its own, in a region of 93.5 MiB resident pages. Faults are really taken; the cost of one is fitted on AlexNet alone. What
// encrypted memory costs is the profile's (apps/common/epc_profiles/sgx1.json), whose figure comes from large_mlp.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "apps/common/epc_cost.h"
#include "base/cpu.h"

namespace carrel {
namespace {

struct Layer {
  uint64_t weights = 0, out = 0;  // floats; out: of one image
};

struct Case {
  const char* name;
  uint64_t batch;
  std::vector<Layer> layers;
  uint64_t input;            // floats of one image
  double outside_ms, inside_ms;  // theirs
};

Layer conv(uint64_t in, uint64_t out, uint64_t kernel, uint64_t side) {
  return {in * out * kernel * kernel, out * side * side};
}
Layer dense(uint64_t in, uint64_t out) { return {in * out, out}; }
Layer pool(uint64_t channels, uint64_t side) { return {0, channels * side * side}; }

std::vector<Layer> vgg19() {
  std::vector<Layer> layers;
  uint64_t in = 3, side = 224;
  for (const auto& [out, count] : {std::pair<uint64_t, int>{64, 2}, {128, 2}, {256, 4}, {512, 4}, {512, 4}}) {
    for (int i = 0; i < count; ++i) {
      layers.push_back(conv(in, out, 3, side));
      in = out;
    }
    side /= 2;
    layers.push_back(pool(out, side));
  }
  for (const Layer& layer : {dense(25088, 4096), dense(4096, 4096), dense(4096, 1000)}) layers.push_back(layer);
  return layers;
}

// Without groups, which gives the published 249.5 MB. `fc`: width of the first two fully-connected layers.
std::vector<Layer> alexnet(uint64_t fc) {
  return {conv(3, 96, 11, 55),   pool(96, 27),         conv(96, 256, 5, 27),  pool(256, 13),  conv(256, 384, 3, 13),
          conv(384, 384, 3, 13), conv(384, 256, 3, 13), pool(256, 6),         dense(9216, fc), dense(fc, fc), dense(fc, 1000)};
}

std::vector<Case> cases() {
  constexpr uint64_t kPicture = 3 * 224 * 224, kAlexPicture = 3 * 227 * 227;
  return {{"AlexNet (fitted)", 1, alexnet(4096), kAlexPicture, 42.0, 849.6},
          {"VGG-19", 1, vgg19(), kPicture, 432.2, 2555.5},
          {"VGG-19, batch 16", 16, vgg19(), kPicture, 6668.8, 16132.7},
          // Published as about 80 MB; the widths are not.
          {"AlexNet of 80 MB", 1, alexnet(1455), kAlexPicture, 31.5, 35.5},
          {"large_mlp, 52.6 MB", 1, {dense(3626, 3626)}, 3626, 2.16, 6.73},
          {"medium_mlp, 14.3 MB", 1, {dense(1891, 1891)}, 1891, 0.381, 0.946}};
}

uint64_t in_pages(uint64_t floats) { return (floats * 4 + kEpcPageBytes - 1) / kEpcPageBytes; }

class Replay {
 public:
  Replay(const Case& c, Epc* epc) : case_(c), epc_(epc) {
    next_ = in_pages(c.input * c.batch);
    for (const Layer& layer : c.layers) {
      weights_.push_back(next_);
      next_ += in_pages(layer.weights);
      outputs_.push_back(next_);
      next_ += in_pages(layer.out * c.batch);
    }
  }
  static uint64_t pages(const Case& c) {
    uint64_t pages = in_pages(c.input * c.batch);
    for (const Layer& layer : c.layers) pages += in_pages(layer.weights) + in_pages(layer.out * c.batch);
    return pages;
  }
  uint64_t bytes_touched() const { return touched_ * kEpcPageBytes; }

  // Images one after the other within a layer, as a direct convolution does; weights before the first.
  void inference() {
    touched_ = 0;
    uint64_t in = 0, in_floats = case_.input;
    for (size_t i = 0; i < case_.layers.size(); ++i) {
      const Layer& layer = case_.layers[i];
      touch(weights_[i], in_pages(layer.weights), false);
      for (uint64_t image = 0; image < case_.batch; ++image) {
        touch(in + image * in_floats * 4 / kEpcPageBytes, in_pages(in_floats), false);
        touch(outputs_[i] + image * layer.out * 4 / kEpcPageBytes, in_pages(layer.out), true);
      }
      in = outputs_[i];
      in_floats = layer.out;
    }
  }

 private:
  void touch(uint64_t first, uint64_t count, bool write) {
    touched_ += count;
    for (uint64_t page = first; page < first + count && page < next_; ++page) {
      auto* byte = reinterpret_cast<volatile uint8_t*>(epc_->memory().data() + page * kEpcPageBytes);
      const uint8_t value = *byte;
      if (write) *byte = static_cast<uint8_t>(value + 1);
    }
  }

  const Case& case_;
  Epc* epc_;
  std::vector<uint64_t> weights_, outputs_;
  uint64_t next_ = 0, touched_ = 0;
};

struct Outcome {
  uint64_t misses = 0, bytes = 0, pages = 0;
};

Result<Outcome> replay(const Case& c, const EpcProfile& profile) {
  Outcome out;
  out.pages = Replay::pages(c);
  CARREL_ASSIGN(const std::unique_ptr<Epc> epc,
                Epc::open({out.pages * kEpcPageBytes, profile.resident_bytes / kEpcPageBytes, detect_cpu(), nullptr}));
  Replay replay(c, epc.get());
  replay.inference();
  const EpcCounters before = epc->counters();
  replay.inference();
  const EpcCounters counters = epc->counters().since(before);
  out.misses = counters.loads;
  out.bytes = replay.bytes_touched();
  return out;
}

double encryption_ms(const EpcProfile& profile, const Outcome& outcome) {
  EpcMeasured measured;
  measured.bytes_touched = outcome.bytes;
  measured.working_set = outcome.pages * kEpcPageBytes;
  return model_epc(profile, measured, 0).encryption_ms;
}

int run(bool json) {
  const Result<EpcProfile> profile = load_epc_profile("sgx1");
  if (!profile.ok()) return std::fprintf(stderr, "epc_validation: %s\n", profile.error().message()), 1;
  double fault_us = 0;
  if (!json) std::printf("%-22s %9s %9s %12s | %10s %10s %7s | %8s %8s\n", "network", "pages", "misses", "encryption", "added", "theirs", "off", "ratio", "theirs");
  for (const Case& c : cases()) {
    const Result<Outcome> outcome = replay(c, *profile);
    if (!outcome.ok()) return std::fprintf(stderr, "epc_validation: %s\n", outcome.error().message()), 1;
    const double encryption = encryption_ms(*profile, *outcome), theirs = c.inside_ms - c.outside_ms;
    if (fault_us == 0) fault_us = 1e3 * (theirs - encryption) / static_cast<double>(outcome->misses);
    const double added = 1e-3 * fault_us * static_cast<double>(outcome->misses) + encryption + 1e-3 * profile->crossing_us;
    const double off = 100 * (added / theirs - 1), ratio = 1 + added / c.outside_ms;
    if (json) {
      std::printf("{\"network\":\"%s\",\"misses\":%lu,\"fault_us\":%.2f,\"encryption_ms\":%.3f,\"added_ms\":%.3f,\"their_added_ms\":%.3f,\"off_percent\":%.1f}\n",
                  c.name, outcome->misses, fault_us, encryption, added, theirs, off);
    } else {
      std::printf("%-22s %9lu %9lu %9.2f ms | %7.2f ms %7.2f ms %+6.0f%% | %8.2f %8.2f\n", c.name, outcome->pages, outcome->misses, encryption, added,
                  theirs, off, ratio, c.inside_ms / c.outside_ms);
    }
  }
  if (!json) std::printf("\nfitted: %.2f us a miss\n", fault_us);
  return 0;
}

}  // namespace
}  // namespace carrel

int main(int argc, char** argv) { return carrel::run(argc > 1 && std::strcmp(argv[1], "--json") == 0); }
