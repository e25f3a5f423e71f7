#include "compiler/onnx/external_data.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <memory>

#include "base/checked.h"
#include "compiler/onnx/names.h"
#include "files/descriptor.h"

namespace carrel {
namespace {

struct Location {
  std::string path;
  uint64_t offset = 0;
  bool has_length = false;
  uint64_t length = 0;
};

bool parse_number(const std::string& text, uint64_t* number) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && stop == end && !text.empty();
}

Result<Location> read_location(const onnx::TensorProto& proto, const std::string& name) {
  Location location;
  for (const onnx::StringStringEntryProto& entry : proto.external_data()) {
    bool good = true;
    if (entry.key() == "location") location.path = entry.value();
    if (entry.key() == "offset") good = parse_number(entry.value(), &location.offset);
    if (entry.key() == "length") {
      good = parse_number(entry.value(), &location.length);
      location.has_length = true;
    }
    if (!good) {
      return Error(ErrorCode::kInvalidInput, "tensor %s: external %s is not a number", name.c_str(),
                   printable(entry.key()).c_str());
    }
  }
  return location;
}

bool has_parent_step(const std::string& path) {
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    if (path.compare(start, end - start, "..") == 0) return true;
    start = end + 1;
  }
  return false;
}

std::string real_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), std::free);
  return real ? std::string(real.get()) : std::string();
}

// The file's path with links resolved, inside `folder`.
Result<std::string> resolve(const std::string& path, const std::string& folder,
                            const std::string& name) {
  const std::string shown = printable(path);
  if (path.empty() || path[0] == '/' || has_parent_step(path) ||
      path.find('\0') != std::string::npos) {
    return Error(ErrorCode::kInvalidInput,
                 "tensor %s: external file '%s' is outside the model's folder", name.c_str(),
                 shown.c_str());
  }
  std::string base = real_path(folder.empty() ? "." : folder);
  const std::string file = real_path((folder.empty() ? "." : folder) + "/" + path);
  if (base.empty() || file.empty()) {
    return Error(ErrorCode::kInvalidInput, "tensor %s: external file '%s' is missing", name.c_str(),
                 shown.c_str());
  }
  if (base.back() != '/') base += '/';
  if (file.compare(0, base.size(), base) != 0) {
    return Error(ErrorCode::kInvalidInput,
                 "tensor %s: external file '%s' leads outside the model's folder", name.c_str(),
                 shown.c_str());
  }
  return file;
}

Status read_all(int fd, uint64_t offset, std::vector<std::byte>* data) {
  size_t done = 0;
  while (done < data->size()) {
    const ssize_t got =
        pread(fd, data->data() + done, data->size() - done, static_cast<off_t>(offset + done));
    if (got <= 0) return Error(ErrorCode::kIo, "reading failed");
    done += static_cast<size_t>(got);
  }
  return ok_status();
}

}  // namespace

Result<std::vector<std::byte>> read_external_data(const onnx::TensorProto& proto,
                                                  const std::string& folder, uint64_t bytes) {
  const std::string name = printable(proto.name());
  CARREL_ASSIGN(const Location location, read_location(proto, name));
  if (location.has_length && location.length != bytes) {
    return Error(ErrorCode::kInvalidInput,
                 "tensor %s: external length is %llu bytes, its shape needs %llu", name.c_str(),
                 static_cast<unsigned long long>(location.length),
                 static_cast<unsigned long long>(bytes));
  }
  CARREL_ASSIGN(const std::string path, resolve(location.path, folder, name));
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return Error(ErrorCode::kInvalidInput, "tensor %s: external file '%s' cannot be read",
                 name.c_str(), printable(location.path).c_str());
  }
  if (!in_range(location.offset, bytes, static_cast<uint64_t>(status.st_size))) {
    return Error(ErrorCode::kInvalidInput, "tensor %s: external file '%s' is too short",
                 name.c_str(), printable(location.path).c_str());
  }
  std::vector<std::byte> data(bytes);
  if (!read_all(file.get(), location.offset, &data).ok()) {
    return Error(ErrorCode::kInvalidInput, "tensor %s: external file '%s' cannot be read",
                 name.c_str(), printable(location.path).c_str());
  }
  return data;
}

}  // namespace carrel
