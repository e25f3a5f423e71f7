#pragma once
// What one core can do at most: independent multiply-adds in registers, bytes read with the widest loads.
#include <cstddef>
#include <span>

#include "base/cpu.h"

namespace carrel::machine {

// fp32 multiply-adds per second, each counted as two operations; generic: SSE products and sums, NEON fused.
double fma_flops(IsaLevel isa, double budget_seconds);
// u8 x s8 products summed into s32, each product and sum counted, in the widest registers that `cpu` has VNNI for; 0
// where it has none.
double vnni_ops(CpuMask cpu, double budget_seconds);
// Bytes per second of reading `memory` in order, again and again. Size: a multiple of 512.
double read_bytes_per_second(std::span<const std::byte> memory, double budget_seconds);

}  // namespace carrel::machine
