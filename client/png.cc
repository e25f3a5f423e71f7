#include <png.h>

#include <algorithm>
#include <string_view>

#include "base/checked.h"
#include "client/decoders.h"

namespace carrel {
namespace {

// PNG specification, 5.2 and 5.3: a chunk is a length, a type, data and a checksum.
constexpr size_t kSignatureBytes = 8;
constexpr size_t kChunkOverhead = 12;
constexpr std::string_view kPixelChunks[] = {"IHDR", "PLTE", "tRNS", "IDAT", "IEND"};

uint32_t load_be32(const std::byte* bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint32_t>(bytes[i]);
  return value;
}

bool is_critical(std::string_view type) { return (type[0] & 0x20) == 0; }

// The same picture without the chunks that hold no pixels: a gAMA would change the values, and
// packed text or profiles cost time to unpack.
Result<std::vector<std::byte>> pixels_only(std::span<const std::byte> bytes) {
  std::vector<std::byte> kept(bytes.begin(), bytes.begin() + kSignatureBytes);
  for (bytes = bytes.subspan(kSignatureBytes);;) {
    if (bytes.size() < kChunkOverhead || load_be32(bytes.data()) > bytes.size() - kChunkOverhead) {
      return Error(ErrorCode::kInvalidInput, "the PNG is truncated");
    }
    const auto chunk = bytes.first(load_be32(bytes.data()) + kChunkOverhead);
    const std::string_view type(reinterpret_cast<const char*>(chunk.data()) + 4, 4);
    if (std::ranges::find(kPixelChunks, type) != std::end(kPixelChunks)) {
      kept.insert(kept.end(), chunk.begin(), chunk.end());
    } else if (is_critical(type)) {
      return Error(ErrorCode::kInvalidInput, "the PNG has a chunk of an unknown kind");
    }
    if (type == "IEND") return kept;
    bytes = bytes.subspan(chunk.size());
  }
}

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
  CARREL_ASSIGN(const std::vector<std::byte> kept, pixels_only(bytes));
  Reader reader;
  if (!png_image_begin_read_from_memory(&reader.image, kept.data(), kept.size())) {
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
