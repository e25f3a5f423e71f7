#include "apps/cli/latencies.h"

#include <fmt/core.h>

#include <algorithm>

namespace carrel::cli {

void Latencies::add(double ms) {
  if (first_) cold_ = ms;
  else later_.push_back(ms);
  first_ = false;
}

double Latencies::median() const {
  if (later_.empty()) return cold_;
  std::vector<double> sorted = later_;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Latencies::least() const { return later_.empty() ? cold_ : *std::min_element(later_.begin(), later_.end()); }
double Latencies::most() const { return later_.empty() ? cold_ : *std::max_element(later_.begin(), later_.end()); }

Json latencies_json(const Latencies& ms) {
  return {{"cold_ms", ms.cold_ms()},
          {"latency_ms", {{"min", ms.least()}, {"median", ms.median()}, {"max", ms.most()}, {"runs", ms.runs()}}}};
}

void print_latencies(const Latencies& ms, double start_ms) {
  fmt::print("latency         {:.1f} ms first", ms.cold_ms());
  if (ms.runs() > 1 || ms.median() != ms.cold_ms()) {
    fmt::print(", then {:.1f} ms (median of {}, {:.1f} to {:.1f})", ms.median(), ms.runs(), ms.least(), ms.most());
  }
  fmt::print("; engine start {:.1f} ms\n", start_ms);
}

}  // namespace carrel::cli
