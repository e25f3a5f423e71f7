#pragma once
// Whole files in and out. An output appears under its name complete or not at all.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace carrel {

// Replace: an existing file is replaced in one step. Create: an existing file is an error (kIo) and
// stays as it is.
enum class WriteMode : uint8_t { kReplace, kCreate };

// A file being written beside its destination. Where the file system can, it has no name until
// commit(), so that not even a killed process leaves a partial file. A destination that exists and
// is not a regular file (/dev/stdout) is written directly; a symbolic link is followed. Not thread
// safe. Errors everywhere: kIo with the path and the operating system's reason.
class AtomicFile {
 public:
  // permissions: as of open(2), before the umask.
  static Result<AtomicFile> create(const std::string& path, WriteMode mode = WriteMode::kReplace,
                                   uint32_t permissions = 0666);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();  // without a commit: nothing remains

  Status write(std::span<const std::byte> bytes);
  // Flushes to the device and gives the file its name. Once.
  Status commit();

 private:
  enum class State : uint8_t { kNameless, kNamed, kDirect, kDone };
  AtomicFile() = default;
  Error failure(const char* action) const;
  Status publish();

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  State state_ = State::kDone;
  WriteMode mode_ = WriteMode::kReplace;
};

// create, write, commit.
Status write_file(const std::string& path, std::span<const std::byte> bytes,
                  WriteMode mode = WriteMode::kReplace, uint32_t permissions = 0666);

// Errors: kIo, kInvalidInput if the file has more than max_bytes. Pipes are read to their end.
Result<std::vector<std::byte>> read_file(const std::string& path, uint64_t max_bytes);

}  // namespace carrel
