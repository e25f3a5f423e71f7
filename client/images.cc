#include "client/images.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "client/decoders.h"
#include "client/resample.h"

namespace carrel {
namespace {

constexpr std::string_view kJpegMagic = "\xff\xd8\xff";
constexpr std::string_view kPngMagic = "\x89PNG\r\n\x1a\n";
// The bytes of a file are in memory beside its pixels.
constexpr uint64_t kMaxFileBytes = uint64_t{512} << 20;
constexpr int64_t kMaxSide = 8192;

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())
      .starts_with(magic);
}

Status check_options(const PreprocessOptions& options) {
  const auto bad = [](const char* what) { return Error(ErrorCode::kInvalidInput, "%s", what); };
  if (options.height < 1 || options.width < 1 || options.height > kMaxSide ||
      options.width > kMaxSide) {
    return bad("the picture size must be between 1 and 8192 in each direction");
  }
  if (!(options.crop_fraction >= 0.01 && options.crop_fraction <= 1)) {
    return bad("the crop must keep between 0.01 and 1 of the picture");
  }
  if (options.scale == 0) return bad("a scale of 0");
  bool finite = std::isfinite(options.scale);
  for (int c = 0; c < 3; ++c) {
    finite = finite && std::isfinite(options.mean[c]) && std::isfinite(options.std[c]);
    if (options.std[c] == 0) return bad("a standard deviation of 0");
  }
  return finite ? ok_status() : Status(bad("scale, mean and std must be finite"));
}

// The length of the other side when `side` becomes `target`: torchvision's rule, rounded down.
int64_t other_side(int64_t other, int64_t side, int64_t target) {
  return std::max<int64_t>(target * other / side, 1);
}

// torchvision's Resize (of the side that needs more) and CenterCrop.
ResampleWindow crop_window(const Image& image, const PreprocessOptions& options) {
  const auto enlarged = [&](int64_t target) {
    return std::llround(static_cast<double>(target) / options.crop_fraction);
  };
  const int64_t height = enlarged(options.height);
  const int64_t width = enlarged(options.width);
  ResampleWindow window{height, width, 0, 0, options.height, options.width};
  // Sides are at most kMaxPixels and kMaxSide / 0.01, so products fit.
  if (height * image.width >= width * image.height) {
    window.full_width = std::max(other_side(image.width, image.height, height), width);
  } else {
    window.full_height = std::max(other_side(image.height, image.width, width), height);
  }
  window.top = std::lrint(static_cast<double>(window.full_height - window.height) / 2);
  window.left = std::lrint(static_cast<double>(window.full_width - window.width) / 2);
  return window;
}

}  // namespace

bool looks_like_image(std::span<const std::byte> bytes) {
  return starts_with(bytes, kJpegMagic) || starts_with(bytes, kPngMagic);
}

Result<Image> decode_image(std::span<const std::byte> bytes, uint64_t max_pixels) {
  if (bytes.size() > kMaxFileBytes) {
    return Error(ErrorCode::kInvalidInput, "a picture file of more than %llu bytes",
                 static_cast<unsigned long long>(kMaxFileBytes));
  }
  if (starts_with(bytes, kJpegMagic)) return decode_jpeg(bytes, max_pixels);
  if (starts_with(bytes, kPngMagic)) return decode_png(bytes, max_pixels);
  return Error(ErrorCode::kInvalidInput, "not a JPEG or PNG picture");
}

Result<std::vector<float>> preprocess(const Image& image, const PreprocessOptions& options) {
  CARREL_RETURN_IF_ERROR(check_options(options));
  CARREL_CHECK(image.height > 0 && image.width > 0 &&
               image.rgb.size() == static_cast<size_t>(image.height * image.width * 3));
  const bool same = image.height == options.height && image.width == options.width;
  Image resized;
  if (!same) resized = resample(image, crop_window(image, options));
  const std::vector<uint8_t>& rgb = same ? image.rgb : resized.rgb;
  const size_t count = rgb.size() / 3;
  std::vector<float> values(3 * count);
  for (size_t c = 0; c < 3; ++c) {
    for (size_t i = 0; i < count; ++i) {
      const float pixel = static_cast<float>(rgb[3 * i + c]) * options.scale;
      values[c * count + i] = (pixel - options.mean[c]) / options.std[c];
    }
  }
  return values;
}

}  // namespace carrel
