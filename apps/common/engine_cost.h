#pragma once
// What the engine costs beside its work: a request and its reply, and a step. Measured with a network that does next to
// nothing, sealed and run like any other.
#include "apps/common/runner.h"

namespace carrel {

struct EngineCost {
  double request_seconds = 0;  // of a warm inference: all that is not spent on steps
  double step_seconds = 0;
};
// Median of `runs` inferences. Seals into a folder of its own for temporary files and removes it. Errors: kIo, kPlatform,
// and those of sealing and running.
Result<EngineCost> measure_engine_cost(PlatformKind platform, uint32_t threads, uint32_t runs);

}  // namespace carrel
