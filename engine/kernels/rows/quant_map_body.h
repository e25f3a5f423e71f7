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

inline void max_pool_row(const QuantPoolRow& row) {
  const uint32_t width = row.call->out.shape.width;
  uint8_t* out = row.call->out.pixel(row.y, 0, row.block);
  for (uint32_t x = 0, counted; x < width; ++x, out += kLanes) {
    Bytes most = {};
    each_tap(row, x, pool_columns(*row.call, x, &counted), [&](const uint8_t* in) {
      const Bytes b = load_block(in);
      most = most > b ? most : b;
    });
    store_block(out, most);
  }
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
  each_block_row(call, [&](uint32_t y, uint32_t block) {
    const uint8_t* a = call.a.pixel(y, 0, block);
    const uint8_t* b = call.b.pixel(y, 0, block);
    uint8_t* out = call.out.pixel(y, 0, block);
    for (size_t i = 0; i < size_t{call.out.shape.width} * kLanes; i += kLanes) {
      const Vec from_a = (load_bytes(a + i) - a_zero) * a_scale;
      const Vec from_b = (load_bytes(b + i) - b_zero) * b_scale;
      store_bytes(out + i, from_a + from_b, range);
    }
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

// At most four channels and at least four pixels: four pixels fill a vector. The last tile is moved left.
inline void quantize_narrow_row(const QuantizeCall& call, const float* in, uint8_t* out) {
  const ByteRange range(0, 255, call.zero);
  const Vec scale = splat(call.scale);
  const uint32_t width = call.in.shape.width;
  for (uint32_t x = 0; x < width; x += 4) {
    const size_t first = size_t{x + 4 <= width ? x : width - 4} * kLanes;
    uint8_t bytes[kLanes];
    store_bytes(bytes, load_quarters(in + first, kLanes) / scale, range);
    for (uint32_t i = 0; i < 4; ++i) __builtin_memcpy(out + first + i * kLanes, bytes + i * 4, 4);
  }
}

void quantize(const QuantizeCall& call) {
  const ByteRange range(0, 255, call.zero);
  const Vec scale = splat(call.scale);
  const bool narrow = call.in.shape.channels <= 4 && call.in.shape.width >= 4;
  each_block_row(call, [&](uint32_t y, uint32_t block) {
    const float* in = call.in.pixel(y, 0, block);
    uint8_t* out = call.out.pixel(y, 0, block);
    if (narrow) return quantize_narrow_row(call, in, out);
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
