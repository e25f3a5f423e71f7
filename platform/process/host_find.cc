#include "platform/process/host_find.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

namespace carrel {
namespace {

namespace fs = std::filesystem;

// Empty where the kernel does not say: the current directory may be anyone's.
fs::path own_folder() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0 || length == static_cast<ssize_t>(sizeof(path)) || path[0] != '/') return {};
  return fs::path(std::string(path, static_cast<size_t>(length))).parent_path();
}

// Who could replace this program itself could have its keys anyway.
bool is_trusted(uid_t user) {
  struct stat own {};
  return user == 0 || user == geteuid() ||
         (stat("/proc/self/exe", &own) == 0 && user == own.st_uid);
}

bool others_may_write(const struct stat& status) {
  if (S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX)) return false;
  const bool private_group = status.st_gid == status.st_uid;
  return (status.st_mode & S_IWOTH) || ((status.st_mode & S_IWGRP) && !private_group);
}

Status check_place(const struct stat& status, const std::string& place) {
  if (!is_trusted(status.st_uid)) {
    return Error(ErrorCode::kPlatform,
                 "no keys for a trusted process of another user: %s belongs to user %u",
                 place.c_str(), status.st_uid);
  }
  if (others_may_write(status)) {
    return Error(ErrorCode::kPlatform,
                 "no keys for a trusted process that others may replace: chmod go-w %s",
                 place.c_str());
  }
  return ok_status();
}

bool holds_this_program(const fs::path& folder) {
  const fs::path own = own_folder();
  return std::mismatch(folder.begin(), folder.end(), own.begin(), own.end()).first == folder.end();
}

Status check_folders(fs::path folder) {
  for (;; folder = folder.parent_path()) {
    struct stat status {};
    if (lstat(folder.c_str(), &status) != 0)
      return Error(ErrorCode::kIo, "%s: %s", folder.c_str(), strerror(errno));
    CARREL_RETURN_IF_ERROR(check_place(status, folder));
    const bool top = folder == folder.parent_path();
    if (top || holds_this_program(folder.parent_path())) return ok_status();
  }
}

Result<EnclaveFile> open_enclave(const std::string& place) {
  std::error_code missing;
  const fs::path path = fs::canonical(place, missing);
  EnclaveFile file{path, OwnedFd(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC))};
  struct stat status {};
  const bool found = file.fd.get() >= 0 && fstat(file.fd.get(), &status) == 0;
  if (!found || !S_ISREG(status.st_mode) || access(path.c_str(), X_OK) != 0)
    return Error(ErrorCode::kIo, "no trusted process at %s", place.c_str());
  CARREL_RETURN_IF_ERROR(check_place(status, path));
  CARREL_RETURN_IF_ERROR(check_folders(path.parent_path()));
  return file;
}

std::vector<fs::path> enclave_places() {
  std::vector<fs::path> places;
  if (const fs::path folder = own_folder(); !folder.empty()) {
    places = {folder / "../libexec/carrel/carrel-enclave",        // installed: bin/ beside libexec/
              folder / "carrel-enclave",                          // everything in one folder
              folder / "../platform/process/carrel-enclave",      // build tree: from tests/, bench/
              folder / "../../platform/process/carrel-enclave"};  // and from apps/cli/
  }
  places.push_back(CARREL_LIBEXEC_DIR "/carrel-enclave");  // for programs that embed the library
  return places;
}

}  // namespace

Result<EnclaveFile> find_enclave(const std::string& wanted) {
  if (!wanted.empty()) return open_enclave(wanted);
  std::string tried;
  Status refused = ok_status();
  for (const fs::path& place : enclave_places()) {
    Result<EnclaveFile> file = open_enclave(place);
    if (file.ok()) return file;
    if (file.error().code() == ErrorCode::kPlatform && refused.ok()) refused = file.error();
    tried += (tried.empty() ? "" : ", ") + place.string();
  }
  if (!refused.ok()) return refused.error();
  return Error(ErrorCode::kIo, "carrel-enclave not found; looked at %s", tried.c_str());
}

}  // namespace carrel
