#include <png.h>

#include "base/checked.h"
#include "client/decoders.h"

namespace carrel {
namespace {

// Frees what libpng holds on every way out.
struct Reader {
  png_image image{};
  Reader() { image.version = PNG_IMAGE_VERSION; }
  ~Reader() { png_image_free(&image); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  Error error() const {
    return Error(ErrorCode::kInvalidInput, "the PNG cannot be decoded: %s", image.message);
  }
};

// RGBA to RGB in place.
void drop_alpha(std::vector<uint8_t>* pixels) {
  const size_t count = pixels->size() / 4;
  for (size_t i = 0; i < count; ++i) {
    for (size_t c = 0; c < 3; ++c) (*pixels)[3 * i + c] = (*pixels)[4 * i + c];
  }
  pixels->resize(3 * count);
}

}  // namespace

Status check_picture_size(uint64_t width, uint64_t height, uint64_t max_pixels) {
  uint64_t pixels = 0;
  if (width == 0 || height == 0 || !checked_mul(width, height, &pixels) || pixels > max_pixels) {
    return Error(ErrorCode::kInvalidInput,
                 "a picture of %llu x %llu pixels; at most %llu are allowed",
                 static_cast<unsigned long long>(width), static_cast<unsigned long long>(height),
                 static_cast<unsigned long long>(max_pixels));
  }
  return ok_status();
}

Result<Image> decode_png(std::span<const std::byte> bytes, uint64_t max_pixels) {
  Reader reader;
  if (!png_image_begin_read_from_memory(&reader.image, bytes.data(), bytes.size())) {
    return reader.error();
  }
  CARREL_RETURN_IF_ERROR(check_picture_size(reader.image.width, reader.image.height, max_pixels));
  // 16-bit files are taken to be sRGB like 8-bit ones, not linear.
  reader.image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  reader.image.format = PNG_FORMAT_RGBA;
  Image image{reader.image.height, reader.image.width, {}};
  image.rgb.resize(static_cast<size_t>(image.height * image.width) * 4);
  if (!png_image_finish_read(&reader.image, nullptr, image.rgb.data(), 0, nullptr)) {
    return reader.error();
  }
  drop_alpha(&image.rgb);
  return image;
}

}  // namespace carrel
