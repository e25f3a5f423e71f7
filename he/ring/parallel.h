#pragma once
// A loop over threads that lasts as long as the call.
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"

namespace carrel::he {

// task(index, thread) for each index below `count`, thread < threads. The error is that of the first task that failed; later ones
// are not begun.
template <typename Task>
Status in_parallel(uint32_t threads, uint32_t count, Task task) {
  std::atomic<uint32_t> next{0};
  std::mutex mutex;
  Status first = ok_status();
  const auto work = [&](uint32_t thread) {
    for (uint32_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
      const Status status = task(i, thread);
      if (status.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      if (first.ok()) first = status;
      next.store(count);
    }
  };
  std::vector<std::thread> others;
  for (uint32_t i = 1; i < threads && i < count; ++i) others.emplace_back(work, i);
  work(0);
  for (std::thread& t : others) t.join();
  return first;
}

}  // namespace carrel::he
