#pragma once
// Which part of a window lies inside the input. Include after the header that sets CARREL_ROWS_ISA.
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
  const auto steps = [&](int32_t distance) {
    return dilation == 1 ? distance : (distance + dilation - 1) / dilation;
  };
  const int32_t begin = start < low ? steps(low - start) : 0;
  int32_t end = high <= start ? 0 : steps(high - start);
  end = end < count ? end : count;
  return {static_cast<uint32_t>(begin), static_cast<uint32_t>(end < begin ? begin : end)};
}

// The kernel rows of output row y that lie inside an input of `height` rows.
inline Positions positions_in_height(const Window& window, uint32_t y, uint32_t height) {
  return positions_inside(window.first_row(y), window.kernel_h, window.dilation_h, 0,
                          static_cast<int32_t>(height));
}

// How many output rows from y on take the same kernel rows without either ring wrapping: one list
// of taps and two row pitches describe them all.
template <class Call>
uint32_t rows_alike(const Call& call, uint32_t y) {
  const Window& window = call.window;
  const uint32_t left = call.rows.end - y, out_left = call.out.ring_rows - y % call.out.ring_rows;
  uint32_t most = left < out_left ? left : out_left;
  const Positions inside = positions_in_height(window, y, call.in.shape.height);
  if (inside.begin < inside.end) {
    const uint32_t first =
        static_cast<uint32_t>(window.first_row(y)) + inside.begin * window.dilation_h;
    const uint32_t span = (inside.end - inside.begin - 1) * window.dilation_h + 1;
    const uint32_t in_left = call.in.ring_rows - first % call.in.ring_rows;
    if (in_left < span) return 1;  // the list itself wraps
    const uint32_t fitting = (in_left - span) / window.stride_h + 1;
    most = most < fitting ? most : fitting;
  }
  uint32_t count = 1;
  while (count < most && positions_in_height(window, y + count, call.in.shape.height) == inside)
    ++count;
  return count;
}

}  // namespace carrel::CARREL_ROWS_ISA
