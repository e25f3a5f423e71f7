#include "apps/cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace carrel::cli {
namespace {

constexpr std::chrono::seconds kQuietFor{1};
constexpr std::chrono::milliseconds kRefresh{100};
constexpr uint32_t kUnknown = UINT32_MAX;

void tell(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

Progress::Progress(std::string what) : what_(std::move(what)), percent_(kUnknown) {
  if (isatty(STDERR_FILENO) == 0) return;
  shower_ = std::jthread([this](const std::stop_token& stop) { show(stop); });
}

Progress::~Progress() = default;

void Progress::operator()(uint64_t done, uint64_t total) {
  if (total != 0) percent_ = static_cast<uint32_t>(std::min<uint64_t>(100, done * 100 / total));
}

void Progress::show(const std::stop_token& stop) {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  const auto stopped_within = [&](auto duration) {
    return wake_.wait_for(lock, stop, duration, [&] { return stop.stop_requested(); });
  };
  if (stopped_within(kQuietFor)) return;
  do {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - start);
    tell(line(static_cast<uint64_t>(seconds.count())));
  } while (!stopped_within(kRefresh));
  tell("\r\033[K");
}

std::string Progress::line(uint64_t seconds) const {
  const uint32_t percent = percent_;
  if (percent == kUnknown) return fmt::format("\r\033[K{}, {} s ", what_, seconds);
  return fmt::format("\r\033[K{} {:3} % ", what_, percent);
}

}  // namespace carrel::cli
