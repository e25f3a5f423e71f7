#include "files/atomic_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace carrel {
namespace {

// Zero-terminated at every moment: the first byte is written last and cleared first.
char g_pending_path[PATH_MAX];

void set_pending_path(const std::string& path) {
  g_pending_path[0] = '\0';
  if (path.empty() || path.size() >= sizeof g_pending_path) return;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::memcpy(g_pending_path + 1, path.c_str() + 1, path.size());
  std::atomic_signal_fence(std::memory_order_seq_cst);
  g_pending_path[0] = path[0];
}

Error failure(const char* action, int code = errno) {
  return Error(ErrorCode::kIo, "cannot be %s: %s", action, std::strerror(code));
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A hidden name beside `path` that nobody else picks.
Result<std::string> temporary_name(const std::string& path) {
  uint64_t random = 0;
  if (getentropy(&random, sizeof random) != 0) return failure("written");
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

// Replacing needs the folder's permission only; but a read-only file is meant to stay.
Status check_replaceable(const std::string& path, const struct stat& existing) {
  if (S_ISDIR(existing.st_mode)) return failure("written", EISDIR);
  if (!S_ISREG(existing.st_mode)) {
    return Error(ErrorCode::kIo, "cannot be written: it exists and is not a regular file");
  }
  if (access(path.c_str(), W_OK) != 0) return failure("written");
  return ok_status();
}

}  // namespace

Status AtomicFile::open_temporary(uint32_t permissions) {
  CARREL_ASSIGN(temporary_, temporary_name(path_));
  fd_ = open(folder_of(path_).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, permissions);
  if (fd_ >= 0) {
    state_ = State::kNameless;
    return ok_status();
  }
  set_pending_path(temporary_);
  fd_ = open(temporary_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, permissions);
  if (fd_ >= 0) {
    state_ = State::kNamed;
    return ok_status();
  }
  const int code = errno;
  set_pending_path("");
  return failure("written", code);
}

Result<AtomicFile> AtomicFile::create(const std::string& path, WriteMode mode,
                                      uint32_t permissions) {
  if (path.empty()) return failure("written", ENOENT);
  AtomicFile file;
  file.mode_ = mode;
  file.path_ = mode == WriteMode::kReplace ? resolve(path) : path;
  struct stat existing;
  const bool exists = lstat(file.path_.c_str(), &existing) == 0;
  if (!exists && errno != ENOENT) return failure("written");
  if (exists && mode == WriteMode::kCreate) return failure("created", EEXIST);
  if (exists) CARREL_RETURN_IF_ERROR(check_replaceable(file.path_, existing));
  CARREL_RETURN_IF_ERROR(file.open_temporary(permissions));
  if (exists && fchmod(file.fd_, existing.st_mode & 0777) != 0) return failure("written");
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)),
      position_(other.position_),
      state_(std::exchange(other.state_, State::kDone)),
      mode_(other.mode_) {}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (state_ == State::kNamed) unlink(temporary_.c_str());
  if (state_ != State::kDone) set_pending_path("");
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  CARREL_RETURN_IF_ERROR(write_at(position_, bytes));
  position_ += bytes.size();
  return ok_status();
}

Status AtomicFile::write_zeros(uint64_t bytes) { return write(std::vector<std::byte>(bytes)); }

Status AtomicFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failure("written");
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return ok_status();
}

// linkat(2) cannot replace a file, so that takes a name for a moment.
Status AtomicFile::publish() {
  const bool create = mode_ == WriteMode::kCreate;
  if (state_ == State::kNameless) {
    const std::string self = "/proc/self/fd/" + std::to_string(fd_);
    const std::string& name = create ? path_ : temporary_;
    if (!create) set_pending_path(temporary_);
    if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return failure(create ? "created" : "written");
    }
    state_ = create ? State::kDone : State::kNamed;
  }
  if (state_ == State::kDone) return ok_status();
  // link(2) fails where the name exists, rename(2) replaces it.
  if (create) {
    if (link(temporary_.c_str(), path_.c_str()) != 0) return failure("created");
    unlink(temporary_.c_str());
  } else if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    return failure("written");
  }
  state_ = State::kDone;
  set_pending_path("");
  return ok_status();
}

Status AtomicFile::commit() {
  CARREL_CHECK(fd_ >= 0);
  if (fsync(fd_) != 0) return failure("written");
  CARREL_RETURN_IF_ERROR(publish());
  // Some file systems report a full disk here.
  if (close(std::exchange(fd_, -1)) != 0) return failure("written");
  return ok_status();
}

Status write_file(const std::string& path, std::span<const std::byte> bytes, WriteMode mode,
                  uint32_t permissions) {
  CARREL_ASSIGN(AtomicFile file, AtomicFile::create(path, mode, permissions));
  CARREL_RETURN_IF_ERROR(file.write(bytes));
  return file.commit();
}

const char* pending_output_path() { return g_pending_path; }

}  // namespace carrel
