#include "apps/cli/check_outputs.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <tuple>

#include "apps/cli/cli.h"
#include "client/keys.h"
#include "files/atomic_file.h"

namespace carrel::cli {
namespace {

// A file whatever its names: device and inode; of one that does not exist yet its folder's, and its name there.
using FileId = std::tuple<dev_t, ino_t, std::string>;

std::optional<FileId> file_id(const std::filesystem::path& path) {
  struct stat about;
  if (stat(path.c_str(), &about) == 0) return FileId(about.st_dev, about.st_ino, "");
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (stat(folder.c_str(), &about) == 0) return FileId(about.st_dev, about.st_ino, path.filename());
  return std::nullopt;
}

bool is_among(const std::string& path, const std::vector<std::string>& others) {
  const std::optional<FileId> id = file_id(path);
  return id && std::any_of(others.begin(), others.end(), [&](const std::string& other) { return file_id(other) == id; });
}

}  // namespace

void check_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs) {
  std::vector<std::string> earlier;
  for (const std::string& path : outputs) {
    if (path.empty()) continue;
    if (begins_as_key_file(path)) fail(path + ": it is a key file, which is never overwritten; choose another output");
    if (is_among(path, inputs)) fail(path + ": the command reads this file, so it cannot be the output too");
    if (is_among(path, earlier)) fail(path + ": two outputs cannot be one file");
    const Result<AtomicFile> probe = AtomicFile::create(path);
    if (!probe.ok()) fail(probe.error(), path);
    earlier.push_back(path);
  }
}

}  // namespace carrel::cli
