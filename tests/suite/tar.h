#pragma once
// Just enough of the tar format (POSIX ustar) to read a data set.
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace carrel::suite {

struct TarEntry {
  std::string name;
  std::span<const std::byte> bytes;  // inside the archive
};

// The archive's regular files, in its order; other entries are passed over. Errors: kInvalidInput.
Result<std::vector<TarEntry>> read_tar(std::span<const std::byte> archive);

}  // namespace carrel::suite
