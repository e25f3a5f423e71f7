#pragma once
// Pictures as network inputs: JPEG and PNG to 8-bit RGB, then the usual ImageNet preprocessing to
// float32 NCHW.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace carrel {

struct Image {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> rgb;  // height x width x 3
};

// A decoder needs up to 9 bytes per pixel.
inline constexpr uint64_t kMaxPixels = uint64_t{64} << 20;

// True for the first bytes of a JPEG or PNG.
bool looks_like_image(std::span<const std::byte> bytes);

// Decodes a picture as Pillow's convert("RGB") does: gray and CMYK are converted, transparency is
// dropped, an EXIF orientation, a gamma and colour profiles are not applied. Unlike Pillow's,
// 16-bit samples are rounded to 8 bits. The bytes are untrusted. Errors: kInvalidInput for anything
// that is not a complete JPEG or PNG, or has more than max_pixels or 512 MiB.
Result<Image> decode_image(std::span<const std::byte> bytes, uint64_t max_pixels = kMaxPixels);

struct PreprocessOptions {
  int64_t height = 224;
  int64_t width = 224;
  // The share of the resized picture, in either direction, that the centre crop keeps: 224 of 256
  // for ImageNet.
  double crop_fraction = 0.875;
  // value = (pixel * scale - mean) / std per channel R, G, B. The defaults are ImageNet's.
  float scale = 1.0f / 255;
  float mean[3] = {0.485f, 0.456f, 0.406f};
  float std[3] = {0.229f, 0.224f, 0.225f};
};

// 3 x height x width values: the picture resized so that height x width is its centre crop, then
// normalised. A picture that already has this size is not resized. The resampling is Pillow's
// antialiased bilinear filter, to the bit. Errors: kInvalidInput for a size outside [1, 8192], a
// crop_fraction outside [0.01, 1], a scale or std of 0 or numbers that are not finite.
Result<std::vector<float>> preprocess(const Image& image, const PreprocessOptions& options);

}  // namespace carrel
