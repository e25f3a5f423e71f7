#pragma once
// Tests of the simulator need userfaultfd. They are skipped where the kernel or a container's settings refuse it, and for
// no other reason.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "platform/epcsim/epc.h"

namespace carrel {

inline Status userfaultfd_allowed() {
  void* page = mmap(nullptr, kEpcPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return ok_status();
  const Result<FaultFd> watched = FaultFd::watch({static_cast<std::byte*>(page), kEpcPageBytes});
  const Status status = watched.ok() ? ok_status() : Status(watched.error());
  munmap(page, kEpcPageBytes);
  return status;
}

#define SKIP_WITHOUT_USERFAULTFD()                                            \
  if (const Status allowed = userfaultfd_allowed(); !allowed.ok()) GTEST_SKIP() << allowed.error().message()

}  // namespace carrel
