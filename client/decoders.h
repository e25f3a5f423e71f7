#pragma once
// The two decoders behind decode_image.
#include "client/images.h"

namespace carrel {

Result<Image> decode_jpeg(std::span<const std::byte> bytes, uint64_t max_pixels);
// `bytes` has a PNG's signature.
Result<Image> decode_png(std::span<const std::byte> bytes, uint64_t max_pixels);

// kInvalidInput for an empty picture or more than max_pixels.
Status check_picture_size(uint64_t width, uint64_t height, uint64_t max_pixels);

}  // namespace carrel
