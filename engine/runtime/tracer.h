#pragma once
// Reports each access to memory where it happens, if anyone listens (tests only).
#include "engine/host/trace.h"

namespace carrel {

struct Tracer {
  TraceSink* sink = nullptr;
  uint32_t step = 0;  // of the program; written between steps only

  void record(TraceKind kind, uint64_t offset, uint64_t bytes) const {
    if (sink != nullptr) sink->record({kind, step, offset, bytes});
  }
};

}  // namespace carrel
