#pragma once
// What an operator of the machine sees of an enclave's paging: each fault, each eviction, each crossing, in order.
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

namespace carrel {

// kTouch: a page used for the first time; kLoad: one that had been evicted; kEvict; kCrossing: a call out of the enclave.
enum class EpcEventKind : uint8_t { kTouch, kLoad, kEvict, kCrossing };

inline constexpr uint32_t kBeforeSteps = ~uint32_t{0};
struct EpcEvent {
  uint32_t step;   // of the program, as set last; kBeforeSteps: while the engine starts
  uint32_t place;  // page of the region; kCrossing: 0
  EpcEventKind kind;
  bool operator==(const EpcEvent&) const = default;
};

// Events up to a number fixed at the start, so that noting one takes no memory. Any thread; the order is that of calls.
class EpcTrace {
 public:
  explicit EpcTrace(uint64_t capacity) : events_(std::make_unique_for_overwrite<EpcEvent[]>(capacity)), capacity_(capacity) {}

  void set_step(uint32_t step) { step_.store(step, std::memory_order_relaxed); }
  void note(EpcEventKind kind, uint32_t place) {
    const uint64_t at = next_.fetch_add(1, std::memory_order_relaxed);
    if (at < capacity_) events_[at] = {step_.load(std::memory_order_relaxed), place, kind};
  }

  // Between runs only.
  std::span<const EpcEvent> events() const { return {events_.get(), next_ < capacity_ ? next_.load() : capacity_}; }
  uint64_t dropped() const { return next_ > capacity_ ? next_ - capacity_ : 0; }
  void clear() { next_ = 0; }

 private:
  std::unique_ptr<EpcEvent[]> events_;
  uint64_t capacity_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint32_t> step_{kBeforeSteps};
};

}  // namespace carrel
