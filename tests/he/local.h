#pragma once
// Client and server in one process, every ciphertext in memory: what the arithmetic gives, without transport and store.
#include "base/cpu.h"
#include "compiler/graph/graph.h"
#include "he/plan/scales.h"

namespace carrel::he {

struct LocalRun {
  Network network;
  Scaling scaling;
  std::vector<std::vector<float>> outputs;  // [images][elements]
  double seconds = 0;
};
// inputs: [images, ...] for each input of the graph; calibrated on the first `calibration` images.
Result<LocalRun> run_locally(const Graph& graph, const std::vector<Tensor>& inputs, const RingParams& ring, int64_t calibration,
                             CpuMask cpu, uint32_t threads);

}  // namespace carrel::he
