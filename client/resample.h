#pragma once
// Antialiased bilinear resampling of 8-bit RGB, bit for bit what Pillow's Image.resize(...,
// BILINEAR) gives.
#include "client/images.h"

namespace carrel {

// A window of the resized picture.
struct ResampleWindow {
  int64_t full_height, full_width;  // of the whole resized picture
  int64_t top, left, height, width;
};

// `window` of `image` resized to full_height x full_width; pixels outside the window are not
// computed. The caller has checked that every size is positive and the window inside.
Image resample(const Image& image, const ResampleWindow& window);

}  // namespace carrel
