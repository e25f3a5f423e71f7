#include "platform/inproc/inproc_host.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>

namespace carrel {

std::span<std::byte> map_memory(uint64_t bytes) {
  if (bytes == 0) return {};
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return {};
  return {static_cast<std::byte*>(memory), bytes};
}
void unmap_memory(std::span<std::byte> memory) {
  if (!memory.empty()) munmap(memory.data(), memory.size());
}

InprocHost::~InprocHost() {
  if (fd_ >= 0) close(fd_);
  unmap_memory(shared_);
}

Status InprocHost::use_file(const std::string& path) {
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) return Error(ErrorCode::kIo, "cannot be opened: %s", strerror(errno));
  return ok_status();
}

void InprocHost::use_memory(std::span<const std::byte> model, bool map) {
  model_ = model;
  map_ = map;
}

Status InprocHost::allocate_shared(uint64_t bytes) {
  shared_ = map_memory(bytes);
  if (bytes > 0 && shared_.empty()) {
    return Error(ErrorCode::kIo, "no memory for a shared area of %llu bytes", static_cast<unsigned long long>(bytes));
  }
  return ok_status();
}

Result<uint64_t> InprocHost::read_model(uint64_t offset, std::span<std::byte> dst) {
  if (fd_ < 0) {
    if (offset >= model_.size()) return uint64_t{0};
    const size_t count = std::min<size_t>(dst.size(), model_.size() - offset);
    std::memcpy(dst.data(), model_.data() + offset, count);
    return uint64_t{count};
  }
  for (;;) {
    const ssize_t count = pread(fd_, dst.data(), dst.size(), static_cast<off_t>(offset));
    if (count >= 0) return static_cast<uint64_t>(count);
    if (errno != EINTR) return Error(ErrorCode::kIo, "reading the sealed model: %s", strerror(errno));
  }
}

Result<uint64_t> InprocHost::model_bytes() {
  if (fd_ < 0) return uint64_t{model_.size()};
  struct stat info;
  if (fstat(fd_, &info) != 0) return Error(ErrorCode::kIo, "the sealed model: %s", strerror(errno));
  return static_cast<uint64_t>(info.st_size);
}

std::span<const std::byte> InprocHost::model_map() { return map_ ? model_ : std::span<const std::byte>(); }

Status InprocHost::grow_shared_area(uint64_t bytes) {
  if (bytes <= shared_.size()) return ok_status();
  return Error(ErrorCode::kPlatform, "the session was opened with a shared area of %llu bytes, the program needs %llu",
               static_cast<unsigned long long>(shared_.size()), static_cast<unsigned long long>(bytes));
}

Result<Request> InprocHost::receive() { return Error(ErrorCode::kPlatform, "inproc has no request channel"); }
Status InprocHost::reply(const Reply&) { return Error(ErrorCode::kPlatform, "inproc has no request channel"); }

uint64_t InprocHost::nanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

void InprocHost::wait(const uint32_t* word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void InprocHost::wake_all(const uint32_t* word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace carrel
