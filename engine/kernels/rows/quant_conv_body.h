#pragma once
// The quantized convolution's loops around the register tiles, common to all ISAs. Include after
// dot_<isa>.h.
//
// As conv_body.h, with two differences. Taps are listed as runs along a kernel row. What rows outside
// the input add is the same for every pixel of an output row, so it is summed once, into the value
// that all its sums start from.
#include "engine/kernels/rows/dot_shortfall.h"
#include "engine/kernels/rows/window_body.h"

namespace carrel::CARREL_ROWS_ISA {

// Neighbouring taps of one kernel row of one input block, or of a 1 x 1 kernel, seen from pixel x = 0 of the output row.
struct QuantRun {
  const uint8_t* in;
  uint32_t quad;  // first one, in the taps of the call
  uint16_t taps;
  uint16_t quads;  // of each tap
};

// What a register tile of pixels x blocks computes.
struct QuantTile {
  const QuantRun* runs;
  uint32_t run_count;
  const std::byte* weights;  // quad 0
  size_t quad_bytes;         // from one quad to the next: four for each channel of the panel
  const std::byte *ahead, *ahead_begin, *ahead_end;  // the next panel, fetched into a cache meanwhile
  const int32_t* start;      // of the tile's channels
  const int32_t* partial;    // nullptr, or sums so far, of the first pixel
  int32_t* unfinished;       // nullptr: the result goes to out, else sums go here
  size_t sum_pitch;          // sums from one pixel to the next
  const float* multipliers;
  size_t in_offset;  // from a run's `in` to the tile's first pixel
  size_t in_stride;  // bytes between input pixels of neighbouring output pixels
  size_t in_row;     // bytes between input rows of neighbouring output rows
  size_t tap_step;   // bytes from a run's tap to the next
  uint8_t* out;      // first pixel, first block
  size_t out_row;    // bytes between output rows
  size_t out_pitch;  // bytes to the next block
  int32_t zero;
  uint8_t low, high;
};
using QuantTileFn = void (*)(const QuantTile&);

// Bytes that a tile fetches ahead for each tap: so few that they do not hold it up, and enough for a panel in the
// four tiles that a map of 7 x 7 has.
inline constexpr size_t kAheadOfTap = 128;
inline void advance_ahead(QuantTile* tile, size_t taps) {
  tile->ahead += taps * kAheadOfTap;
  if (tile->ahead >= tile->ahead_end) tile->ahead = tile->ahead_begin;
}

// Where a tile's pixel lies: kWidth pixels of a row, then the next row.
template <int kWidth>
[[gnu::always_inline]] inline size_t byte_offset(int pixel, size_t stride, size_t row) {
  return static_cast<size_t>(pixel / kWidth) * row + static_cast<size_t>(pixel % kWidth) * stride;
}

template <int kDepth, int kWidth, int kPixels, int kBlocks>
[[gnu::always_inline]] inline void multiply_quads(const uint8_t* in, size_t stride, size_t row,
                                                  const std::byte* weights, size_t quad_bytes,
                                                  Sums (&sum)[kPixels][kBlocks]) {
  CARREL_UNROLL
  for (int k = 0; k < kDepth; ++k) {
    Weights w[kBlocks];
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      w[b] = load_weights(weights + static_cast<size_t>(k) * quad_bytes + b * 64);
    }
    CARREL_UNROLL
    for (int i = 0; i < kPixels; ++i) {
      const Splat x = splat(in + byte_offset<kWidth>(i, stride, row) + k * 4);
      CARREL_UNROLL
      for (int b = 0; b < kBlocks; ++b) sum[i][b] = dot(sum[i][b], x, w[b]);
    }
  }
}

template <int kPixels, int kBlocks>
[[gnu::always_inline]] inline void start_sums(const QuantTile& tile,
                                              Sums (&sum)[kPixels][kBlocks]) {
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) sum[i][b] = load_sums(tile.start + b * 16);
  }
  if (tile.partial == nullptr) return;
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      const int32_t* from = tile.partial + static_cast<size_t>(i) * tile.sum_pitch + b * 16;
      sum[i][b] = sum[i][b] + load_sums(from);
    }
  }
}

// Where and how a tile's sums become bytes: a copy of its own, which no store can be suspected to change.
struct QuantStore {
  uint8_t* out;
  size_t out_row, out_pitch;
  Requantize requantize;
};

// Pixels [kFirst, kWidth) of one row of the tile, four at a time.
template <int kFirst, int kWidth, int kPixels, int kBlocks>
[[gnu::always_inline]] inline void store_row(const QuantStore& to, int row, Sums (&sum)[kPixels][kBlocks]) {
  if constexpr (kFirst < kWidth) {
    constexpr int kCount = kWidth - kFirst < 4 ? kWidth - kFirst : 4;
    uint8_t* out = to.out + static_cast<size_t>(row) * to.out_row + kFirst * 16;
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      Sums group[4];
      CARREL_UNROLL
      for (int i = 0; i < kCount; ++i) group[i] = sum[row * kWidth + kFirst + i][b];
      Requantize requantize = to.requantize;
      requantize.multipliers += b * 16;
      store_bytes<kCount>(out + static_cast<size_t>(b) * to.out_pitch, group, requantize);
    }
    store_row<kFirst + 4, kWidth>(to, row, sum);
  }
}

template <int kRows, int kWidth, int kPixels, int kBlocks>
[[gnu::always_inline]] inline void store_tile(const QuantStore& to, Sums (&sum)[kPixels][kBlocks]) {
  CARREL_UNROLL
  for (int r = 0; r < kRows; ++r) store_row<0, kWidth>(to, r, sum);
}

template <int kRows, int kWidth, int kPixels, int kBlocks>
[[gnu::always_inline]] inline void finish_sums(const QuantTile& tile,
                                               Sums (&sum)[kPixels][kBlocks]) {
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) keep(sum[i][b]);
  }
  if (tile.unfinished == nullptr) {
    const float* multipliers = tile.multipliers;
    QuantStore to = {tile.out, tile.out_row, tile.out_pitch, {multipliers, tile.zero, tile.low, tile.high}};
    if (tile.zero != 0 || tile.low != 0 || tile.high != 255) return store_tile<kRows, kWidth>(to, sum);
    // After Relu: the constants leave less to do.
    to.requantize = {multipliers, 0, 0, 255};
    return store_tile<kRows, kWidth>(to, sum);
  }
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      store_sums(tile.unfinished + static_cast<size_t>(i) * tile.sum_pitch + b * 16, sum[i][b]);
    }
  }
}

// kRows x kWidth pixels. kStride: input pixels per output pixel, 0 if known only at run time.
template <int kRows, int kWidth, int kBlocks, int kStride>
void dot_u8s8_tile(const QuantTile& tile) {
  const size_t stride = kStride ? size_t{kStride} * 16 : tile.in_stride;
  const size_t quad_bytes = kBlocks == 2 ? 128 : tile.quad_bytes;
  Sums sum[kRows * kWidth][kBlocks];
  start_sums(tile, sum);
  const std::byte* ahead = tile.ahead;
  for (const QuantRun *run = tile.runs, *end = run + tile.run_count; run != end; ++run) {
    const uint8_t* in = run->in + tile.in_offset;
    const std::byte* weights = tile.weights + size_t{run->quad} * quad_bytes;
    for (uint32_t t = run->taps; t > 0; --t, in += tile.tap_step, ahead += kAheadOfTap) {
      __builtin_prefetch(ahead, 0, 2);
      __builtin_prefetch(ahead + kAheadOfTap / 2, 0, 2);
      if (run->quads == 4) {
        multiply_quads<4, kWidth>(in, stride, tile.in_row, weights, quad_bytes, sum);
        weights += 4 * quad_bytes;
        continue;
      }
      for (uint32_t q = 0; q < run->quads; ++q, weights += quad_bytes) {
        multiply_quads<1, kWidth>(in + q * 4, stride, tile.in_row, weights, quad_bytes, sum);
      }
    }
  }
  finish_sums<kRows, kWidth>(tile, sum);
}

// One output pixel: every quad of a tap has sums of its own, so the processor overlaps them. From the last tap to the
// first: of a tile that was decrypted just now, the end is nearest.
template <int kBlocks>
void dot_u8s8_single(const QuantTile& tile) {
  const size_t quad_bytes = kBlocks == 2 ? 128 : tile.quad_bytes;
  Sums part[4][kBlocks];
  CARREL_UNROLL
  for (int b = 0; b < kBlocks; ++b) {
    part[0][b] = load_sums(tile.start + b * 16);
    if (tile.partial != nullptr) part[0][b] = part[0][b] + load_sums(tile.partial + b * 16);
    part[1][b] = part[2][b] = part[3][b] = no_sums();
  }
  for (const QuantRun* run = tile.runs + tile.run_count; run != tile.runs;) {
    --run;
    for (uint32_t t = run->taps; t-- > 0;) {
      const uint8_t* in = run->in + t * tile.tap_step;
      const std::byte* weights = tile.weights + (run->quad + size_t{t} * run->quads) * quad_bytes;
      if (run->quads < 4) {
        for (uint32_t q = 0; q < run->quads; ++q, weights += quad_bytes) {
          CARREL_UNROLL
          for (int b = 0; b < kBlocks; ++b) {
            part[0][b] = dot(part[0][b], splat(in + q * 4), load_weights(weights + b * 64));
          }
        }
        continue;
      }
      CARREL_UNROLL
      for (int q = 0; q < 4; ++q, weights += quad_bytes) {
        CARREL_UNROLL
        for (int b = 0; b < kBlocks; ++b) {
          part[q][b] = dot(part[q][b], splat(in + q * 4), load_weights(weights + b * 64));
        }
      }
    }
  }
  Sums sum[1][kBlocks];
  CARREL_UNROLL
  for (int b = 0; b < kBlocks; ++b) {
    sum[0][b] = (part[0][b] + part[1][b]) + (part[2][b] + part[3][b]);
  }
  finish_sums<1, 1>(tile, sum);
}

// `Tiles` is the ISA's choice, as in conv_body.h.

// Calls f(input block, kernel row, first kernel column, taps, first quad, quads per tap) for every run of the
// call's taps, in their order; returns the number of quads. The taps of a 1 x 1 kernel are neighbouring blocks.
template <class F>
uint32_t each_run(const QuantConvCall& call, F f) {
  const uint32_t width = call.window.kernel_w, area = call.window.kernel_h * width;
  const uint32_t full = call.in_channels / kLanes;
  uint32_t block = call.tap_begin / area, h = call.tap_begin % area / width;
  uint32_t w = call.tap_begin % area % width, quad = 0;
  for (uint32_t tap = call.tap_begin; tap < call.tap_end; w = 0) {
    const uint32_t left = call.tap_end - tap;
    const uint32_t row = area == 1 && block < full ? full - block : width - w;
    const uint32_t taps = row < left ? row : left;
    const uint32_t quads = block < full ? 4 : (call.in_channels - full * kLanes + 3) / 4;
    f(block, h, w, taps, quad, quads);
    quad += taps * quads;
    tap += taps;
    if (area == 1) {
      block += taps;
    } else if (++h == call.window.kernel_h) {
      h = 0, ++block;
    }
  }
  return quad;
}
// Bytes from a run's tap to the next.
inline size_t run_step(const QuantConvCall& call) {
  const bool blocks = call.window.kernel_h == 1 && call.window.kernel_w == 1;
  return blocks ? call.in.shape.block_pitch() : size_t{call.window.dilation_w} * kLanes;
}

// The runs of output row y that lie inside the input.
inline uint32_t list_runs(const QuantConvCall& call, uint32_t y, QuantRun* runs) {
  constexpr uint32_t kKnownRows = 16;  // taller kernels find the others anew for each block
  const Positions inside = positions_in_height(call.window, y, call.in.shape.height);
  const int32_t top = call.window.first_row(y), left = call.window.pad_left;
  const auto row_at = [&](uint32_t h) -> const uint8_t* {
    const int32_t row = top + static_cast<int32_t>(h * call.window.dilation_h);
    return call.in.pixel(static_cast<uint32_t>(row), -left, call.in_block);
  };
  const uint8_t* known[kKnownRows];
  for (uint32_t h = inside.begin; h < inside.end && h < kKnownRows; ++h) known[h] = row_at(h);
  const size_t pitch = call.in.shape.block_pitch();
  uint32_t count = 0;
  each_run(call, [&](uint32_t block, uint32_t h, uint32_t w, uint32_t taps, uint32_t quad, uint32_t quads) {
    if (h < inside.begin || h >= inside.end) return;
    const uint8_t* row = h < kKnownRows ? known[h] : row_at(h);
    runs[count++] = {row + block * pitch + size_t{w} * call.window.dilation_w * kLanes, quad,
                     static_cast<uint16_t>(taps), static_cast<uint16_t>(quads)};
  });
  return count;
}

// The channels' bias, if the call has it, what kernel rows outside the input add to it, and what dot() lacks.
inline void start_of_rows(const QuantConvCall& call, uint32_t y, uint32_t width,
                          const std::byte* head, const std::byte* taps, int32_t* start) {
  const Positions inside = positions_in_height(call.window, y, call.in.shape.height);
  const uint8_t zero = call.in.shape.zero;
  const uint8_t quad_of_zeros[4] = {zero, zero, zero, zero};
  const Splat x = splat(quad_of_zeros);
  const bool complete = inside.begin == 0 && inside.end == call.window.kernel_h;
  for (uint32_t b = 0; b < width; b += kLanes) {
    Sums sum = no_sums();
    if (head != nullptr) sum = load_sums(reinterpret_cast<const int32_t*>(head) + b);
    if (!complete || kDotFallsShort<Sums, Weights>) {
      each_run(call, [&](uint32_t, uint32_t h, uint32_t, uint32_t n, uint32_t quad, uint32_t quads) {
        const bool outside = h < inside.begin || h >= inside.end;
        if (!outside && !kDotFallsShort<Sums, Weights>) return;
        const std::byte* weights = taps + (size_t{quad} * width + b) * 4;
        for (uint32_t q = 0; q < n * quads; ++q, weights += size_t{width} * 4) {
          const Weights w = load_weights(weights);
          sum = with_shortfall(outside ? dot(sum, x, w) : sum, w);
        }
      });
    }
    store_sums(start + b, sum);
  }
}

// Returns what to fetch ahead next.
template <class Tiles>
const std::byte* quant_row(const QuantConvCall& call, QuantTile tile, uint32_t blocks) {
  const uint32_t width = call.out.shape.width, stride_w = call.window.stride_w;
  const uint32_t most = Tiles::max_pixels(stride_w);
  const uint32_t count = (width + most - 1) / most;
  const uint32_t pixels = width / count, longer = width % count;
  const QuantTileFn wide = Tiles::pick(pixels + (longer != 0), blocks, stride_w);
  const QuantTileFn narrow = Tiles::pick(pixels, blocks, stride_w);
  for (uint32_t i = 0; i < count; ++i) {
    (i < longer ? wide : narrow)(tile);
    const uint32_t done = pixels + (i < longer);
    advance_ahead(&tile, call.tap_end - call.tap_begin);
    tile.in_offset += done * tile.in_stride;
    tile.out += size_t{done} * kLanes;
    if (tile.partial != nullptr) tile.partial += done * tile.sum_pitch;
    if (tile.unfinished != nullptr) tile.unfinished += done * tile.sum_pitch;
  }
  return tile.ahead;
}

template <class Tiles>
void quant_tiles(const QuantConvCall& call, QuantTile tile, uint32_t blocks, uint32_t rows) {
  const MapShape& shape = call.out.shape;
  if (shape.width == 1 && shape.height == 1) return Tiles::single(blocks)(tile);
  const uint32_t at_once = Tiles::rows_at_once(shape.width, call.window.stride_w);
  for (uint32_t done = 0; done < rows;) {
    const bool together = at_once > 1 && rows - done >= at_once;
    if (together) {
      Tiles::pick_rows(shape.width, blocks, call.window.stride_w)(tile);
      advance_ahead(&tile, call.tap_end - call.tap_begin);
    } else {
      tile.ahead = quant_row<Tiles>(call, tile, blocks);
    }
    const uint32_t step = together ? at_once : 1;
    const size_t sums = step * shape.width * tile.sum_pitch;
    tile.in_offset += step * tile.in_row;
    tile.out += step * tile.out_row;
    if (tile.partial != nullptr) tile.partial += sums;
    if (tile.unfinished != nullptr) tile.unfinished += sums;
    done += step;
  }
}

// The listed runs of `rows` output rows from y on.
struct QuantStep {
  const QuantRun* runs;
  uint32_t run_count;
  uint32_t y, rows;
};

// One panel of `width` channels, whose taps have panel_bytes.
template <class Tiles>
void quant_panel(const QuantConvCall& call, const QuantStep& step, uint32_t panel, uint32_t width,
                 const std::byte* weights, size_t panel_bytes) {
  const bool first = call.tap_begin == 0, last = call.tap_end == call.taps;
  const size_t head_bytes = first ? size_t{width} * 8 : 0;
  alignas(64) int32_t start[kPanelWidth];
  start_of_rows(call, step.y, width, first ? weights : nullptr, weights + head_bytes, start);
  const std::byte* multipliers = first ? weights + size_t{width} * 4 : call.sums;
  if (first && !last) __builtin_memcpy(call.sums, multipliers, size_t{width} * 4);
  int32_t* sums = reinterpret_cast<int32_t*>(call.sums);
  if (sums != nullptr) {
    sums += kPanelWidth + size_t{step.y - call.rows.begin} * call.out.shape.width * width;
  }
  const uint32_t blocks = width / kLanes < Tiles::kBlocks ? 1 : Tiles::kBlocks;
  for (uint32_t h = 0; h < width / kLanes; h += blocks) {
    QuantTile tile = {};
    tile.runs = step.runs;
    tile.run_count = step.run_count;
    tile.weights = weights + head_bytes + h * kLanes * 4;
    tile.quad_bytes = size_t{width} * 4;
    tile.ahead = tile.ahead_begin = weights + head_bytes + panel_bytes;
    tile.ahead_end = tile.ahead + panel_bytes;
    tile.start = start + h * kLanes;
    tile.partial = first ? nullptr : sums + h * kLanes;
    tile.unfinished = last ? nullptr : sums + h * kLanes;
    tile.sum_pitch = width;
    tile.multipliers = reinterpret_cast<const float*>(multipliers) + h * kLanes;
    tile.in_stride = size_t{call.window.stride_w} * kLanes;
    tile.in_row = size_t{call.window.stride_h} * call.in.shape.row_bytes();
    tile.tap_step = run_step(call);
    tile.out = call.out.pixel(step.y, 0, call.out_block + panel * (kPanelWidth / kLanes) + h);
    tile.out_row = call.out.shape.row_bytes();
    tile.out_pitch = call.out.shape.block_pitch();
    tile.zero = call.out.shape.zero;
    tile.low = call.low;
    tile.high = call.high;
    quant_tiles<Tiles>(call, tile, blocks, step.rows);
  }
}

template <class Tiles>
void quant_conv_rows(const QuantConvCall& call) {
  const size_t quads = each_run(call, [](auto...) {});
  QuantRun runs[kMaxQuantRuns];
  uint32_t rows = 1;
  for (uint32_t y = call.rows.begin; y < call.rows.end; y += rows) {
    rows = rows_alike(call, y);
    const QuantStep step = {runs, list_runs(call, y, runs), y, rows};
    const std::byte* weights = call.weights;
    for (uint32_t p = call.panel_begin; p < call.panel_begin + call.panel_count; ++p) {
      const uint32_t width = call.out_channels - p * kPanelWidth <= kLanes ? kLanes : kPanelWidth;
      quant_panel<Tiles>(call, step, p, width, weights, quads * width * 4);
      weights += (call.tap_begin == 0 ? size_t{width} * 8 : 0) + quads * width * 4;
    }
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
