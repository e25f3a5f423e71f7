#pragma once
// Winograd's transforms, timed.
#include "base/cpu.h"
#include "compiler/cost/cost.h"

namespace carrel::machine {

// Fills the winograd*_seconds of `figures` for the kernels of `isa`.
void measure_winograd(IsaLevel isa, double budget_seconds, MachineFigures* figures);

}  // namespace carrel::machine
