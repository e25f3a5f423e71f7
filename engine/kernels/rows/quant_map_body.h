#pragma once
// Every kernel on quantized maps but the convolutions. Include after vec_<isa>.h.
#include "engine/kernels/rows/window_body.h"

namespace carrel::CARREL_ROWS_ISA {

// Sixteen bytes, one channel block of a pixel; operations on them are the compiler's.
typedef uint8_t Bytes __attribute__((vector_size(16)));
inline Bytes load_block(const uint8_t* p) {
  Bytes b;
  __builtin_memcpy(&b, p, sizeof(b));
  return b;
}
inline void store_block(uint8_t* p, Bytes b) { __builtin_memcpy(p, &b, sizeof(b)); }

// Real numbers in units of the output's scale to bytes: rounded half to even, plus zero, clamped.
struct ByteRange {
  Vec low, high;  // less zero
  int32_t zero;
  ByteRange(uint8_t least, uint8_t most, uint8_t zero_point)
      : low(splat(static_cast<float>(least - zero_point))),
        high(splat(static_cast<float>(most - zero_point))),
        zero(zero_point) {}
};
inline void store_bytes(uint8_t* to, Vec x, const ByteRange& range) {
  store_rounded(to, min(max(x, range.low), range.high), range.zero);
}

// Calls f(y, block) for every row of every block of the call.
template <class Call, class F>
void each_block_row(const Call& call, F f) {
  for (uint32_t b = call.block_begin; b < call.block_begin + call.block_count; ++b) {
    for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) f(y, b);
  }
}

inline constexpr uint32_t kMaxPoolRows = 16;  // taller windows find their rows anew for each pixel

// One output row of one block.
struct QuantPoolRow {
  const QuantPoolCall* call;
  uint32_t y, block;
  Positions rows;
  uint32_t counted_rows;  // what an average divides by, in y
  const uint8_t* inputs[kMaxPoolRows];  // of kernel row h: input pixel 0
};

inline const uint8_t* pool_input(const QuantPoolRow& row, uint32_t h) {
  const Window& w = row.call->window;
  const int32_t y = w.first_row(row.y) + static_cast<int32_t>(h * w.dilation_h);
  return row.call->in.pixel(static_cast<uint32_t>(y), 0, row.block);
}

inline QuantPoolRow pool_row_at(const QuantPoolCall& call, uint32_t y, uint32_t block) {
  const Window& w = call.window;
  const int32_t height = static_cast<int32_t>(call.in.shape.height), top = w.first_row(y);
  const int32_t before = call.count_include_pad ? w.pad_top : 0;
  const int32_t after = call.count_include_pad ? call.counted_bottom : 0;
  const Positions counted = positions_inside(top, w.kernel_h, w.dilation_h, -before, height + after);
  QuantPoolRow row = {&call, y, block, positions_in_height(w, y, call.in.shape.height), counted.end - counted.begin, {}};
  for (uint32_t h = row.rows.begin; h < row.rows.end && h < kMaxPoolRows; ++h) row.inputs[h] = pool_input(row, h);
  return row;
}

// Columns of output pixel x inside the input, and those that an average counts.
inline Positions pool_columns(const QuantPoolCall& call, uint32_t x, uint32_t* counted) {
  const Window& w = call.window;
  const int32_t width = static_cast<int32_t>(call.in.shape.width);
  const int32_t left = static_cast<int32_t>(x * w.stride_w) - w.pad_left;
  if (left >= 0 && left + w.span_w() <= width) {  // most pixels, without the divisions
    *counted = w.kernel_w;
    return {0, w.kernel_w};
  }
  const int32_t before = call.count_include_pad ? w.pad_left : 0;
  const int32_t after = call.count_include_pad ? call.counted_right : 0;
  const Positions all = positions_inside(left, w.kernel_w, w.dilation_w, -before, width + after);
  *counted = all.end - all.begin;
  return positions_inside(left, w.kernel_w, w.dilation_w, 0, width);
}

// Calls f(input pixel) for every tap of output pixel x inside the input.
template <class F>
inline void each_tap(const QuantPoolRow& row, uint32_t x, Positions columns, F f) {
  const Window& w = row.call->window;
  const int32_t left = static_cast<int32_t>(x * w.stride_w) - w.pad_left;
  const int32_t in_x = left + static_cast<int32_t>(columns.begin * w.dilation_w);
  for (uint32_t h = row.rows.begin; h < row.rows.end; ++h) {
    const uint8_t* in = h < kMaxPoolRows ? row.inputs[h] : pool_input(row, h);
    in += in_x * static_cast<int32_t>(kLanes);
    for (uint32_t v = columns.begin; v < columns.end; ++v, in += size_t{w.dilation_w} * kLanes) f(in);
  }
}

inline Bytes max_at(const QuantPoolRow& row, uint32_t x) {
  uint32_t counted;
  Bytes most = {};
  each_tap(row, x, pool_columns(*row.call, x, &counted), [&](const uint8_t* in) {
    const Bytes b = load_block(in);
    most = most > b ? most : b;
  });
  return most;
}

// Output pixels [begin, end), whose windows are kRows x kColumns neighbouring pixels of the input.
template <uint32_t kRows, uint32_t kColumns>
void max_of_windows(const QuantPoolRow& row, uint32_t begin, uint32_t end, uint8_t* out) {
  const Window& w = row.call->window;
  const size_t step = size_t{w.stride_w} * kLanes;
  size_t at = begin * step - size_t{w.pad_left} * kLanes;
  const uint8_t* in[kRows];
  for (uint32_t h = 0; h < kRows; ++h) in[h] = row.inputs[row.rows.begin + h];
  for (size_t x = begin; x < end; ++x, at += step) {
    Bytes most = {};
    CARREL_UNROLL
    for (uint32_t h = 0; h < kRows; ++h) {
      CARREL_UNROLL
      for (uint32_t v = 0; v < kColumns; ++v) {
        const Bytes b = load_block(in[h] + at + v * kLanes);
        most = most > b ? most : b;
      }
    }
    store_block(out + x * kLanes, most);
  }
}
using MaxOfWindowsFn = void (*)(const QuantPoolRow&, uint32_t, uint32_t, uint8_t*);
// nullptr: a window of another kind.
inline MaxOfWindowsFn pick_max_of_windows(const QuantPoolRow& row) {
  const Window& w = row.call->window;
  const uint32_t rows = row.rows.end - row.rows.begin;
  if (w.dilation_w != 1 || w.kernel_h > kMaxPoolRows) return nullptr;
  if (w.kernel_w == 2 && rows == 2) return max_of_windows<2, 2>;
  if (w.kernel_w == 3 && rows == 2) return max_of_windows<2, 3>;
  if (w.kernel_w == 3 && rows == 3) return max_of_windows<3, 3>;
  return nullptr;
}

inline void max_pool_row(const QuantPoolRow& row) {
  const QuantPoolCall& call = *row.call;
  const Window& w = call.window;
  const uint32_t width = call.out.shape.width;
  uint8_t* out = call.out.pixel(row.y, 0, row.block);
  const MaxOfWindowsFn inner = pick_max_of_windows(row);
  uint32_t x = 0;
  if (inner != nullptr) {
    // Output pixels [begin, end) have all of their columns inside the input.
    const uint32_t begin = (w.pad_left + w.stride_w - 1u) / w.stride_w;
    const uint32_t reach = call.in.shape.width + w.pad_left;
    const uint32_t all = reach < w.kernel_w ? 0 : (reach - w.kernel_w) / w.stride_w + 1;
    const uint32_t end = all < width ? all : width;
    for (; x < begin && x < width; ++x) store_block(out + size_t{x} * kLanes, max_at(row, x));
    if (x < end) inner(row, x, end, out), x = end;
  }
  for (; x < width; ++x) store_block(out + size_t{x} * kLanes, max_at(row, x));
}

inline void average_pool_row(const QuantPoolRow& row) {
  const QuantPoolCall& call = *row.call;
  const ByteRange range(0, 255, call.out.shape.zero);
  uint8_t* out = call.out.pixel(row.y, 0, row.block);
  for (uint32_t x = 0, counted; x < call.out.shape.width; ++x, out += kLanes) {
    const Positions columns = pool_columns(call, x, &counted);
    Vec sum = splat(0.0f);
    each_tap(row, x, columns, [&](const uint8_t* in) { sum = sum + load_bytes(in); });
    const uint32_t taps = (row.rows.end - row.rows.begin) * (columns.end - columns.begin);
    const Vec zeros = splat(static_cast<float>(taps * call.in.shape.zero));
    counted *= row.counted_rows;
    const float scale = call.scale / static_cast<float>(counted > 0 ? counted : 1);
    store_bytes(out, (sum - zeros) * splat(scale), range);
  }
}

void quant_pool(const QuantPoolCall& call) {
  const bool max = call.kind == PoolKind::kMax;
  each_block_row(call, [&](uint32_t y, uint32_t b) {
    const QuantPoolRow row = pool_row_at(call, y, b);
    max ? max_pool_row(row) : average_pool_row(row);
  });
}

void quant_add(const QuantAddCall& call) {
  const ByteRange range(call.low, call.high, call.out.shape.zero);
  const Vec a_zero = splat(call.a.shape.zero), b_zero = splat(call.b.shape.zero);
  const Vec a_scale = splat(call.a_scale), b_scale = splat(call.b_scale);
  const int32_t zero = call.out.shape.zero;
  const uint8_t low = call.low, high = call.high;
  each_block_row(call, [&](uint32_t y, uint32_t block) {
    const uint8_t* a = call.a.pixel(y, 0, block);
    const uint8_t* b = call.b.pixel(y, 0, block);
    uint8_t* out = call.out.pixel(y, 0, block);
    const auto sum = [&](size_t i) {
      return load_levels(a + i, a_zero) * a_scale + load_levels(b + i, b_zero) * b_scale;
    };
    const size_t bytes = size_t{call.out.shape.width} * kLanes;
    size_t i = 0;
    for (; i + 4 * kLanes <= bytes; i += 4 * kLanes) {
      const Vec sums[4] = {sum(i), sum(i + kLanes), sum(i + 2 * kLanes), sum(i + 3 * kLanes)};
      store_rounded(out + i, sums, zero, low, high);
    }
    for (; i < bytes; i += kLanes) store_bytes(out + i, sum(i), range);
  });
}

// Whole blocks of a row.
inline void copy_blocks(const QuantCopyCall& call, const uint8_t* in, uint8_t* out) {
  const size_t bytes = size_t{call.in.shape.width} * kLanes;
  if (!call.requantize) {
    __builtin_memcpy(out, in, bytes);
    return;
  }
  const ByteRange range(0, 255, call.out.shape.zero);
  const Vec zero = splat(call.in.shape.zero), scale = splat(call.scale);
  for (size_t i = 0; i < bytes; i += kLanes) {
    store_bytes(out + i, (load_bytes(in + i) - zero) * scale, range);
  }
}

// `count` channels of every pixel: from lane `from` of the input's block to lane `to` of the output's.
inline void copy_lanes(const QuantCopyCall& call, const uint8_t* in, uint8_t* out, uint32_t from,
                       uint32_t to, uint32_t count) {
  alignas(64) uint8_t block[2 * kLanes] = {};
  const ByteRange range(0, 255, call.out.shape.zero);
  const Vec zero = splat(call.in.shape.zero), scale = splat(call.scale);
  for (uint32_t x = 0; x < call.in.shape.width; ++x, in += kLanes, out += kLanes) {
    store_block(block, load_block(in));
    if (call.requantize) store_bytes(block, (load_bytes(in) - zero) * scale, range);
    for (uint32_t i = 0; i < count; ++i) out[to + i] = block[from + i];
  }
}

void quant_copy(const QuantCopyCall& call) {
  const uint32_t channels = call.extract ? call.out.shape.channels : call.in.shape.channels;
  const uint32_t in_begin = call.extract ? call.channel_begin : 0;
  const uint32_t out_begin = call.extract ? 0 : call.channel_begin;
  for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
    for (uint32_t c = 0; c < channels;) {
      const uint32_t from = (in_begin + c) % kLanes, to = (out_begin + c) % kLanes;
      const uint32_t fitting = kLanes - (from > to ? from : to);
      const uint32_t count = channels - c < fitting ? channels - c : fitting;
      const uint8_t* in = call.in.pixel(y, 0, (in_begin + c) / kLanes);
      uint8_t* out = call.out.pixel(y, 0, (out_begin + c) / kLanes);
      if (count == kLanes) {
        copy_blocks(call, in, out);
      } else {
        copy_lanes(call, in, out, from, to, count);
      }
      c += count;
    }
  }
}

// Four channels of 16 pixels as 16 pixels of four channels.
inline void interleave(const uint8_t (&channels)[kMaxPlanarChannels][kLanes], uint8_t* pixels) {
  Bytes in[4], pair[4];
  for (int c = 0; c < 4; ++c) in[c] = load_block(channels[c]);
#define CARREL_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define CARREL_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
  for (int c = 0; c < 2; ++c) {
    pair[c] = __builtin_shufflevector(in[c], in[c + 2], CARREL_LOW);
    pair[c + 2] = __builtin_shufflevector(in[c], in[c + 2], CARREL_HIGH);
  }
  for (int half = 0; half < 2; ++half) {
    const Bytes even = pair[2 * half], odd = pair[2 * half + 1];
    store_block(pixels + half * 32, __builtin_shufflevector(even, odd, CARREL_LOW));
    store_block(pixels + half * 32 + 16, __builtin_shufflevector(even, odd, CARREL_HIGH));
  }
#undef CARREL_LOW
#undef CARREL_HIGH
}

// A row of a planar map: only the first four lanes of a pixel are written, the others are unused.
inline void quantize_planar_row(const QuantizeCall& call, uint32_t y) {
  const ByteRange range(0, 255, call.zero);
  const Vec scale = splat(call.scale);
  const uint32_t width = call.in.shape.width;
  uint8_t* out = call.out.pixel(y, 0, 0);
  for (uint32_t x = 0; x < width; x += kLanes, out += kLanes * kLanes) {
    const uint32_t count = width - x < kLanes ? width - x : kLanes;
    uint8_t channels[kMaxPlanarChannels][kLanes] = {};
    alignas(64) uint8_t pixels[4 * kLanes];
    for (uint32_t c = 0; c < call.in.shape.channels; ++c) {
      const float* in = call.in.planar_pixel(y, static_cast<int32_t>(x), c);
      const Vec reals = count == kLanes ? load(in) : load_first(in, count);
      store_bytes(channels[c], reals / scale, range);
    }
    interleave(channels, pixels);
    for (uint32_t i = 0; i < count; ++i) __builtin_memcpy(out + i * kLanes, pixels + i * 4, 4);
  }
}

void quantize(const QuantizeCall& call) {
  const ByteRange range(0, 255, call.zero);
  const Vec scale = splat(call.scale);
  const bool planar = call.in.shape.planar();
  each_block_row(call, [&](uint32_t y, uint32_t block) {
    if (planar) return quantize_planar_row(call, y);
    const float* in = call.in.pixel(y, 0, block);
    uint8_t* out = call.out.pixel(y, 0, block);
    for (size_t i = 0; i < size_t{call.in.shape.width} * kLanes; i += kLanes) {
      store_bytes(out + i, load(in + i) / scale, range);
    }
  });
}

void dequantize(const DequantizeCall& call) {
  const Vec zero = splat(call.zero), scale = splat(call.scale);
  each_block_row(call, [&](uint32_t y, uint32_t block) {
    const uint8_t* in = call.in.pixel(y, 0, block);
    float* out = call.out.pixel(y, 0, block);
    for (size_t i = 0; i < size_t{call.in.shape.width} * kLanes; i += kLanes) {
      store(out + i, (load_bytes(in + i) - zero) * scale);
    }
  });
}

void fill_pads(const ByteRing& ring, RowRange rows) {
  const MapShape& shape = ring.shape;
  const Bytes zero = Bytes{} + shape.zero;
  for (uint32_t y = rows.begin; y < rows.end; ++y) {
    for (uint32_t b = 0; b < shape.blocks(); ++b) {
      uint8_t* left = ring.block_row(y, b);
      for (uint32_t x = 0; x < shape.pad_left; ++x) store_block(left + size_t{x} * kLanes, zero);
      uint8_t* right = left + (size_t{shape.pad_left} + shape.width) * kLanes;
      for (uint32_t x = 0; x < shape.pad_right; ++x) store_block(right + size_t{x} * kLanes, zero);
    }
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
