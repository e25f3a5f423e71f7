#include "engine/runtime/workers.h"

#include "engine/runtime/float_mode.h"

namespace carrel {
namespace {

// About 100 us: longer than the steps between two parallel ones, and what waking a sleeper costs on a virtual machine. Longer ones
// gain on quiet cores (`carrel run --threads 2 --repeat 12`) and lose several times as much where others use the cores too.
constexpr uint32_t kSpins = 2000;

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void Workers::attach(CheckedHost* host, Profiler* profiler, uint32_t threads) {
  host_ = host;
  profiler_ = profiler;
  threads_ = threads;
}

bool Workers::changed_soon(const std::atomic<uint32_t>& word, uint32_t seen) {
  for (uint32_t i = 0; i < kSpins; ++i) {
    if (word.load(std::memory_order_acquire) != seen) return true;
    pause_briefly();
  }
  return false;
}

// Sequentially consistent on both sides: either the sleeper sees the new value, or the waker sees the sleeper.
void Workers::wait_change(std::atomic<uint32_t>* word, uint32_t seen, std::atomic<uint32_t>* sleepers) {
  while (!changed_soon(*word, seen)) {
    sleepers->fetch_add(1);
    if (word->load() == seen) host_->wait(reinterpret_cast<const uint32_t*>(word), seen);
    sleepers->fetch_sub(1);
  }
}

void Workers::wake(std::atomic<uint32_t>* word, std::atomic<uint32_t>* sleepers) {
  if (sleepers->load() > 0) host_->wake_all(reinterpret_cast<const uint32_t*>(word));
}

void Workers::do_share(uint32_t index) {
  if (index >= count_) return;
  const uint64_t start = profiler_->on() ? read_ticks() : 0;
  Status status = task_(context_, index);
  if (profiler_->on()) profiler_->add_share(read_ticks() - start);
  if (!status.ok() && !failed_.exchange(true)) first_error_ = status;
}

Status Workers::run(uint32_t count, Task task, void* context) {
  if (count <= 1 || threads_ <= 1) return task(context, 0);
  task_ = task;
  context_ = context;
  count_ = count;
  const uint64_t start = profiler_->on() ? read_ticks() : 0;
  run_round();
  if (profiler_->on()) profiler_->add_round(read_ticks() - start);
  return first_error_;
}

void Workers::run_round() {
  failed_.store(false);
  first_error_ = ok_status();
  remaining_.store(threads_ - 1);
  round_.fetch_add(1);
  wake(&round_, &idle_sleepers_);
  do_share(0);
  for (uint32_t left = remaining_.load(std::memory_order_acquire); left > 0; left = remaining_.load()) {
    wait_change(&remaining_, left, &main_sleepers_);
  }
}

void Workers::loop(uint32_t index) {
  inside_.fetch_add(1);
  const FlushDenormals flush;
  uint32_t seen = 0;
  while (!closing_.load()) {
    wait_change(&round_, seen, &idle_sleepers_);
    const uint32_t now = round_.load(std::memory_order_acquire);
    if (closing_.load()) break;
    seen = now;
    do_share(index);
    remaining_.fetch_sub(1);
    wake(&remaining_, &main_sleepers_);
  }
  inside_.fetch_sub(1);
}

void Workers::close() {
  closing_.store(true);
  round_.fetch_add(1);
  if (host_ != nullptr) wake(&round_, &idle_sleepers_);
  while (inside_.load() > 0) pause_briefly();
}

}  // namespace carrel
