#pragma once
// Where the time of a run goes, step by step, if the session asked for it.
//
// Each finished step writes one StepProfile (engine/host/host.h) to untrusted memory, once, and nothing is read back: a
// profile takes no trusted memory, and what the host does with it cannot mislead the engine. It holds times and
// sizes, which the host can observe without it.
// Thread safety: add_share and add_decrypt from any thread; the rest from the thread that runs the steps.
#include <atomic>
#include <cstddef>
#include <cstring>
#include <span>

#include "base/ticks.h"
#include "engine/host/host.h"
#include "engine/runtime/tracer.h"

namespace carrel {

class Profiler {
 public:
  // `records`: one StepProfile for each step of the program, `offset` bytes into the shared area; empty: off.
  void attach(std::span<std::byte> records, uint64_t offset, const Tracer* tracer) {
    records_ = records;
    offset_ = offset;
    tracer_ = tracer;
  }
  bool on() const { return !records_.empty(); }

  void begin_step(const RunStats& stats) {
    share_ticks_.store(0, std::memory_order_relaxed);
    decrypt_ticks_.store(0, std::memory_order_relaxed);
    round_ticks_ = 0;
    bytes_before_ = moved_bytes(stats);
    start_ = read_ticks();
  }
  void end_step(uint32_t step, const RunStats& stats) {
    const uint64_t wall = read_ticks() - start_;
    // Outside of rounds only one thread has work.
    const StepProfile profile{wall, wall - round_ticks_ + share_ticks_.load(std::memory_order_relaxed),
                              decrypt_ticks_.load(std::memory_order_relaxed), moved_bytes(stats) - bytes_before_};
    const uint64_t at = uint64_t{step} * sizeof(profile);
    tracer_->record(TraceKind::kProfile, offset_ + at, sizeof(profile));
    std::memcpy(records_.data() + at, &profile, sizeof(profile));
  }

  // A parallel round took that long on the thread that waits for its end; each thread's share of it.
  void add_round(uint64_t ticks) { round_ticks_ += ticks; }
  void add_share(uint64_t ticks) { share_ticks_.fetch_add(ticks, std::memory_order_relaxed); }
  void add_decrypt(uint64_t ticks) { decrypt_ticks_.fetch_add(ticks, std::memory_order_relaxed); }

 private:
  static uint64_t moved_bytes(const RunStats& stats) {
    return stats.bytes_decrypted + stats.bytes_spilled + stats.bytes_fetched;
  }

  std::span<std::byte> records_;
  uint64_t offset_ = 0;
  const Tracer* tracer_ = nullptr;
  std::atomic<uint64_t> share_ticks_{0}, decrypt_ticks_{0};
  uint64_t round_ticks_ = 0;
  uint64_t start_ = 0;
  uint64_t bytes_before_ = 0;
};

}  // namespace carrel
