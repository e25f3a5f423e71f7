#pragma once
// SIGBUS of this process, given to the regions that watch it.
#include "base/result.h"

namespace carrel {

class Epc;

// Both kPlatform (too many regions at once, no handler) and called from ordinary code only. A SIGBUS elsewhere goes to
// whoever handled it before.
Status watch_bus_errors(Epc* epc);
// From now on the calling thread handles its faults on a stack of their own, until it ends. For threads that run code
// whose stack pointer may be anywhere: generated kernels (oneDNN's) point it into buffers. Errors: kPlatform, no memory.
Status handle_faults_apart();
void unwatch_bus_errors(Epc* epc);

}  // namespace carrel
