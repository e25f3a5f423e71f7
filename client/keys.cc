#include "client/keys.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "base/wipe.h"
#include "engine/crypto/hash.h"
#include "files/atomic_file.h"

namespace carrel {
namespace {

constexpr char kMagic[] = "carrel-key-v1 ";
constexpr size_t kMagicBytes = sizeof kMagic - 1;
constexpr size_t kTextBytes = kMagicBytes + 2 * kKeyBytes;

// 0 to 15, or -1. Branch-free, so that timing does not tell digits apart.
int hex_digit(unsigned char c) {
  const int digit = c - '0';
  const int letter = (c | 0x20) - 'a';
  const int is_digit = -static_cast<int>(static_cast<unsigned>(digit) < 10u);
  const int is_letter = -static_cast<int>(static_cast<unsigned>(letter) < 6u);
  return (is_digit & digit) | (is_letter & (letter + 10)) | ~(is_digit | is_letter);
}

char hex_char(unsigned digit) {
  return static_cast<char>('0' + digit + (('a' - '0' - 10) & -static_cast<unsigned>(digit > 9)));
}

Error not_readable(int code) {
  return Error(ErrorCode::kIo, "the key file cannot be read: %s", std::strerror(code));
}

// `text` with an optional line end.
bool parse_key(const char* text, size_t count, SecretKey* key) {
  if (count > 0 && text[count - 1] == '\n') --count;
  if (count > 0 && text[count - 1] == '\r') --count;
  if (count != kTextBytes || std::memcmp(text, kMagic, kMagicBytes) != 0) return false;
  int bad = 0;
  for (size_t i = 0; i < kKeyBytes; ++i) {
    const int high = hex_digit(static_cast<unsigned char>(text[kMagicBytes + 2 * i]));
    const int low = hex_digit(static_cast<unsigned char>(text[kMagicBytes + 2 * i + 1]));
    bad |= high | low;
    key->bytes[i] = static_cast<uint8_t>((high & 15) << 4 | (low & 15));
  }
  return bad >= 0;
}

}  // namespace

Status create_key_file(const std::string& path) {
  Wiped<SecretKey> key;
  CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(key.value.bytes))));
  Wiped<char[kTextBytes + 1]> text;
  std::memcpy(text.value, kMagic, kMagicBytes);
  for (size_t i = 0; i < kKeyBytes; ++i) {
    text.value[kMagicBytes + 2 * i] = hex_char(key.value.bytes[i] >> 4);
    text.value[kMagicBytes + 2 * i + 1] = hex_char(key.value.bytes[i] & 15u);
  }
  text.value[kTextBytes] = '\n';
  return write_file(path, std::as_bytes(std::span(text.value)), WriteMode::kCreate, 0600);
}

Result<LoadedKey> read_key_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about;
  if (fd < 0 || fstat(fd, &about) != 0) {
    const int code = errno;
    if (fd >= 0) close(fd);
    return not_readable(code);
  }
  Wiped<char[kTextBytes + 3]> text;  // one byte more than the longest valid file
  size_t count = 0;
  ssize_t n = 0;
  while (count < sizeof text.value &&
         (n = read(fd, text.value + count, sizeof text.value - count)) > 0) {
    count += static_cast<size_t>(n);
  }
  const int code = errno;
  close(fd);
  if (n < 0) return not_readable(code);
  Wiped<LoadedKey> loaded;
  if (!parse_key(text.value, count, &loaded.value.key)) {
    return Error(ErrorCode::kInvalidInput,
                 "not a carrel key file (make one with `carrel keygen -o KEY`)");
  }
  loaded.value.readable_by_others = S_ISREG(about.st_mode) && (about.st_mode & 077) != 0;
  return loaded.value;
}

bool begins_as_key_file(const std::string& path) {
  char start[kMagicBytes];
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  const ssize_t n = read(fd, start, sizeof start);
  close(fd);
  return n == sizeof start && std::memcmp(start, kMagic, kMagicBytes) == 0;
}

}  // namespace carrel
