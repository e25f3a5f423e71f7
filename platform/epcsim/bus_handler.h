#pragma once
// SIGBUS of this process, given to the regions that watch it.
#include "base/result.h"

namespace carrel {

class Epc;

// Both kPlatform (too many regions at once, no handler) and called from ordinary code only. A SIGBUS elsewhere goes to
// whoever handled it before.
Status watch_bus_errors(Epc* epc);
void unwatch_bus_errors(Epc* epc);

}  // namespace carrel
