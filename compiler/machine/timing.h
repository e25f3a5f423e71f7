#pragma once
// How long something takes on a machine that others use too: the best of many short rounds, since whatever else runs
// can only make it longer.
#include <algorithm>
#include <chrono>

namespace carrel::machine {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds that one call of `work` takes, measured for about `budget_seconds` and at least three times.
template <typename Work>
double seconds_per_call(double budget_seconds, Work&& work) {
  constexpr double kRoundSeconds = 1e-3;  // long against the clock, short against a disturbance
  const auto time_calls = [&](uint64_t calls) {
    const double start = seconds_now();
    for (uint64_t i = 0; i < calls; ++i) work();
    return seconds_now() - start;
  };
  uint64_t calls = 1;
  double taken = time_calls(calls);
  while (taken < kRoundSeconds) taken = time_calls(calls *= 2);
  double best = taken;
  const double end = seconds_now() + budget_seconds;
  for (int round = 0; round < 2 || seconds_now() < end; ++round) best = std::min(best, time_calls(calls));
  return best / static_cast<double>(calls);
}

}  // namespace carrel::machine
