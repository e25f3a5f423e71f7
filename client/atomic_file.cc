#include "client/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine/crypto/hash.h"

namespace carrel {
namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A hidden name beside `path` that nobody else picks.
Result<std::string> temporary_name(const std::string& path) {
  uint64_t random = 0;
  CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(&random, 1))));
  char suffix[40];
  std::snprintf(suffix, sizeof suffix, "/.carrel-%016llx.tmp",
                static_cast<unsigned long long>(random));
  return folder_of(path) + suffix;
}

// The file a symbolic link leads to; `path` itself where that does not exist.
std::string resolve(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) != nullptr ? std::string(resolved) : path;
}

Error io_error(const char* action, const std::string& path, int code) {
  return Error(ErrorCode::kIo, "cannot %s %s: %s", action, path.c_str(), std::strerror(code));
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

Error AtomicFile::failure(const char* action) const { return io_error(action, path_, errno); }

Result<AtomicFile> AtomicFile::create(const std::string& path, WriteMode mode,
                                      uint32_t permissions) {
  AtomicFile file;
  file.mode_ = mode;
  file.path_ = mode == WriteMode::kReplace ? resolve(path) : path;
  struct stat existing;
  if (lstat(file.path_.c_str(), &existing) == 0) {
    if (mode == WriteMode::kCreate) return io_error("create", path, EEXIST);
    if (S_ISDIR(existing.st_mode)) return io_error("write", path, EISDIR);
    if (!S_ISREG(existing.st_mode)) {
      file.fd_ = open(file.path_.c_str(), O_WRONLY | O_CLOEXEC);
      file.state_ = State::kDirect;
      if (file.fd_ < 0) return file.failure("write");
      return file;
    }
    // Replacing needs the folder's permission only; a read-only file is meant to stay.
    if (access(file.path_.c_str(), W_OK) != 0) return file.failure("write");
  }
  CARREL_ASSIGN(file.temporary_, temporary_name(file.path_));
  file.fd_ = open(folder_of(file.path_).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, permissions);
  file.state_ = State::kNameless;
  if (file.fd_ < 0) {  // a file system without O_TMPFILE
    file.fd_ = open(file.temporary_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, permissions);
    file.state_ = State::kNamed;
  }
  if (file.fd_ < 0) {
    file.state_ = State::kDone;
    return file.failure("write");
  }
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)),
      state_(std::exchange(other.state_, State::kDone)),
      mode_(other.mode_) {}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (state_ == State::kNamed) unlink(temporary_.c_str());
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  if (!write_all(fd_, bytes)) return failure("write");
  return ok_status();
}

Status AtomicFile::publish() {
  if (state_ == State::kNameless) {
    char self[64];
    std::snprintf(self, sizeof self, "/proc/self/fd/%d", fd_);
    const bool create = mode_ == WriteMode::kCreate;
    const char* name = create ? path_.c_str() : temporary_.c_str();
    if (linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) != 0) return failure("write");
    state_ = create ? State::kDone : State::kNamed;
  }
  if (state_ != State::kNamed) return ok_status();
  // link(2) fails where the name exists, rename(2) replaces it.
  if (mode_ == WriteMode::kCreate) {
    if (link(temporary_.c_str(), path_.c_str()) != 0) return failure("create");
    unlink(temporary_.c_str());
  } else if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    return failure("write");
  }
  state_ = State::kDone;
  return ok_status();
}

Status AtomicFile::commit() {
  CARREL_CHECK(fd_ >= 0);
  if (state_ != State::kDirect) {
    if (fsync(fd_) != 0) return failure("write");
    CARREL_RETURN_IF_ERROR(publish());
  }
  // Some file systems report a full disk here.
  if (close(std::exchange(fd_, -1)) != 0) return failure("write");
  return ok_status();
}

Status write_file(const std::string& path, std::span<const std::byte> bytes, WriteMode mode,
                  uint32_t permissions) {
  CARREL_ASSIGN(AtomicFile file, AtomicFile::create(path, mode, permissions));
  CARREL_RETURN_IF_ERROR(file.write(bytes));
  return file.commit();
}

Result<std::vector<std::byte>> read_file(const std::string& path, uint64_t max_bytes) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat about;
  if (file.get() < 0 || fstat(file.get(), &about) != 0) return io_error("read", path, errno);
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
    if (n < 0) return io_error("read", path, errno);
    if (n == 0) {
      bytes.resize(used);
      return bytes;
    }
    used += static_cast<size_t>(n);
  }
  return Error(ErrorCode::kInvalidInput, "%s is larger than the %llu bytes allowed", path.c_str(),
               static_cast<unsigned long long>(max_bytes));
}

}  // namespace carrel
