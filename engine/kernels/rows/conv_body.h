#pragma once
// The convolution's loops around the register tiles, common to all ISAs. Include after vec_<isa>.h.
//
// For output rows that are alike the taps that lie inside the input are listed once; then, per
// panel (or half of one, where registers are few), each row is cut into tiles of nearly equal
// width, and a register tile runs over the list. An output element's sum takes the taps in order
// whatever the cut, so its bits do not depend on the cut. For a 1 x 1 output map the only
// parallelism is over taps: each tap is summed on its own, then added, which is again a function of
// the tap order alone.
#include <limits>

#include "engine/kernels/rows/elementwise_body.h"
#include "engine/kernels/rows/window_body.h"

namespace carrel::CARREL_ROWS_ISA {

// One kernel position of one input block (of one channel, where the input is planar), seen from
// pixel x = 0 of the output row.
struct ConvTap {
  const float* in;
  uint32_t weight_row;  // first weight row in the panel chunk
  uint32_t rows;        // input channels, <= 16
};

// A tile of the caller's has at most 256 weight rows of a wide panel: its planar taps are one list.
inline constexpr uint32_t kMaxListedTaps = 256;

// What a register tile of pixels x blocks computes.
struct ConvTile {
  const ConvTap* taps;
  uint32_t tap_count;
  uint32_t width;         // of the panel: floats per weight row
  const float* weights;   // row 0
  const float* bias;      // nullptr: go on from out
  size_t in_offset;       // from a tap's `in` to the tile's first pixel
  size_t in_stride;       // floats between input pixels of neighbouring output pixels
  size_t ahead;           // floats from what is read to what is prefetched meanwhile; 0: nothing
  size_t in_row;          // floats between input rows of neighbouring output rows
  size_t out_row;         // floats between output rows
  float* out;             // first pixel, first block
  size_t out_pitch;       // floats to the next block
  float low, high;        // clamp: the fused Relu and Clip
  UnaryFn clamp;          // which they are of: kRelu, kClip, or kNone, where both are infinite
  const float* residual;  // added last; first pixel, first block; nullptr: none
  size_t residual_row, residual_pitch;

  void advance_pixels(uint32_t count) {
    in_offset += count * in_stride;
    out += size_t{count} * kLanes;
    if (residual != nullptr) residual += size_t{count} * kLanes;
  }
  void advance_rows(uint32_t count) {
    in_offset += count * in_row;
    out += count * out_row;
    if (residual != nullptr) residual += count * residual_row;
  }
};
using ConvTileFn = void (*)(const ConvTile&);

// `Tiles` is the ISA's choice: kBlocks (blocks per register tile), max_pixels(in_stride),
// pick(pixels, blocks, in_stride), single(blocks) (one output pixel, taps summed separately), and
// for narrow maps rows_at_once(width, in_stride) and pick_rows(width, blocks, in_stride): one tile
// over the whole width of that many rows. Strides as ConvTile's.

// Floats between columns of an input map.
inline size_t column_floats(const MapShape& in) { return in.planar() ? 1 : kLanes; }

// Walks (input block, kh, kw) in tap order and lists the taps of output row y that lie inside the
// input.
class TapLister {
 public:
  explicit TapLister(const ConvCall& call)
      : call_(call), column_floats_(column_floats(call.in.shape)), planar_(call.in.shape.planar()) {
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
    const uint32_t most = kMaxListedTaps - (planar_ ? kMaxPlanarChannels - 1 : 0);
    uint32_t count = 0;
    while (left_ > 0 && count < most) {
      const int32_t row = top_ + static_cast<int32_t>(h_ * window.dilation_h);
      const bool inside = row >= 0 && row < static_cast<int32_t>(call_.in.shape.height);
      const float* in = inside ? row_start(static_cast<uint32_t>(row)) : nullptr;
      const uint32_t remaining = call_.in_channels - block_ * kLanes;
      const uint32_t rows = remaining < kLanes ? remaining : kLanes;
      // The rest of this kernel row.
      for (; w_ < window.kernel_w && left_ > 0 && count < most; ++w_, --left_) {
        if (inside) {
          const float* at = in + size_t{w_} * window.dilation_w * column_floats_;
          if (planar_) {
            count += list_channels(taps + count, at, rows);
          } else {
            taps[count++] = {at, weight_row_, rows};
          }
        }
        weight_row_ += rows;
      }
      if (w_ == window.kernel_w) next_kernel_row();
    }
    return count;
  }

 private:
  const float* row_start(uint32_t row) const {
    const int32_t x = -int32_t{call_.window.pad_left};
    if (planar_) return call_.in.planar_pixel(row, x, 0);
    return call_.in.pixel(row, x, call_.in_block + block_);
  }
  uint32_t list_channels(ConvTap* taps, const float* in, uint32_t channels) const {
    const size_t pitch = call_.in.shape.columns();
    for (uint32_t c = 0; c < channels; ++c) taps[c] = {in + c * pitch, weight_row_ + c, 1};
    return channels;
  }
  void next_kernel_row() {
    w_ = 0;
    if (++h_ == call_.window.kernel_h) {
      h_ = 0;
      ++block_;
    }
  }

  const ConvCall& call_;
  const size_t column_floats_;
  const bool planar_;
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

// A row's cut into tiles of nearly equal width.
template <class Tiles>
class RowCut {
 public:
  RowCut(uint32_t width, uint32_t blocks, size_t in_stride) {
    const uint32_t most = Tiles::max_pixels(in_stride);
    count_ = (width + most - 1) / most;
    pixels_ = width / count_;
    longer_ = width % count_;
    narrow_ = Tiles::pick(pixels_, blocks, in_stride);
    wide_ = longer_ == 0 ? narrow_ : Tiles::pick(pixels_ + 1, blocks, in_stride);
  }
  void run(ConvTile tile) const {
    for (uint32_t i = 0; i < longer_; ++i, tile.advance_pixels(pixels_ + 1)) wide_(tile);
    for (uint32_t i = longer_; i < count_; ++i, tile.advance_pixels(pixels_)) narrow_(tile);
  }

 private:
  uint32_t count_, pixels_, longer_;
  ConvTileFn wide_, narrow_;
};

// All tiles of one panel, or half of one, in `rows` output rows.
template <class Tiles>
void conv_tiles(const ConvCall& call, ConvTile tile, uint32_t blocks, uint32_t rows) {
  const MapShape& shape = call.out.shape;
  if (shape.width == 1 && shape.height == 1) return Tiles::single(blocks)(tile);
  const uint32_t at_once = Tiles::rows_at_once(shape.width, tile.in_stride);
  uint32_t done = 0;
  if (at_once > 1 && rows >= at_once) {
    const ConvTileFn together = Tiles::pick_rows(shape.width, blocks, tile.in_stride);
    for (; rows - done >= at_once; done += at_once, tile.advance_rows(at_once)) together(tile);
  }
  if (done == rows) return;
  const RowCut<Tiles> cut(shape.width, blocks, tile.in_stride);
  for (; done < rows; ++done, tile.advance_rows(1)) cut.run(tile);
}

// The listed taps of `rows` output rows from y on, for all panels of the call.
struct ConvStep {
  const ConvTap* taps;
  uint32_t tap_count;
  uint32_t y, rows;
  bool first, last;    // of the lists for these rows
  size_t weight_rows;  // per panel, the bias not counted
};

template <class Tiles>
void conv_panels(const ConvCall& call, const ConvStep& step) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const bool bias = call.tap_begin == 0, start = bias && step.first;
  const bool finished = step.last && call.tap_end == call.taps;
  const Clamp clamp = clamp_of(call.activation);
  const MapShape& shape = call.out.shape;
  const float* weights = call.weights;
  for (uint32_t p = call.panel_begin; p < call.panel_begin + call.panel_count; ++p) {
    const uint32_t width = call.out_channels - p * kPanelWidth <= kLanes ? kLanes : kPanelWidth;
    const float* rows = weights + (bias ? width : 0);
    const uint32_t blocks = width / kLanes < Tiles::kBlocks ? 1 : Tiles::kBlocks;
    for (uint32_t h = 0; h < width / kLanes; h += blocks) {
      const uint32_t block = call.out_block + p * (kPanelWidth / kLanes) + h;
      float* out = call.out.pixel(step.y, 0, block);
      const ConvTile tile = {step.taps,
                             step.tap_count,
                             width,
                             rows + h * kLanes,
                             start ? weights + h * kLanes : nullptr,
                             0,
                             call.window.stride_w * column_floats(call.in.shape),
                             0,
                             size_t{call.window.stride_h} * call.in.shape.row_floats(),
                             shape.row_floats(),
                             out,
                             shape.block_pitch(),
                             finished ? clamp.low : -kInfinity,
                             finished ? clamp.high : kInfinity,
                             finished && clamp.all ? call.activation.fn : UnaryFn::kNone,
                             finished && call.residual.base != nullptr
                                 ? call.residual.pixel(step.y, 0, block)
                                 : nullptr,
                             call.residual.shape.row_floats(),
                             call.residual.shape.block_pitch()};
      conv_tiles<Tiles>(call, tile, blocks, step.rows);
      if (!finished || clamp.all) continue;
      for (uint32_t i = 0; i < step.rows * blocks; ++i) {
        float* row = out + i / blocks * shape.row_floats() + i % blocks * shape.block_pitch();
        apply_unary(call.activation, row, row, size_t{shape.width} * kLanes);
      }
    }
    weights = rows + step.weight_rows * width;
  }
}

template <class Tiles>
void conv_rows(const ConvCall& call) {
  const size_t weight_rows = conv_weight_rows(call);
  TapLister lister(call);
  ConvTap taps[kMaxListedTaps];
  uint32_t rows = 1;
  for (uint32_t y = call.rows.begin; y < call.rows.end; y += rows) {
    rows = rows_alike(call, y);
    if (call.residual.base != nullptr) {
      const uint32_t left = call.residual.ring_rows - y % call.residual.ring_rows;
      rows = rows < left ? rows : left;
    }
    lister.start_row(y);
    bool first = true;
    do {
      const uint32_t count = lister.list(taps);
      conv_panels<Tiles>(call, {taps, count, y, rows, first, lister.done(), weight_rows});
      first = false;
    } while (!lister.done());
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
