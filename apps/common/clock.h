#pragma once
// A clock for durations that people read.
#include <chrono>

namespace carrel {

inline double now_ms() {
  const auto t = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(t).count();
}

}  // namespace carrel
