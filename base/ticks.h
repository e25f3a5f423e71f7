#pragma once
// The processor's own clock: constant rate, the same on every core, no system call.
#include <cstdint>

namespace carrel {

// Ticks since some moment; differences of one machine mean time, at a rate that the caller must find out.
inline uint64_t read_ticks() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks = 0;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
#error "no tick counter for this processor"
#endif
}

}  // namespace carrel
