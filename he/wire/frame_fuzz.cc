// A frame's header.
#include <cstring>

#include "he/wire/frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::byte bytes[carrel::he::kHeaderBytes] = {}, again[carrel::he::kHeaderBytes];
  std::memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
  const auto header = carrel::he::parse_header(bytes);
  if (!header.ok()) return 0;
  carrel::he::encode_header(*header, again);
  if (std::memcmp(bytes, again, sizeof bytes) != 0) __builtin_trap();
  return 0;
}
