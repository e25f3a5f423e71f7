#pragma once
// An analytic cost model of a machine: work over peak, bytes over bandwidth, and what each action costs at least.
#include <vector>

#include "compiler/schedule/cost_model.h"
#include "engine/layout/winograd.h"

namespace carrel {

struct MachineFigures {
  // Defaults: one core of a 2.8 GHz AVX-512 server, measured with the benchmarks in bench/.
  double flops_per_second = 165e9;      // convolution, fused multiply-adds counted twice
  double touch_bytes_per_second = 60e9;  // elementwise rows through L2
  double far_bytes_per_second = 25e9;    // what is too large for L2
  double fetch_bytes_per_second = 10e9;  // verify and decrypt from mapped memory
  double spill_bytes_per_second = 10e9;  // one way
  double action_seconds = 1.5e-6;        // a step: dispatch and barrier
  // Winograd's transforms with 2 x 2 and 4 x 4 tiles: of 16 output channels of one input channel, and of 16 channels of
  // a tile.
  double winograd2_filter_seconds = 22e-9, winograd2_input_seconds = 15e-9, winograd2_output_seconds = 15e-9;
  double winograd4_filter_seconds = 52e-9, winograd4_input_seconds = 45e-9, winograd4_output_seconds = 45e-9;
};

struct NodeWork {
  double macs = 0;           // convolution multiply-adds
  double touched_bytes = 0;  // elementwise traffic
  double input_bytes = 0;    // a direct convolution's map
  double weight_bytes = 0;   // its weights, expanded
  uint32_t input_reads = 0;  // how often it goes through all of it
  uint32_t rows = 1;         // of the output
  uint32_t width = 1;
  uint32_t units = 0;  // a convolution's groups of tiles that threads may divide (engine/layout/conv_split.h)
  ConvAlgorithm algorithm = ConvAlgorithm::kDirect;
  uint32_t in_channels = 0, out_channels = 0;  // Winograd's
};

// Of a convolution in `actions` slabs that together make every row, on one thread; weights not fetched.
double conv_seconds(const NodeWork& work, const MachineFigures& machine, uint32_t actions);

// What rounding does to a convolution's result, relative to the largest: measured, engine/kernels/rows/rows.h.
double conv_error(ConvAlgorithm algorithm, uint32_t in_channels);

// The fastest algorithm for a 3 x 3 convolution of stride 1 whose error stays below kMostConvError. A function of the
// shape alone, so that results do not depend on the machine that plans, on the budget or on threads.
inline constexpr double kMostConvError = 2e-5;
ConvAlgorithm choose_algorithm(NodeWork work);

class MachineCost : public CostModel {
 public:
  MachineCost(std::vector<NodeWork> work, const MachineFigures& machine, uint32_t threads)
      : work_(std::move(work)), machine_(machine), threads_(threads) {}
  double compute_seconds(NodeIndex node, uint32_t actions) const override;
  double fetch_seconds(uint64_t bytes) const override;
  double stream_seconds(NodeIndex node, uint64_t bytes, uint32_t actions) const override;
  double carry_seconds(uint64_t bytes) const override;
  double spill_seconds(uint64_t bytes, double rows) const override;

 private:
  const NodeWork& work(NodeIndex node) const { return work_[static_cast<size_t>(node)]; }
  double pass_seconds(const NodeWork& work, uint32_t actions) const;

  std::vector<NodeWork> work_;
  MachineFigures machine_;
  uint32_t threads_;
};

}  // namespace carrel
