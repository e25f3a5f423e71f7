#pragma once
// The figures of compiler/cost, measured.
#include "base/cpu.h"
#include "compiler/cost/cost.h"
#include "compiler/machine/cipher.h"

namespace carrel::machine {

// What one core does with the kernels of `isa`. Convolutions are those whose rows fill the register tiles: the cost
// model knows what narrower ones lose. `step_seconds`: what a step costs, measured in an engine.
MachineFigures measure_figures(IsaLevel isa, const CipherSpeed& cipher, double step_seconds, double budget_seconds);

}  // namespace carrel::machine
