#pragma once
// Arithmetic on numbers that came from outside: false instead of overflow.
#include <cstdint>

namespace carrel {

[[nodiscard]] inline bool checked_add(uint64_t a, uint64_t b, uint64_t* sum) {
  return !__builtin_add_overflow(a, b, sum);
}
[[nodiscard]] inline bool checked_mul(uint64_t a, uint64_t b, uint64_t* product) {
  return !__builtin_mul_overflow(a, b, product);
}
// True if [offset, offset + bytes) lies inside [0, limit).
[[nodiscard]] inline bool in_range(uint64_t offset, uint64_t bytes, uint64_t limit) {
  uint64_t end = 0;
  return checked_add(offset, bytes, &end) && end <= limit;
}

constexpr uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
constexpr uint64_t ceil_div(uint64_t value, uint64_t divisor) {
  return (value + divisor - 1) / divisor;
}

}  // namespace carrel
