#include "tests/suite/tar.h"

#include <algorithm>
#include <cstring>

namespace carrel::suite {
namespace {

constexpr size_t kBlockBytes = 512;
constexpr size_t kNameOffset = 0, kNameBytes = 100;
constexpr size_t kSizeOffset = 124, kSizeDigits = 12;
constexpr size_t kTypeOffset = 156;
constexpr size_t kPrefixOffset = 345, kPrefixBytes = 155;

std::string text(std::span<const std::byte> header, size_t offset, size_t bytes) {
  const char* begin = reinterpret_cast<const char*>(header.data()) + offset;
  return std::string(begin, strnlen(begin, bytes));
}

Result<uint64_t> octal(const std::string& digits) {
  uint64_t value = 0;
  for (char c : digits) {
    if (c == ' ') continue;
    if (c < '0' || c > '7') return Error(ErrorCode::kInvalidInput, "tar: a size is not octal");
    value = value * 8 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

}  // namespace

Result<std::vector<TarEntry>> read_tar(std::span<const std::byte> archive) {
  std::vector<TarEntry> entries;
  while (archive.size() >= kBlockBytes && archive[0] != std::byte{0}) {
    const std::span<const std::byte> header = archive.first(kBlockBytes);
    CARREL_ASSIGN(const uint64_t size, octal(text(header, kSizeOffset, kSizeDigits)));
    archive = archive.subspan(kBlockBytes);
    if (size > archive.size()) return Error(ErrorCode::kInvalidInput, "tar: truncated");
    const std::string prefix = text(header, kPrefixOffset, kPrefixBytes);
    const std::string name = text(header, kNameOffset, kNameBytes);
    const char type = static_cast<char>(header[kTypeOffset]);
    if (type == '0' || type == '\0') {
      entries.push_back({prefix.empty() ? name : prefix + "/" + name, archive.first(size)});
    }
    const size_t padded = (size + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    archive = archive.subspan(std::min(padded, archive.size()));
  }
  return entries;
}

}  // namespace carrel::suite
