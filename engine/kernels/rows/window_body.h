#pragma once
// Which part of a window lies inside the input. Include after vec_<isa>.h.
#include "engine/kernels/rows/row_kernels.h"

namespace carrel::CARREL_ROWS_ISA {

// Kernel positions [begin, end) along one axis.
struct Positions {
  uint32_t begin, end;
  bool operator==(const Positions&) const = default;
};

// Those of `count` positions whose input coordinate start + i * dilation lies in [low, high).
inline Positions positions_inside(int32_t start, int32_t count, int32_t dilation, int32_t low,
                                  int32_t high) {
  const int32_t begin = start < low ? (low - start + dilation - 1) / dilation : 0;
  int32_t end = high <= start ? 0 : (high - start + dilation - 1) / dilation;
  end = end < count ? end : count;
  return {static_cast<uint32_t>(begin), static_cast<uint32_t>(end < begin ? begin : end)};
}

// The kernel rows of output row y that lie inside an input of `height` rows.
inline Positions positions_in_height(const Window& window, uint32_t y, uint32_t height) {
  return positions_inside(window.first_row(y), window.kernel_h, window.dilation_h, 0,
                          static_cast<int32_t>(height));
}

}  // namespace carrel::CARREL_ROWS_ISA
