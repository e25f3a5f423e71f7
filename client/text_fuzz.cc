// The text files that people hand over: keys and labels.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string_view>

#include "client/keys.h"
#include "client/labels.h"

namespace {

// 0 to 15; `digit` is hexadecimal.
int digit_value(char digit) { return digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10; }

void check_key(std::string_view text, const carrel::SecretKey& key) {
  constexpr std::string_view kMagic = "carrel-key-v1 ";
  CARREL_CHECK(text.starts_with(kMagic));
  text.remove_prefix(kMagic.size());
  CARREL_CHECK(text.size() >= 2 * sizeof(key.bytes) && text.size() <= 2 * sizeof(key.bytes) + 2);
  for (size_t i = 0; i < sizeof(key.bytes); ++i) {
    CARREL_CHECK(std::isxdigit(text[2 * i]) && std::isxdigit(text[2 * i + 1]));
    CARREL_CHECK(key.bytes[i] == digit_value(text[2 * i]) * 16 + digit_value(text[2 * i + 1]));
  }
}

void check_labels(std::string_view text, const std::vector<std::string>& labels) {
  const auto line_ends = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  const bool unfinished = !text.empty() && text.back() != '\n';
  CARREL_CHECK(labels.size() == line_ends + unfinished);
  for (const std::string& label : labels) {
    for (char c : label) CARREL_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
    CARREL_CHECK(label.empty() || (label.front() != ' ' && label.back() != ' '));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("text", MFD_CLOEXEC);
  CARREL_CHECK(fd >= 0 && ftruncate(fd, 0) == 0);
  CARREL_CHECK(pwrite(fd, data, size, 0) == static_cast<ssize_t>(size));
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto key = carrel::read_key_file(path); key.ok()) check_key(text, key->key);
  const auto labels = carrel::read_labels(path);
  CARREL_CHECK(labels.ok());
  check_labels(text, *labels);
  return 0;
}
