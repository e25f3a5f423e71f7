#pragma once
// Times of inferences as `run` reports them: the first apart, since nothing is resident then.
#include <vector>

#include "apps/cli/cli.h"

namespace carrel::cli {

class Latencies {
 public:
  void add(double ms);
  double cold_ms() const { return cold_; }
  // Of the later inferences; of the first where it is the only one.
  double median() const;
  double least() const;
  double most() const;
  size_t runs() const { return later_.empty() ? 1 : later_.size(); }

 private:
  double cold_ = 0;
  bool first_ = true;
  std::vector<double> later_;
};

Json latencies_json(const Latencies& ms);  // cold_ms, latency_ms
void print_latencies(const Latencies& ms, double start_ms);

}  // namespace carrel::cli
