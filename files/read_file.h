#pragma once
// A whole file in.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace carrel {

// Errors, without the path, which the caller knows: kIo, kInvalidInput if the file has more than
// max_bytes. Pipes are read to their end.
Result<std::vector<std::byte>> read_file(const std::string& path, uint64_t max_bytes);

}  // namespace carrel
