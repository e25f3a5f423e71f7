// Pictures: the first byte is one of the picture's own.
#include "client/images.h"

namespace {
constexpr uint64_t kMaxFuzzPixels = 1 << 18;  // keeps a run short
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const carrel::Result<carrel::Image> image = carrel::decode_image(bytes, kMaxFuzzPixels);
  if (!image.ok()) return 0;
  carrel::PreprocessOptions options;
  options.height = 1 + static_cast<int64_t>(size % 64);
  options.width = 1 + static_cast<int64_t>(size / 64 % 64);
  const auto values = carrel::preprocess(*image, options);
  CARREL_CHECK(values.ok());
  CARREL_CHECK(values->size() == static_cast<size_t>(3 * options.height * options.width));
  return 0;
}
