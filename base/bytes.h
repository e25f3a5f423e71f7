#pragma once
// Byte units and SIZE arguments ("16MiB").
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace carrel {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

// "16MiB", "512KiB", "1GiB" or a plain count of bytes. Errors: kInvalidInput for anything else or overflow.
Result<uint64_t> parse_bytes(std::string_view text);

// Writes e.g. "3.95 MiB" into `buffer` (at least 32 bytes) and returns it.
const char* format_bytes(uint64_t bytes, char* buffer);

}  // namespace carrel
