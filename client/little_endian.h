#pragma once
// Numbers in files, at any alignment.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace carrel {

// The caller has checked that sizeof(T) bytes are there.
template <typename T>
T load_le(const std::byte* bytes) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <typename T>
void append_le(std::vector<std::byte>* out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out->insert(out->end(), bytes, bytes + sizeof value);
}

}  // namespace carrel
