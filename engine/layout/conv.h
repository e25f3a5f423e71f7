#pragma once
// Geometry of windowed operators on maps. Rows only look up and down; columns are padded in the map.
#include <cstdint>

namespace carrel {

struct Window {
  uint16_t kernel_h = 1, kernel_w = 1;
  uint16_t stride_h = 1, stride_w = 1;
  uint16_t dilation_h = 1, dilation_w = 1;
  uint16_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;

  constexpr int32_t span_h() const { return (kernel_h - 1) * dilation_h + 1; }
  constexpr int32_t span_w() const { return (kernel_w - 1) * dilation_w + 1; }
  // First input row (may be negative) and one past the last that output row y reads.
  constexpr int32_t first_row(uint32_t y) const { return static_cast<int32_t>(y * stride_h) - pad_top; }
  constexpr int32_t end_row(uint32_t y) const { return first_row(y) + span_h(); }
  bool operator==(const Window&) const = default;
};

}  // namespace carrel
