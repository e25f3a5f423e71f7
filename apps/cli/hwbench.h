#pragma once
// What `carrel hwbench` measures.
#include <string>
#include <vector>

#include "apps/common/engine_cost.h"
#include "base/cpu.h"
#include "compiler/machine/cipher.h"

namespace carrel::cli {

struct IsaPeak {
  IsaLevel isa = IsaLevel::kGeneric;
  double flops = 0;
};
struct Bandwidth {
  std::string level;
  uint64_t bytes = 0;  // of each thread
  double bytes_per_second = 0;
};
// One kernel candidate on one layer, on one core.
struct Candidate {
  std::string name;
  double flops = 0;          // of a direct convolution
  double peak_fraction = 0;  // of its instruction set's peak, measured in turns with it
  bool picked = false;       // what the engine takes on this machine
};
struct LayerResult {
  std::string shape;
  bool fits_l2 = false;
  std::vector<Candidate> candidates;
  std::vector<Candidate> quantized;  // u8 x s8; peak_fraction is 0 without VNNI
};
struct HardwareReport {
  uint32_t threads = 1;  // that peaks, bandwidths and cipher are the sum of
  std::vector<IsaPeak> peaks;
  double vnni_ops = 0;
  std::vector<Bandwidth> bandwidths;
  machine::CipherSpeed cipher;
  EngineCost process, inproc;
  std::vector<LayerResult> layers;

  // Fractions of peak that the picked kernels reach on layers that fit L2, ascending.
  std::vector<double> picked_fractions(std::vector<Candidate> LayerResult::*kind) const;
};

// Takes about half a minute. Ends the command with a line where something cannot be measured at all.
HardwareReport measure_hardware(uint32_t threads);

}  // namespace carrel::cli
