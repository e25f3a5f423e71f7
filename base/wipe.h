#pragma once
// Overwriting secrets so that the compiler cannot drop the writes.
#include <cstddef>

namespace carrel {

inline void wipe(void* data, size_t bytes) {
  volatile unsigned char* p = static_cast<volatile unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) p[i] = 0;
  asm volatile("" ::: "memory");
}

}  // namespace carrel
