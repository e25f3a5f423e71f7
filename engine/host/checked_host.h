#pragma once
// The one wrapper around Host: every reply is checked here, once, before engine code sees it.
//
// Untrusted ranges are taken once and must neither wrap nor touch the engine's own block; what the host says about
// them later is not asked. Error codes a host may cause are kIo, kPlatform and kCancelled; anything else becomes
// kPlatform, so that a host cannot imitate an authentication failure.
// Thread safety: read_model_exact, wait and wake_all from any thread; the rest from one.
#include <atomic>

#include "engine/host/host.h"

namespace carrel {

class CheckedHost {
 public:
  // Takes the model's size and map. `trusted` is the engine's block.
  // Errors: kPlatform for ranges that cannot be; kIo.
  Status attach(Host* host, std::span<const std::byte> trusted);

  uint64_t model_bytes() const { return model_bytes_; }
  // Empty: read_model_exact is the way.
  std::span<const std::byte> model_map() const { return model_map_; }
  // Exactly dst.size() bytes into trusted memory. Errors: kAuthentication if the file ends before.
  Status read_model_exact(uint64_t offset, std::span<std::byte> dst);

  // Makes sure of a shared area of at least `bytes` and keeps it.
  Status fix_shared_area(uint64_t bytes);
  // The area as it is now, for what arrives before the size is fixed; at least `bytes` long.
  Result<std::span<std::byte>> shared_area_now(uint64_t bytes);
  std::span<std::byte> shared_area() const { return shared_; }

  Result<Request> receive();
  Status reply(const Reply& reply);
  uint64_t nanoseconds();
  void wait(const uint32_t* word, uint32_t expected) { host_->wait(word, expected); }
  void wake_all(const uint32_t* word) { host_->wake_all(word); }

  // Calls so far, without wait and wake_all: how often threads sleep depends on timing.
  uint64_t crossings() const { return crossings_.load(std::memory_order_relaxed); }

 private:
  void count() { crossings_.fetch_add(1, std::memory_order_relaxed); }
  bool outside(const void* data, uint64_t bytes) const;

  Host* host_ = nullptr;
  std::span<const std::byte> trusted_;
  uint64_t model_bytes_ = 0;
  std::span<const std::byte> model_map_;
  std::span<std::byte> shared_;
  std::atomic<uint64_t> crossings_{0};
};

}  // namespace carrel
