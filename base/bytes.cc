#include "base/bytes.h"

#include "base/checked.h"
#include "base/format.h"

namespace carrel {
namespace {

void print(char* buffer, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  format_message(buffer, 32, format, arguments);
  va_end(arguments);
}

}  // namespace

Result<uint64_t> parse_bytes(std::string_view text) {
  const Error bad(ErrorCode::kInvalidInput, "'%.*s' is not a size; write e.g. 16MiB, 512KiB or 1GiB",
                  static_cast<int>(text.size()), text.data());
  uint64_t value = 0;
  size_t digits = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    if (!checked_mul(value, 10, &value)) return bad;
    if (!checked_add(value, static_cast<uint64_t>(text[digits] - '0'), &value)) return bad;
  }
  if (digits == 0) return bad;
  std::string_view unit = text;
  unit.remove_prefix(digits);
  uint64_t factor = 0;
  if (unit.empty() || unit == "B") factor = 1;
  if (unit == "KiB") factor = kKiB;
  if (unit == "MiB") factor = kMiB;
  if (unit == "GiB") factor = kGiB;
  if (factor == 0 || !checked_mul(value, factor, &value)) return bad;
  return value;
}

const char* format_bytes(uint64_t bytes, char* buffer) {
  if (bytes < kKiB) {
    print(buffer, "%lu B", bytes);
    return buffer;
  }
  const uint64_t unit = bytes < kMiB ? kKiB : bytes < kGiB ? kMiB : kGiB;
  const uint64_t hundredths = (bytes % unit) * 100 / unit;
  const char* name = unit == kKiB ? "KiB" : unit == kMiB ? "MiB" : "GiB";
  print(buffer, "%lu.%lu%lu %s", bytes / unit, hundredths / 10, hundredths % 10, name);
  return buffer;
}

}  // namespace carrel
