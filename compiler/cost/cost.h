#pragma once
// An analytic cost model of a machine: work over peak, bytes over bandwidth, and what each action costs at least.
#include <vector>

#include "compiler/schedule/cost_model.h"

namespace carrel {

struct MachineFigures {
  // Defaults: one core of a 2.8 GHz AVX-512 server, measured with the benchmarks in bench/.
  double flops_per_second = 165e9;      // convolution, fused multiply-adds counted twice
  double touch_bytes_per_second = 12e9;  // elementwise rows through L2
  double fetch_bytes_per_second = 10e9;  // verify and decrypt from mapped memory
  double spill_bytes_per_second = 10e9;  // one way
  double action_seconds = 1.5e-6;        // a step: dispatch and barrier
};

struct NodeWork {
  double macs = 0;           // convolution multiply-adds
  double touched_bytes = 0;  // elementwise traffic
  uint32_t rows = 1;         // of the output
  uint32_t width = 1;
};

class MachineCost : public CostModel {
 public:
  MachineCost(std::vector<NodeWork> work, const MachineFigures& machine, uint32_t threads)
      : work_(std::move(work)), machine_(machine), threads_(threads) {}
  double compute_seconds(NodeIndex node, uint32_t actions) const override;
  double fetch_seconds(uint64_t bytes) const override;
  double spill_seconds(uint64_t bytes) const override;

 private:
  std::vector<NodeWork> work_;
  MachineFigures machine_;
  double threads_;
};

}  // namespace carrel
