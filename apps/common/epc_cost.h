#pragma once
// From what was measured in the simulator to what a profile's machine would take. Two figures that are never mixed:
// *measured* (this machine, faults really taken) and *modelled* (the simulator's own faults taken off, the profile's put on).
#include <string>

#include "apps/common/epc_profile.h"
#include "platform/epcsim/epc.h"

namespace carrel {

// Of one inference.
struct EpcMeasured {
  double ms = 0;
  EpcCounters counters;         // differences; most_resident: so far
  uint64_t crossings = 0;
  uint64_t bytes_touched = 0;   // of the region, each layer's anew
  uint64_t working_set = 0;     // of trusted memory in use
};

struct EpcModelled {
  double simulator_ms = 0;   // taken off: handling the faults here
  double fault_ms = 0;       // put on, as the next two
  double crossing_ms = 0;
  double encryption_ms = 0;  // nothing of it hidden behind arithmetic: at most
  double ms = 0;
};

// How much of `memory_bytes` the engine does well to use: what is read from encrypted memory comes slower than
// `fetch_bytes_per_second` brings it in from outside, if the profile's memory is that slow. Then the cache's size is best.
uint64_t worthwhile_bytes(const EpcProfile& profile, uint64_t memory_bytes, double fetch_bytes_per_second);

// `delivery_us`: fault_delivery_us() of this machine.
EpcModelled model_epc(const EpcProfile& profile, const EpcMeasured& measured, double delivery_us);
// The same as a line of arithmetic.
std::string epc_arithmetic(const EpcProfile& profile, const EpcMeasured& measured, double delivery_us);

}  // namespace carrel
