#include "compiler/seal/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "engine/crypto/hash.h"

namespace carrel {
namespace {

constexpr size_t kPathBytes = 4096;  // PATH_MAX
// Zero-terminated at every moment: the first byte is written last and cleared first.
char g_pending_path[kPathBytes];

void set_pending_path(const std::string& path) {
  g_pending_path[0] = '\0';
  if (path.empty() || path.size() >= kPathBytes) return;
  std::memcpy(g_pending_path + 1, path.c_str() + 1, path.size());
  g_pending_path[0] = path[0];
}

Error io_error(const char* what, const std::string& path) {
  return Error(ErrorCode::kIo, "%s: %s: %s", path.c_str(), what, std::strerror(errno));
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<std::string> temporary_name(const std::string& path) {
  uint32_t number = 0;
  CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(&number, 1))));
  char suffix[16];
  std::snprintf(suffix, sizeof(suffix), ".%08x.tmp", number);
  return path + suffix;
}

// What open() would have made of 0666, for files that get their mode before their name.
mode_t usual_mode() {
  const mode_t mask = umask(022);
  umask(mask);
  return 0666 & ~mask;
}

}  // namespace

Result<InputFile> InputFile::open(const std::string& path) {
  // O_NONBLOCK: a pipe given by mistake is refused below and does not hang here.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return io_error("cannot be read", path);
  InputFile file(fd, 0);
  struct stat info;
  if (fstat(fd, &info) != 0) return io_error("cannot be read", path);
  if (!S_ISREG(info.st_mode)) return Error(ErrorCode::kIo, "%s: not a regular file", path.c_str());
  file.size_bytes_ = static_cast<uint64_t>(info.st_size);
  return file;
}

InputFile::InputFile(InputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_bytes_(other.size_bytes_) {}

InputFile::~InputFile() {
  if (fd_ >= 0) close(fd_);
}

Status InputFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error(ErrorCode::kIo, "cannot be read: %s", std::strerror(errno));
    if (got == 0) return Error(ErrorCode::kAuthentication, "truncated at byte %lu", offset);
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return ok_status();
}

Result<OutputFile> OutputFile::create(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return Error(ErrorCode::kIo, "%s: exists and is not a regular file", path.c_str());
  }
  int fd = ::open(folder_of(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return OutputFile(fd, path, "");
  CARREL_ASSIGN(std::string temporary, temporary_name(path));
  fd = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return io_error("cannot be written", path);
  set_pending_path(temporary);
  return OutputFile(fd, path, std::move(temporary));
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      position_(other.position_),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, "")) {}

OutputFile::~OutputFile() {
  if (fd_ >= 0) close(fd_);
  if (temporary_.empty()) return;
  unlink(temporary_.c_str());
  set_pending_path("");
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  CARREL_RETURN_IF_ERROR(write_at(position_, bytes));
  position_ += bytes.size();
  return ok_status();
}

Status OutputFile::write_zeros(uint64_t bytes) {
  const std::vector<std::byte> zeros(bytes);
  return write(zeros);
}

Status OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return io_error("cannot be written", path_);
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
  return ok_status();
}

// linkat() cannot replace a file, so the name comes in two steps.
Status OutputFile::give_name() {
  if (!temporary_.empty()) return ok_status();
  CARREL_ASSIGN(std::string temporary, temporary_name(path_));
  const std::string self = "/proc/self/fd/" + std::to_string(fd_);
  if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, temporary.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    return io_error("cannot be written", path_);
  }
  temporary_ = std::move(temporary);
  set_pending_path(temporary_);
  return ok_status();
}

Status OutputFile::commit() {
  if (fchmod(fd_, usual_mode()) != 0 || fsync(fd_) != 0) return io_error("cannot be written", path_);
  CARREL_RETURN_IF_ERROR(give_name());
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return io_error("cannot be written", path_);
  temporary_.clear();
  set_pending_path("");
  return ok_status();
}

const char* pending_output_path() { return g_pending_path; }

}  // namespace carrel
