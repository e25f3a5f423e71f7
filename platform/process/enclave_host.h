#pragma once
// engine/host inside the sandbox: the descriptors of control.h and nothing else.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "engine/host/host.h"
#include "platform/process/control.h"

namespace carrel {

// Sleeps while *word == expected / wakes all sleepers; private futexes, the only ones the filter
// permits.
void futex_wait(const uint32_t* word, uint32_t expected);
void futex_wake_all(const uint32_t* word);

// Thread safety: read_model, wait, wake_all and nanoseconds from any thread; the rest from the main
// thread.
class EnclaveHost final : public Host {
 public:
  // Takes over kModelFd and kSharedFd (which it closes) and installs the SIGBUS handler. Call once,
  // before the filter. The shared area must be sealed against shrinking. Errors: kPlatform.
  Status attach(ModelAccess access);

  Result<uint64_t> read_model(uint64_t offset, std::span<std::byte> dst) override;
  Result<uint64_t> model_bytes() override;
  std::span<const std::byte> model_map() override;
  std::span<std::byte> shared_area() override;
  Status grow_shared_area(uint64_t bytes) override;
  Result<Request> receive() override;
  Status reply(const Reply& reply) override;
  uint64_t nanoseconds() override;
  void wait(const uint32_t* word, uint32_t expected) override;
  void wake_all(const uint32_t* word) override;

 private:
  Status attach_shared();
  Status attach_model(ModelAccess access);

  uint64_t model_bytes_ = 0;
  std::span<const std::byte> model_map_;
  std::span<std::byte> shared_;
};

}  // namespace carrel
