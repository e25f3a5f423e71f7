#pragma once
// A parallel loop over threads that the platform supplies: no heap, no library threads.
//
// One thread calls run(); the others live in loop(). They spin for a moment and then sleep through the host, which
// may wake them falsely or not at all: it can stop the engine, never mislead it.
#include <atomic>

#include "engine/host/checked_host.h"
#include "engine/runtime/profiler.h"

namespace carrel {

class Workers {
 public:
  using Task = Status (*)(void* context, uint32_t thread);

  // `threads` in all, the caller's included. Before any other call.
  void attach(CheckedHost* host, Profiler* profiler, uint32_t threads);
  uint32_t threads() const { return threads_; }

  // task(context, i) for i in [0, count), count <= threads(), i == 0 on the caller; returns when all are done.
  // The error is that of the first thread that failed.
  Status run(uint32_t count, Task task, void* context);
  template <typename Function>
  Status run(uint32_t count, Function& function) {
    return run(count, [](void* f, uint32_t thread) -> Status { return (*static_cast<Function*>(f))(thread); },
               &function);
  }

  // Work comes soon: who sleeps may wake meanwhile.
  void rouse() { wake(&round_, &idle_sleepers_); }

  // Until close(). index in [1, threads()).
  void loop(uint32_t index);
  // Waits for every thread that is in loop() to leave it.
  void close();

 private:
  void do_share(uint32_t index);
  void run_round();
  static bool changed_soon(const std::atomic<uint32_t>& word, uint32_t seen);
  void wait_change(std::atomic<uint32_t>* word, uint32_t seen, std::atomic<uint32_t>* sleepers);
  void wake(std::atomic<uint32_t>* word, std::atomic<uint32_t>* sleepers);

  CheckedHost* host_ = nullptr;
  Profiler* profiler_ = nullptr;
  uint32_t threads_ = 1;
  Task task_ = nullptr;
  void* context_ = nullptr;
  uint32_t count_ = 0;
  std::atomic<uint32_t> round_{0};      // rises when there is work, or at close
  std::atomic<uint32_t> remaining_{0};  // workers that have not finished this round
  std::atomic<uint32_t> inside_{0};     // workers in loop()
  std::atomic<uint32_t> idle_sleepers_{0}, main_sleepers_{0};
  std::atomic<bool> closing_{false};
  std::atomic<bool> failed_{false};
  Status first_error_ = ok_status();
};

}  // namespace carrel
