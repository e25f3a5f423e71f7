#include "platform/process/enclave_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/checked.h"

namespace carrel {
namespace {

constexpr uint64_t kPageBytes = 4096;
// Far above any machine's memory; keeps the arithmetic below from wrapping.
constexpr uint64_t kMaxBytes = uint64_t{1} << 46;
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

// Over [start, start + bytes) of a reservation. False with errno set if the kernel refuses.
bool map_secret(void* start, uint64_t bytes) {
  const int fd = static_cast<int>(syscall(SYS_memfd_secret, O_CLOEXEC));
  if (fd < 0) return false;
  bool ok = ftruncate(fd, static_cast<off_t>(bytes)) == 0 &&
            mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
  const int saved = errno;
  close(fd);
  errno = saved;
  return ok;
}

bool map_anonymous(void* start, uint64_t bytes) {
  void* map = mmap(start, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return false;
  // DONTDUMP is a promise to the user; the other two only keep sizes and copies small.
  return madvise(map, bytes, MADV_DONTDUMP) == 0 &&
         (madvise(map, bytes, MADV_DONTFORK), madvise(map, bytes, MADV_NOHUGEPAGE), true);
}

}  // namespace

Result<TrustedMemory> map_trusted(uint64_t bytes, bool allow_secret) {
  if (bytes == 0 || bytes > kMaxBytes) {
    return Error(ErrorCode::kPlatform, "enclave: cannot map %llu bytes of trusted memory",
                 static_cast<unsigned long long>(bytes));
  }
  const uint64_t size = round_up(bytes, kPageBytes);
  void* reserved = mmap(nullptr, size + 2 * kPageBytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    return Error(ErrorCode::kPlatform,
                 "enclave: no room for %llu bytes of trusted memory (errno %d)",
                 static_cast<unsigned long long>(size), errno);
  }
  std::byte* start = static_cast<std::byte*>(reserved) + kPageBytes;
  TrustedMemory memory;
  memory.bytes = {start, bytes};
  memory.secret = allow_secret && map_secret(start, size);
  if (memory.secret) return memory;
  memory.refusal_errno = allow_secret ? errno : 0;
  if (!map_anonymous(start, size)) {
    return Error(ErrorCode::kPlatform, "enclave: no trusted memory of %llu bytes (errno %d)",
                 static_cast<unsigned long long>(size), errno);
  }
  // ONFAULT: locks what is touched and no more.
  memory.locked = mlock2(start, size, MLOCK_ONFAULT) == 0;
  return memory;
}

}  // namespace carrel
