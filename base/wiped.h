#pragma once
#include "base/wipe.h"

namespace carrel {

// A secret on the stack, wiped on every way out of its scope.
template <typename T>
struct Wiped {
  T value{};
  Wiped() = default;
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { wipe(&value, sizeof value); }
};

}  // namespace carrel
