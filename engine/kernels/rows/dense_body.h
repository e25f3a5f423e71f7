#pragma once
// Fully-connected layers, common to all ISAs. Include after vec_<isa>.h.
//
// The tile's part of the input is copied, as one line of numbers, to the stack (it is used by every
// panel); then each panel, or half of one where registers are few, runs over it.
#include "engine/kernels/rows/elementwise_body.h"
#include "engine/layout/dense.h"

namespace carrel::CARREL_ROWS_ISA {

// What a tile is multiplied with: rows [tap_begin * 32, tap_end * 32) of the reduction, zeros beyond
// its end.
struct DenseInput {
  alignas(64) float x[kDenseMaxRows + kLanes];
};

// The map's pixels in the order of the reduction.
class PixelWalk {
 public:
  // At pixel `index`, counting block by block. Blocks of one row without pads follow one another.
  PixelWalk(const RowRing& ring, uint64_t index)
      : ring_(ring),
        width_(ring.shape.height == 1 && ring.shape.pad_left + ring.shape.pad_right == 0
                   ? ring.shape.width * ring.shape.blocks()
                   : ring.shape.width),
        x_(static_cast<uint32_t>(index % width_)) {
    const uint64_t row = index / width_;
    y_ = static_cast<uint32_t>(row % ring.shape.height);
    block_ = static_cast<uint32_t>(row / ring.shape.height);
    enter_row();
  }
  const float* pixel() const { return row_ + size_t{x_} * kLanes; }
  // Pixels from here on that lie one after another.
  uint32_t run() const { return width_ - x_; }
  // count <= run()
  void skip(uint32_t count) {
    x_ += count;
    if (x_ < width_) return;
    x_ = 0;
    if (++y_ == ring_.shape.height) {
      y_ = 0;
      ++block_;
    }
    enter_row();
  }

 private:
  void enter_row() {
    if (block_ < ring_.shape.blocks()) row_ = ring_.pixel(y_, 0, block_);
  }
  const RowRing& ring_;
  uint32_t width_, block_, y_, x_;
  const float* row_ = nullptr;
};

// Rows [begin, end) of the reduction, of pixels that have 16 channels; `begin` is a multiple of 16.
inline float* gather_full(const RowRing& in, uint64_t begin, uint64_t end, float* to) {
  if (begin >= end) return to;
  PixelWalk walk(in, begin / kLanes);
  for (uint64_t left = (end - begin) / kLanes; left > 0;) {
    const uint32_t count = left < walk.run() ? static_cast<uint32_t>(left) : walk.run();
    const float* from = walk.pixel();
    for (uint32_t i = 0; i < count; ++i) store(to + i * kLanes, load(from + i * kLanes));
    walk.skip(count);
    to += size_t{count} * kLanes;
    left -= count;
  }
  return to;
}

// Rows [begin, end) of those from pixel `first` on, which have `lanes` < 16 channels each. Up to 15
// more numbers are written.
inline float* gather_rest(const RowRing& in, uint64_t first, uint32_t lanes, uint64_t begin,
                          uint64_t end, float* to) {
  if (begin >= end) return to;
  PixelWalk walk(in, first + begin / lanes);
  uint32_t lane = static_cast<uint32_t>(begin % lanes);
  for (uint64_t row = begin; row < end; walk.skip(1), lane = 0) {
    const uint64_t left = end - row;
    const uint32_t count = left < lanes - lane ? static_cast<uint32_t>(left) : lanes - lane;
    store(to, load_first(walk.pixel() + lane, count));
    to += count;
    row += count;
  }
  return to;
}

inline void gather_input(const DenseCall& call, DenseInput* input) {
  const MapShape& map = call.in.shape;
  const uint64_t area = uint64_t{map.height} * map.width;
  const uint64_t full_pixels = map.channels / kLanes * area, full = full_pixels * kLanes;
  const uint64_t all = map.channels * area;
  const uint64_t begin = uint64_t{call.tap_begin} * kDenseTapRows;
  const uint64_t padded = uint64_t{call.tap_end} * kDenseTapRows, end = padded < all ? padded : all;
  const uint64_t begin_rest = begin < full ? full : begin;
  float* to = gather_full(call.in, begin, end < full ? end : full, input->x);
  to = gather_rest(call.in, full_pixels, map.channels % kLanes, begin_rest - full,
                   end < full ? 0 : end - full, to);
  for (uint64_t row = end; row < padded; ++row) *to++ = 0.0f;
}

// Weights of one panel in a tile, as a kernel sees them.
struct DensePanel {
  const std::byte* weights;
  uint32_t width;
  uint32_t taps;
  const float* x;
};

// sum[b]: over all rows of the panel's part, of channels 16 b .. 16 b + 15 from `first` on. Row says
// how 16 weights are stored: kBytes and load().
template <class Row, int kBlocks>
void dot_rows(const DensePanel& panel, uint32_t first, Vec (&sum)[kBlocks]) {
  const size_t pitch = size_t{panel.width} / kLanes * Row::kBytes;
  const std::byte* weights = panel.weights + size_t{first} / kLanes * Row::kBytes;
  Vec part[4][kBlocks];
  CARREL_UNROLL
  for (int j = 0; j < 4; ++j) {
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) part[j][b] = splat(0.0f);
  }
  const float* x = panel.x;
  for (const float* end = x + size_t{panel.taps} * kDenseTapRows; x != end; x += 4) {
    CARREL_UNROLL
    for (int j = 0; j < 4; ++j) {
      const Vec input = splat(x[j]);
      CARREL_UNROLL
      for (int b = 0; b < kBlocks; ++b) {
        part[j][b] = multiply_add(input, Row::load(weights + b * Row::kBytes), part[j][b]);
      }
      weights += pitch;
    }
  }
  CARREL_UNROLL
  for (int b = 0; b < kBlocks; ++b) {
    sum[b] = (part[0][b] + part[1][b]) + (part[2][b] + part[3][b]);
  }
}

// Sums channels [first, first + 16 kBlocks) of panel `p` and adds them to what earlier tiles left.
template <class Kernel, int kBlocks>
void finish_blocks(const DenseCall& call, uint32_t p, uint32_t first, const DensePanel& panel,
                   const std::byte* tail) {
  const bool finished = call.tap_end == call.taps;
  Vec sum[kBlocks];
  Kernel::sum(panel, first, sum);
  const float* bias = reinterpret_cast<const float*>(tail) + first;
  for (uint32_t b = 0; b < kBlocks; ++b, bias += kLanes) {
    float* out = call.out.pixel(0, 0, (p * kPanelWidth + first) / kLanes + b);
    Vec total = call.tap_begin == 0 ? sum[b] : load(out) + sum[b];
    if (finished && is_quantized(Kernel::kStored)) {
      total = multiply_add(load(bias + panel.width), total, load(bias));
    } else if (finished) {
      total = total + load(bias);
    }
    store(out, total);
    if (finished) apply_unary(call.activation, out, out, kLanes);
  }
}

// Kernel says how a panel's part is summed: kStored, kBlocks (16-channel blocks at a time) and
// sum(panel, first channel, sums).
template <class Kernel>
void dense_panels(const DenseCall& call) {
  DenseInput input;
  gather_input(call, &input);
  const uint32_t taps = call.tap_end - call.tap_begin, channels = call.out.shape.channels;
  const std::byte* weights = call.weights;
  for (uint32_t p = call.panel_begin; p < call.panel_begin + call.panel_count; ++p) {
    const uint32_t width = channels - p * kPanelWidth <= kLanes ? kLanes : kPanelWidth;
    const DensePanel panel = {weights, width, taps, input.x};
    weights += size_t{taps} * dense_tap_bytes(Kernel::kStored, width);
    const std::byte* tail = weights;
    if constexpr (Kernel::kBlocks == 2) {
      if (width == kPanelWidth) {
        finish_blocks<Kernel, 2>(call, p, 0, panel, tail);
      } else {
        finish_blocks<Kernel, 1>(call, p, 0, panel, tail);
      }
    } else {
      for (uint32_t first = 0; first < width; first += kLanes) {
        finish_blocks<Kernel, 1>(call, p, first, panel, tail);
      }
    }
    if (call.tap_end == call.taps) weights += dense_tail_bytes(Kernel::kStored, width);
  }
}

template <StoredType kType, class Row>
struct RowsKernel {
  static constexpr StoredType kStored = kType;
  static constexpr int kBlocks = kDenseBlocks;
  template <int kCount>
  static void sum(const DensePanel& panel, uint32_t first, Vec (&sum)[kCount]) {
    dot_rows<Row>(panel, first, sum);
  }
};

}  // namespace carrel::CARREL_ROWS_ISA
