#pragma once
// A line on stderr for work that takes longer than a second; nothing where that is no terminal.
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace carrel::cli {

// "sealing 43 %" once a share of the work is known, "sealing, 12 s" until then. The line goes with the object. Not more
// than one at a time.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  void operator()(uint64_t done, uint64_t total);

 private:
  void show(const std::stop_token& stop);
  std::string line(uint64_t seconds) const;

  std::string what_;
  std::atomic<uint32_t> percent_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread shower_;  // not started where nobody looks
};

}  // namespace carrel::cli
