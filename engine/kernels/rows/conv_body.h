#pragma once
// The convolution's loops around the register tiles, common to all ISAs. Include after vec_<isa>.h.
//
// For an output row the taps that lie inside the input are listed once; then, per panel (or half of one, where
// registers are few), the row is cut into tiles of nearly equal width, and a register tile runs over the list.
// An output element's sum takes the taps in order whatever the cut, so its bits do not depend on the cut.
// For a 1 x 1 output map the only parallelism is over taps: each tap is summed on its own, then added, which is
// again a function of the tap order alone.
#include <limits>

#include "engine/kernels/rows/elementwise_body.h"

namespace carrel::CARREL_ROWS_ISA {

// One kernel position of one input block, seen from pixel x = 0 of the output row.
struct ConvTap {
  const float* in;
  uint32_t weight_row;  // first weight row in the panel chunk
  uint32_t rows;        // input channels, <= 16
};

// A tile of the caller's with 16-row taps has at most 31; only Cin < 4 gets near this bound.
inline constexpr uint32_t kMaxListedTaps = 128;

// What a register tile of pixels x blocks computes.
struct ConvTile {
  const ConvTap* taps;
  uint32_t tap_count;
  uint32_t width;        // of the panel: floats per weight row
  const float* weights;  // row 0
  const float* bias;     // nullptr: go on from out
  size_t in_offset;      // from a tap's `in` to the tile's first pixel
  size_t in_stride;      // floats between input pixels of neighbouring output pixels
  float* out;            // first pixel, first block
  size_t out_pitch;      // floats to the next block
  float low, high;       // clamp: the fused Relu and Clip
};
using ConvTileFn = void (*)(const ConvTile&);

// `Tiles` is the ISA's choice: kMaxPixels, kBlocks (blocks per register tile), pick(pixels, blocks, stride_w),
// max_pixels(stride_w) and single (one output pixel, taps summed separately).

// Walks (input block, kh, kw) in tap order and lists the taps of output row y that lie inside the input.
class TapLister {
 public:
  explicit TapLister(const ConvCall& call) : call_(call) {
    const uint32_t area = uint32_t{call.window.kernel_h} * call.window.kernel_w;
    first_block_ = call.tap_begin / area;
    first_h_ = call.tap_begin % area / call.window.kernel_w;
    first_w_ = call.tap_begin % area % call.window.kernel_w;
  }

  void start_row(uint32_t y) {
    block_ = first_block_;
    h_ = first_h_;
    w_ = first_w_;
    weight_row_ = 0;
    left_ = call_.tap_end - call_.tap_begin;
    top_ = call_.window.first_row(y);
  }
  bool done() const { return left_ == 0; }

  // Fills at most kMaxListedTaps.
  uint32_t list(ConvTap* taps) {
    const Window& window = call_.window;
    uint32_t count = 0;
    while (left_ > 0 && count < kMaxListedTaps) {
      const int32_t row = top_ + static_cast<int32_t>(h_ * window.dilation_h);
      const bool inside = row >= 0 && row < static_cast<int32_t>(call_.in.shape.height);
      const float* in = inside ? row_start(static_cast<uint32_t>(row)) : nullptr;
      const uint32_t remaining = call_.in_channels - block_ * kLanes;
      const uint32_t rows = remaining < kLanes ? remaining : kLanes;
      // The rest of this kernel row.
      for (; w_ < window.kernel_w && left_ > 0 && count < kMaxListedTaps; ++w_, --left_) {
        if (inside) taps[count++] = {in + size_t{w_} * window.dilation_w * kLanes, weight_row_, rows};
        weight_row_ += rows;
      }
      if (w_ == window.kernel_w) next_kernel_row();
    }
    return count;
  }

 private:
  const float* row_start(uint32_t row) const {
    return call_.in.pixel(row, -int32_t{call_.window.pad_left}, call_.in_block + block_);
  }
  void next_kernel_row() {
    w_ = 0;
    if (++h_ == call_.window.kernel_h) {
      h_ = 0;
      ++block_;
    }
  }

  const ConvCall& call_;
  uint32_t first_block_, first_h_, first_w_;
  uint32_t block_ = 0, h_ = 0, w_ = 0, weight_row_ = 0, left_ = 0;
  int32_t top_ = 0;
};

// Rows of weights in taps [begin, end) of a panel.
inline size_t conv_weight_rows(const ConvCall& call) {
  const size_t area = size_t{call.window.kernel_h} * call.window.kernel_w;
  const size_t full = call.in_channels / kLanes * area;
  const size_t rest = call.in_channels % kLanes;
  const auto before = [&](size_t tap) {
    return tap <= full ? tap * kLanes : full * kLanes + (tap - full) * rest;
  };
  return before(call.tap_end) - before(call.tap_begin);
}

template <class Tiles>
void conv_row_tiles(ConvTile tile, uint32_t blocks, uint32_t width, uint32_t stride_w, bool single) {
  if (single) return Tiles::single(blocks)(tile);
  const uint32_t most = Tiles::max_pixels(stride_w);
  const uint32_t count = (width + most - 1) / most;
  const uint32_t pixels = width / count, longer = width % count;
  const ConvTileFn wide = Tiles::pick(pixels + (longer != 0), blocks, stride_w);
  const ConvTileFn narrow = Tiles::pick(pixels, blocks, stride_w);
  for (uint32_t i = 0; i < count; ++i) {
    (i < longer ? wide : narrow)(tile);
    const uint32_t done = pixels + (i < longer);
    tile.in_offset += done * tile.in_stride;
    tile.out += size_t{done} * kLanes;
  }
}

template <class Tiles>
void conv_rows(const ConvCall& call) {
  const MapShape& shape = call.out.shape;
  const bool single = shape.height == 1 && shape.width == 1;
  const bool from_bias = call.tap_begin == 0, to_end = call.tap_end == call.taps;
  const size_t weight_rows = conv_weight_rows(call);
  const Clamp clamp = clamp_of(call.activation);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  TapLister lister(call);
  ConvTap taps[kMaxListedTaps];
  for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
    lister.start_row(y);
    for (bool first = true; first || !lister.done(); first = false) {
      const uint32_t tap_count = lister.list(taps);
      const bool last = to_end && lister.done();
      const float* weights = call.weights;
      for (uint32_t p = call.panel_begin; p < call.panel_begin + call.panel_count; ++p) {
        const uint32_t width = call.out_channels - p * kPanelWidth <= kLanes ? kLanes : kPanelWidth;
        const float* rows = weights + (from_bias ? width : 0);
        for (uint32_t h = 0; h < width / kLanes; h += Tiles::kBlocks) {
          const uint32_t block = call.out_block + p * (kPanelWidth / kLanes) + h;
          float* out = call.out.pixel(y, 0, block);
          const uint32_t blocks = width / kLanes < Tiles::kBlocks ? 1 : Tiles::kBlocks;
          const ConvTile tile = {taps, tap_count, width, rows + h * kLanes,
                                 from_bias && first ? weights + h * kLanes : nullptr, 0,
                                 size_t{call.window.stride_w} * kLanes, out, shape.block_pitch(),
                                 last ? clamp.low : -kInfinity, last ? clamp.high : kInfinity};
          conv_row_tiles<Tiles>(tile, blocks, shape.width, call.window.stride_w, single);
          if (!last || clamp.all) continue;
          for (uint32_t b = 0; b < blocks; ++b) {
            float* finished = out + b * shape.block_pitch();
            apply_unary(call.activation, finished, finished, size_t{shape.width} * kLanes);
          }
        }
        weights = rows + weight_rows * width;
      }
    }
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
