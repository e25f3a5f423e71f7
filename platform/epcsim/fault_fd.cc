#include "platform/epcsim/fault_fd.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace carrel {
namespace {

constexpr uint64_t kPageBytes = 4096;

Error refused(const char* what, int error) {
  const char* remedy = "";
  if (error == EPERM || error == EACCES) remedy = "; a system-call filter (container) or security module forbids it: allow userfaultfd";
  if (error == ENOSYS) remedy = "; this kernel is built without CONFIG_USERFAULTFD";
  if (error == EINVAL) remedy = "; it needs Linux 5.11 or later with write protection (CONFIG_PTE_MARKER_UFFD_WP, x86-64 or aarch64)";
  return Error(ErrorCode::kPlatform, "epcsim: userfaultfd: %s: %s%s", what, strerror(error), remedy);
}

uint64_t address_of(const std::byte* page) { return reinterpret_cast<uint64_t>(page); }

}  // namespace

Result<FaultFd> FaultFd::watch(std::span<std::byte> region) {
  // Faults of user code only: permitted to ordinary users where vm.unprivileged_userfaultfd is 0.
  const int fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
  if (fd < 0) return refused("cannot be opened", errno);
  FaultFd result(fd);
  uffdio_api api = {UFFD_API, UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP, 0};
  if (ioctl(fd, UFFDIO_API, &api) != 0) return refused("lacks signals or write protection", errno);
  uffdio_register range = {};
  range.range = {address_of(region.data()), region.size()};
  range.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
  if (ioctl(fd, UFFDIO_REGISTER, &range) != 0) return refused("cannot watch the region", errno);
  return result;
}

FaultFd::FaultFd(FaultFd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }

FaultFd::~FaultFd() {
  if (fd_ >= 0) close(fd_);
}

bool FaultFd::place(std::byte* page, const std::byte* from) const {
  for (;;) {
    uffdio_copy copy = {address_of(page), address_of(from), kPageBytes, 0, 0};
    if (ioctl(fd_, UFFDIO_COPY, &copy) == 0) return true;
    if (errno != EAGAIN) return false;  // the process's memory map is just being changed
  }
}

bool FaultFd::protect(std::span<std::byte> pages) const {
  for (;;) {
    uffdio_writeprotect change = {{address_of(pages.data()), pages.size()}, UFFDIO_WRITEPROTECT_MODE_WP};
    if (ioctl(fd_, UFFDIO_WRITEPROTECT, &change) == 0) return true;
    if (errno != EAGAIN) return false;
  }
}

}  // namespace carrel
