#pragma once
// The same measurement on several threads at once: what they reach together.
#include <barrier>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

namespace carrel::machine {

// The sum of measure(i) for i in [0, threads), all started at the same moment.
template <typename Measure>
double sum_over_threads(uint32_t threads, Measure&& measure) {
  std::vector<double> results(threads, 0.0);
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  std::vector<std::thread> others;
  const auto one = [&](uint32_t i) {
    start.arrive_and_wait();
    results[i] = measure(i);
  };
  for (uint32_t i = 1; i < threads; ++i) others.emplace_back(one, i);
  one(0);
  for (std::thread& other : others) other.join();
  return std::accumulate(results.begin(), results.end(), 0.0);
}

}  // namespace carrel::machine
