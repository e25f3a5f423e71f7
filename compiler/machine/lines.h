#pragma once
// Memory in lines of 64 bytes, as rings and tiles are aligned.
#include <vector>

#include "base/checked.h"
#include "base/cpu.h"

namespace carrel::machine {

struct alignas(64) Line {
  float values[16];
};
inline std::vector<Line> lines_for(uint64_t bytes) { return std::vector<Line>(ceil_div(bytes, sizeof(Line))); }
inline float* floats_of(std::vector<Line>& lines) { return lines[0].values; }

// This machine's features, none of a higher set than `isa`.
inline CpuMask mask_for(IsaLevel isa) {
  CpuMask cpu = detect_cpu();
  if (isa < IsaLevel::kAvx512) cpu &= ~CpuMask{kCpuAvx512 | kCpuVnni};
  if (isa < IsaLevel::kAvx2) cpu &= ~CpuMask{kCpuAvx2 | kCpuAvxVnni};
  return cpu;
}

}  // namespace carrel::machine
