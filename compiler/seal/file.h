#pragma once
// Files of this room: hostile ones read by range, new ones that appear whole or not at all.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace carrel {

// A regular file, opened read-only; its size is taken once.
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

// Bytes on their way to `path`. Until commit() they have no name where the file system allows that (O_TMPFILE), else a
// temporary one beside `path`; so a program that dies leaves what was at `path` before. Errors: kIo.
class OutputFile {
 public:
  static Result<OutputFile> create(const std::string& path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();  // drops what was not committed

  // Appends.
  Status write(std::span<const std::byte> bytes);
  Status write_zeros(uint64_t bytes);
  // Overwrites what was written before.
  Status write_at(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t position() const { return position_; }
  // Flushes to the device and moves to `path`, replacing what is there.
  Status commit();

 private:
  OutputFile(int fd, std::string path, std::string temporary)
      : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}
  Status give_name();
  int fd_;
  uint64_t position_ = 0;
  std::string path_;
  std::string temporary_;  // empty: the file has no name yet
};

// The temporary name in use, or an empty string: what a handler of Ctrl-C removes. Async-signal-safe.
const char* pending_output_path();

}  // namespace carrel
