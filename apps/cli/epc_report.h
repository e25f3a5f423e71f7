#pragma once
// What `run --platform epcsim` says beyond other runs: faults measured here, time modelled for the profile's machine.
#include <string>

#include "apps/cli/cli.h"
#include "apps/common/epc_cost.h"
#include "apps/common/epc_summary.h"

namespace carrel::cli {

// Kept of a run: 192 MB at most, taken as they come.
inline constexpr uint64_t kEpcTraceEvents = 16u << 20;

struct EpcReport {
  EpcProfile profile;
  uint64_t memory_bytes = 0;  // resident at most
  uint64_t engine_bytes = 0;  // of it, what the engine was planned for (worthwhile_bytes)
  EpcMeasured measured;       // of one later inference; of the first where it is the only one
  double delivery_us = 0;
  bool traced = false;
  EpcSummary summary;         // of the whole run, if traced
  uint64_t events_dropped = 0;
};

Json epc_json(const EpcReport& report);
void print_epc(const EpcReport& report);

}  // namespace carrel::cli
