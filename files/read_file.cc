#include "files/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "files/descriptor.h"

namespace carrel {
namespace {

Error failure() { return Error(ErrorCode::kIo, "cannot be read: %s", std::strerror(errno)); }

}  // namespace

Result<std::vector<std::byte>> read_file(const std::string& path, uint64_t max_bytes) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat about;
  if (file.get() < 0 || fstat(file.get(), &about) != 0) return failure();
  std::vector<std::byte> bytes;
  // One byte more than the file says, so that the end is seen without growing.
  const uint64_t expected = S_ISREG(about.st_mode) ? static_cast<uint64_t>(about.st_size) : 0;
  size_t used = 0;
  while (used <= max_bytes && expected <= max_bytes) {
    if (used == bytes.size()) {
      bytes.resize(std::min(std::max<uint64_t>({expected + 1, 2 * used, 65536}), max_bytes + 1));
    }
    const ssize_t n = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failure();
    if (n == 0) {
      bytes.resize(used);
      return bytes;
    }
    used += static_cast<size_t>(n);
  }
  return Error(ErrorCode::kInvalidInput, "larger than the %llu bytes allowed",
               static_cast<unsigned long long>(max_bytes));
}

}  // namespace carrel
