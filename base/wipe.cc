#include "base/wipe.h"

namespace carrel {

__attribute__((noinline)) void scrub_stack() {
  constexpr size_t kBytes = 8192;
  char below[kBytes];
  wipe(below, kBytes);
}

}  // namespace carrel
