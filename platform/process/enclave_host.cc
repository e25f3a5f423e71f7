#include "platform/process/enclave_host.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/checked.h"

namespace carrel {
namespace {

constexpr uintptr_t kPageBytes = 4096;
// Above any file; keeps offsets representable as off_t.
constexpr uint64_t kMaxModelBytes = uint64_t{1} << 46;

// What the SIGBUS handler needs; written before the handler is installed.
uintptr_t g_map_begin = 0;
uintptr_t g_map_end = 0;
std::atomic<uint32_t> g_vanished_pages{0};

// A page of the model that can no longer be read (the file shrank, or its device failed) becomes
// zeros, which no tag authenticates: the run ends with an error instead of a signal. Any other
// address is a page of the shared area for which the kernel has no memory: nothing can be done.
void on_bus_error(int, siginfo_t* info, void*) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (address < g_map_begin || address >= g_map_end) _exit(kExitSharedFault);
  const int saved = errno;
  void* page = reinterpret_cast<void*>(address & ~(kPageBytes - 1));
  if (mmap(page, kPageBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
      MAP_FAILED) {
    _exit(kExitSharedFault);
  }
  g_vanished_pages.fetch_add(1, std::memory_order_relaxed);
  errno = saved;
}

Status install_bus_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  if (sigaction(SIGBUS, &action, nullptr) != 0) {
    return Error(ErrorCode::kPlatform, "enclave: no handler for SIGBUS (errno %d)", errno);
  }
  return ok_status();
}

Result<uint64_t> file_bytes(int fd, const char* what) {
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < 0) {
    return Error(ErrorCode::kPlatform, "enclave: the %s descriptor is not a file", what);
  }
  return static_cast<uint64_t>(status.st_size);
}

// Tells a model that changed under us from one that was damaged before.
void explain_vanished_pages(Reply* reply) {
  const uint32_t pages = g_vanished_pages.load(std::memory_order_relaxed);
  if (reply->ok != 0 || pages == 0 || reply->error_code != uint32_t(ErrorCode::kAuthentication))
    return;
  const Error error(ErrorCode::kAuthentication,
                    "the model file shrank or could not be read while it was in use (%u pages)",
                    pages);
  static_assert(sizeof(reply->message) == Error::kMessageBytes);
  memcpy(reply->message, error.message(), sizeof(reply->message));
}

}  // namespace

void futex_wait(const uint32_t* word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, expected, nullptr, nullptr, 0);
}

void futex_wake_all(const uint32_t* word) {
  syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, nullptr, nullptr, 0);
}

Status EnclaveHost::attach(ModelAccess access) {
  CARREL_RETURN_IF_ERROR(attach_shared());
  CARREL_RETURN_IF_ERROR(attach_model(access));
  return install_bus_handler();
}

Status EnclaveHost::attach_shared() {
  CARREL_ASSIGN(const uint64_t bytes, file_bytes(kSharedFd, "shared area's"));
  const int seals = fcntl(kSharedFd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return Error(ErrorCode::kPlatform, "enclave: the shared area is not sealed against shrinking");
  }
  if (bytes != 0) {
    void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kSharedFd, 0);
    if (map == MAP_FAILED) {
      return Error(ErrorCode::kPlatform, "enclave: shared area of %llu bytes not mapped (errno %d)",
                   static_cast<unsigned long long>(bytes), errno);
    }
    shared_ = {static_cast<std::byte*>(map), bytes};
  }
  close(kSharedFd);
  return ok_status();
}

Status EnclaveHost::attach_model(ModelAccess access) {
  CARREL_ASSIGN(model_bytes_, file_bytes(kModelFd, "model's"));
  if (model_bytes_ > kMaxModelBytes) {
    return Error(ErrorCode::kInvalidInput, "enclave: a model of %llu bytes is beyond reason",
                 static_cast<unsigned long long>(model_bytes_));
  }
  const int flags = fcntl(kModelFd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) != O_RDONLY) {
    return Error(ErrorCode::kPlatform, "enclave: the model's descriptor is writable");
  }
  if (access != ModelAccess::kMap || model_bytes_ == 0) return ok_status();
  void* map = mmap(nullptr, model_bytes_, PROT_READ, MAP_SHARED, kModelFd, 0);
  if (map == MAP_FAILED) return ok_status();  // a file system without mmap: read_model serves
  madvise(map, model_bytes_, MADV_DONTDUMP);
  model_map_ = {static_cast<const std::byte*>(map), model_bytes_};
  g_map_begin = reinterpret_cast<uintptr_t>(map);
  g_map_end = g_map_begin + round_up(model_bytes_, kPageBytes);
  return ok_status();
}

Result<uint64_t> EnclaveHost::read_model(uint64_t offset, std::span<std::byte> dst) {
  if (!in_range(offset, dst.size(), kMaxModelBytes)) {
    return Error(ErrorCode::kIo, "model: offset %llu is beyond reason",
                 static_cast<unsigned long long>(offset));
  }
  size_t done = 0;
  while (done < dst.size()) {
    const ssize_t count =
        pread(kModelFd, dst.data() + done, dst.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error(ErrorCode::kIo, "model: read failed (errno %d)", errno);
    if (count == 0) break;  // a file that shrank: the engine sees a short count
    done += static_cast<size_t>(count);
  }
  return static_cast<uint64_t>(done);
}

Result<uint64_t> EnclaveHost::model_bytes() { return model_bytes_; }
std::span<const std::byte> EnclaveHost::model_map() { return model_map_; }
std::span<std::byte> EnclaveHost::shared_area() { return shared_; }

// The launcher sizes the area before the start; nothing can be mapped behind the filter.
Status EnclaveHost::grow_shared_area(uint64_t bytes) {
  if (bytes <= shared_.size()) return ok_status();
  return Error(ErrorCode::kPlatform,
               "the program needs a shared area of %llu bytes, the launcher gave %llu",
               static_cast<unsigned long long>(bytes),
               static_cast<unsigned long long>(shared_.size()))
      .with_detail(bytes);
}

Result<Request> EnclaveHost::receive() {
  // One byte more than a request, so that a longer packet shows.
  struct {
    Request request;
    std::byte excess;
  } packet;
  ssize_t count = 0;
  do {
    count = read(kControlFd, &packet, sizeof(packet.request) + 1);
  } while (count < 0 && errno == EINTR);
  if (count == 0) return Error(ErrorCode::kCancelled, "the launcher closed the channel");
  if (count != static_cast<ssize_t>(sizeof(packet.request))) {
    return Error(ErrorCode::kPlatform, "a request of %ld bytes on the control channel",
                 static_cast<long>(count));
  }
  return packet.request;
}

Status EnclaveHost::reply(const Reply& reply) {
  Reply copy = reply;
  explain_vanished_pages(&copy);
  ssize_t count = 0;
  do {
    count = write(kControlFd, &copy, sizeof(copy));
  } while (count < 0 && errno == EINTR);
  if (count != static_cast<ssize_t>(sizeof(copy))) {
    return Error(ErrorCode::kPlatform, "the control channel is broken (errno %d)", errno);
  }
  return ok_status();
}

uint64_t EnclaveHost::nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

void EnclaveHost::wait(const uint32_t* word, uint32_t expected) { futex_wait(word, expected); }
void EnclaveHost::wake_all(const uint32_t* word) { futex_wake_all(word); }

}  // namespace carrel
