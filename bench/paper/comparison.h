#pragma once
// The comparison of "Memory-efficient deep learning inference in trusted execution environments" (IC2E 2021), on this machine: an
// unmodified engine and carrel's strategies in the simulated enclave page cache, over its sizes, against the unmodified
// engine in plain memory. Networks of the zoo, sealed for the occasion.
#include <functional>
#include <string>
#include <vector>

#include "apps/common/epc_cost.h"
#include "compiler/plan/plan.h"

namespace carrel {

struct PaperOptions {
  std::vector<std::string> networks;
  std::vector<uint64_t> sizes;  // of the TEE's memory, bytes
  EpcProfile profile;
  MachineFigures machine;
  uint32_t threads = 1;
  uint32_t repeat = 5;          // inferences of each after the first
  std::string folder;           // where sealed models lie meanwhile
};

struct PaperRow {
  std::string system;           // "unmodified", or carrel's strategy
  std::string precision;        // "fp32", "mixed": fully-connected layers int8
  uint64_t memory_bytes = 0;
  bool fits = true;
  uint64_t least_bytes = 0;     // where it does not; 0: unknown
  uint64_t trusted_bytes = 0;   // in use
  double relative_error = 0;    // to the unmodified engine's answer in plain memory
  EpcMeasured measured;         // ms: the median
  EpcModelled modelled;
  // Over the unmodified engine in plain memory, which took turns with it: the median of the turns' ratios; and with the
  // modelled time instead of the measured one.
  double measured_ratio = 0, modelled_ratio = 0;
};
// Fully-connected layers, all others as fp32, in 16 MiB.
struct PaperDense {
  std::string stored;           // fp32, int8, int4
  uint64_t bytes_decrypted = 0;
  double decrypt_ms = 0, layers_ms = 0, total_ms = 0;
  double decrypt_share() const { return layers_ms > 0 ? decrypt_ms / layers_ms : 0; }
};
struct PaperNetwork {
  std::string name;
  double unprotected_ms = 0;    // the unmodified engine in plain memory: median, it takes turns with the rows
  uint64_t unmodified_bytes = 0;
  uint64_t largest_output_bytes = 0;
  std::vector<PaperRow> rows;
  std::vector<PaperDense> dense;
  // Most over least measured ratio of carrel's auto with fp32 over the sizes that fit; 0 without two.
  double auto_spread() const;
};

using PaperProgress = std::function<void(uint64_t done, uint64_t total)>;  // rows
Result<PaperNetwork> compare_network(const std::string& name, const PaperOptions& options, const PaperProgress& progress);

}  // namespace carrel
