#pragma once
// A file being written that appears under its name complete or not at all: the one writer of this tree.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace carrel {

// Replace: a regular file that exists is replaced in one step and keeps its permissions; a symbolic
// link keeps pointing to it. Create: an existing file is an error (kIo) and stays as it is.
enum class WriteMode : uint8_t { kReplace, kCreate };

// Where the file system can (O_TMPFILE), the file has no name until commit(), so that not even a
// killed process leaves a partial one; elsewhere it has a hidden name beside its destination, which
// pending_output_path() tells. A destination that is no regular file, or that may not be written, is
// refused by create(). One at a time. Errors everywhere: kIo with the operating system's reason,
// without the path, which the caller knows.
class AtomicFile {
 public:
  // permissions: of a new file, as of open(2), before the umask.
  static Result<AtomicFile> create(const std::string& path, WriteMode mode = WriteMode::kReplace,
                                   uint32_t permissions = 0666);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();  // without a commit: nothing remains

  // Appends.
  Status write(std::span<const std::byte> bytes);
  Status write_zeros(uint64_t bytes);
  // Overwrites what was written before.
  Status write_at(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t position() const { return position_; }
  // Flushes to the device and gives the file its name. Once.
  Status commit();

 private:
  enum class State : uint8_t { kNameless, kNamed, kDone };
  AtomicFile() = default;
  Status open_temporary(uint32_t permissions);
  Status publish();

  std::string path_;       // the destination, links resolved
  std::string temporary_;  // beside it; taken in kNamed
  int fd_ = -1;
  uint64_t position_ = 0;
  State state_ = State::kDone;
  WriteMode mode_ = WriteMode::kReplace;
};

// create, write, commit.
Status write_file(const std::string& path, std::span<const std::byte> bytes,
                  WriteMode mode = WriteMode::kReplace, uint32_t permissions = 0666);

// The hidden name that a file being written has at the moment, or an empty string: what a handler of
// Ctrl-C removes. Async-signal-safe.
const char* pending_output_path();

}  // namespace carrel
