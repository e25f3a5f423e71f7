#pragma once
// Overwriting secrets so that the compiler cannot drop the writes.
#include <cstddef>

namespace carrel {

// data may be null if bytes is 0.
inline void wipe(void* data, size_t bytes) {
  if (bytes == 0) return;
  __builtin_memset(data, 0, bytes);
  asm volatile("" : : "r"(data) : "memory");
}

// A secret on the stack, wiped on every way out of its scope.
template <typename T>
struct Wiped {
  T value{};
  Wiped() = default;
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { wipe(&value, sizeof(value)); }
};

// Zeroes 8 KiB of stack below the caller's frame: what functions that have returned left there, spilled registers included.
void scrub_stack();

}  // namespace carrel
