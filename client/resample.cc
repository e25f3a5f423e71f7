#include "client/resample.h"

#include <algorithm>
#include <cmath>

namespace carrel {
namespace {

// Pillow's fixed point: 8 bits of pixel, 2 of headroom for sums of weights, the rest for a weight.
constexpr int kFractionBits = 32 - 8 - 2;

// How one output pixel reads the input.
struct Tap {
  int64_t first;
  std::vector<int32_t> weights;
};

// The triangle filter, stretched by the reduction so that every input pixel counts.
Tap make_tap(int64_t input, double scale, int64_t position) {
  const double stretch = std::max(scale, 1.0);
  const double center = (static_cast<double>(position) + 0.5) * scale;
  const auto first = std::max<int64_t>(static_cast<int64_t>(center - stretch + 0.5), 0);
  const auto last = std::min<int64_t>(static_cast<int64_t>(center + stretch + 0.5), input);
  std::vector<double> exact(static_cast<size_t>(std::max<int64_t>(last - first, 0)));
  double sum = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double offset =
        (static_cast<double>(i) + static_cast<double>(first) - center + 0.5) * (1.0 / stretch);
    exact[i] = std::max(1.0 - std::abs(offset), 0.0);
    sum += exact[i];
  }
  Tap tap{first, {}};
  for (double weight : exact) {
    if (sum != 0) weight /= sum;
    tap.weights.push_back(static_cast<int32_t>(0.5 + weight * (1 << kFractionBits)));
  }
  return tap;
}

std::vector<Tap> make_taps(int64_t input, int64_t full, int64_t begin, int64_t count) {
  const double scale = static_cast<double>(input) / static_cast<double>(full);
  std::vector<Tap> taps;
  for (int64_t i = begin; i < begin + count; ++i) taps.push_back(make_tap(input, scale, i));
  return taps;
}

// The weighted sum of weights.size() pixels of one channel, `step` bytes apart.
uint8_t weighted(const uint8_t* pixels, int64_t step, const std::vector<int32_t>& weights) {
  int32_t sum = 1 << (kFractionBits - 1);
  for (size_t i = 0; i < weights.size(); ++i) {
    sum += pixels[static_cast<int64_t>(i) * step] * weights[i];
  }
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

}  // namespace

Image resample(const Image& image, const ResampleWindow& window) {
  const std::vector<Tap> columns =
      make_taps(image.width, window.full_width, window.left, window.width);
  const std::vector<Tap> rows =
      make_taps(image.height, window.full_height, window.top, window.height);
  const int64_t first = rows.front().first;
  const int64_t last = rows.back().first + static_cast<int64_t>(rows.back().weights.size());
  // Horizontally, only the input rows that the window needs.
  const int64_t stride = window.width * 3;
  std::vector<uint8_t> narrow(static_cast<size_t>((last - first) * stride));
  uint8_t* out = narrow.data();
  for (int64_t y = first; y < last; ++y) {
    for (const Tap& tap : columns) {
      const uint8_t* pixel = image.rgb.data() + (y * image.width + tap.first) * 3;
      for (int c = 0; c < 3; ++c) *out++ = weighted(pixel + c, 3, tap.weights);
    }
  }
  Image result{window.height, window.width, {}};
  result.rgb.reserve(static_cast<size_t>(window.height * stride));
  for (const Tap& tap : rows) {
    const uint8_t* row = narrow.data() + (tap.first - first) * stride;
    for (int64_t i = 0; i < stride; ++i) {
      result.rgb.push_back(weighted(row + i, stride, tap.weights));
    }
  }
  return result;
}

}  // namespace carrel
