#pragma once
// A hostile file, read by range.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace carrel {

// A regular file, opened read-only; its size is taken once. Errors do not name the path, which the caller knows.
class InputFile {
 public:
  static Result<InputFile> open(const std::string& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  uint64_t size_bytes() const { return size_bytes_; }
  // Fills `out` from `offset`. kAuthentication if the file has become shorter, kIo if it cannot be read.
  Status read_at(uint64_t offset, std::span<std::byte> out) const;

 private:
  InputFile(int fd, uint64_t size_bytes) : fd_(fd), size_bytes_(size_bytes) {}
  int fd_;
  uint64_t size_bytes_;
};

}  // namespace carrel
