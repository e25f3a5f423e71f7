#pragma once
// Overwriting secrets so that the compiler cannot drop the writes.
#include <cstddef>

namespace carrel {

inline void wipe(void* data, size_t bytes) {
  __builtin_memset(data, 0, bytes);
  asm volatile("" : : "r"(data) : "memory");
}

}  // namespace carrel
