#pragma once
// userfaultfd as the simulator needs it: a missing page of the region is a SIGBUS in the thread that touched it, and
// pages are placed, write-protected and removed by hand.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace carrel {

class FaultFd {
 public:
  // Faults of `region` (page aligned, private anonymous memory without huge pages) are this object's from now on, those
  // of the kernel on its behalf (read() into the region) excepted: they fail with EFAULT. Errors: kPlatform, naming the
  // setting that forbids it.
  static Result<FaultFd> watch(std::span<std::byte> region);
  FaultFd(FaultFd&& other) noexcept;
  FaultFd& operator=(FaultFd&&) = delete;
  ~FaultFd();

  // Places a copy of the page at `from`, readable and writable. Both aligned. Callable from a signal handler, as the next.
  // False: the kernel refused.
  [[nodiscard]] bool place(std::byte* page, const std::byte* from) const;
  // Makes resident pages read-only: a write waits for (that is: faults into) whoever watches. Returns when no processor
  // can write any more.
  [[nodiscard]] bool protect(std::span<std::byte> pages) const;

 private:
  explicit FaultFd(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace carrel
