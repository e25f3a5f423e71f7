#pragma once
// The transforms of Winograd's F(m x m, 3 x 3), channels in lanes. Include after vec_<isa>.h.
// Points 0, 1, -1 [, 2, -2], infinity; matrices of Lavin and Gray.
#include "engine/kernels/rows/elementwise_body.h"

namespace carrel::CARREL_ROWS_ISA {

// 1-D transforms: input() of n = m + 2 pixels, filter() of 3 weights to n, output() of n to m.
template <int kSide>
struct Winograd;

template <>
struct Winograd<4> {
  static constexpr int kTile = 6;

  [[gnu::always_inline]] static void input(const Vec (&d)[6], Vec (&t)[6]) {
    const Vec four = splat(4.0f), minus4 = splat(-4.0f), minus5 = splat(-5.0f);
    const Vec two = splat(2.0f), minus2 = splat(-2.0f);
    const Vec even = multiply_add(minus4, d[2], d[4]), odd = multiply_add(minus4, d[1], d[3]);
    const Vec c = d[4] - d[2], e = d[3] - d[1];
    t[0] = multiply_add(four, d[0], multiply_add(minus5, d[2], d[4]));
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = multiply_add(two, e, c);
    t[4] = multiply_add(minus2, e, c);
    t[5] = multiply_add(four, d[1], multiply_add(minus5, d[3], d[5]));
  }
  [[gnu::always_inline]] static void filter(const Vec (&g)[3], Vec (&u)[6]) {
    const Vec sixth = splat(1 / 6.0f), twelfth = splat(1 / 12.0f);
    const Vec a = splat(-1 / 6.0f) * (g[0] + g[2]);
    const Vec b = multiply_add(splat(1 / 24.0f), g[0], sixth * g[2]);
    u[0] = splat(0.25f) * g[0];
    u[1] = multiply_add(splat(-1 / 6.0f), g[1], a);
    u[2] = multiply_add(sixth, g[1], a);
    u[3] = multiply_add(twelfth, g[1], b);
    u[4] = multiply_add(splat(-1 / 12.0f), g[1], b);
    u[5] = g[2];
  }
  [[gnu::always_inline]] static void output(const Vec (&x)[6], Vec (&y)[4]) {
    const Vec p = x[1] + x[2], q = x[1] - x[2], r = x[3] + x[4], s = x[3] - x[4];
    y[0] = x[0] + p + r;
    y[1] = multiply_add(splat(2.0f), s, q);
    y[2] = multiply_add(splat(4.0f), r, p);
    y[3] = multiply_add(splat(8.0f), s, q) + x[5];
  }
};

template <>
struct Winograd<2> {
  static constexpr int kTile = 4;

  [[gnu::always_inline]] static void input(const Vec (&d)[4], Vec (&t)[4]) {
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[1] - d[3];
  }
  [[gnu::always_inline]] static void filter(const Vec (&g)[3], Vec (&u)[4]) {
    const Vec half = splat(0.5f), a = half * (g[0] + g[2]);
    u[0] = g[0];
    u[1] = multiply_add(half, g[1], a);
    u[2] = multiply_add(splat(-0.5f), g[1], a);
    u[3] = g[2];
  }
  [[gnu::always_inline]] static void output(const Vec (&x)[4], Vec (&y)[2]) {
    y[0] = x[0] + x[1] + x[2];
    y[1] = x[1] - x[2] - x[3];
  }
};

// Neighbouring tiles share two columns; a group's columns, transformed downwards, wait on the stack
// for the transform sideways.
template <int kSide>
class InputTransform {
 public:
  static constexpr int kTile = Winograd<kSide>::kTile;
  static constexpr int kGroup = 16 / kSide;  // tiles of a group: one line of each plane is full
  static constexpr int kColumns = kSide * kGroup + 2;

  explicit InputTransform(const WinogradInputCall& call) : call_(call) {}

  // Tile row `row` (of the slab) of input block `block` (of the group).
  void run(uint32_t row, uint32_t block) {
    const WinogradPlanes& planes = call_.planes;
    const int32_t top = call_.window.first_row(call_.first_row + row * kSide);
    bool inside = true;
    for (int i = 0; i < kTile; ++i) {
      const int32_t y = top + i;
      const bool in_map = y >= 0 && y < static_cast<int32_t>(call_.in.shape.height);
      rows_[i] = in_map ? call_.in.pixel(static_cast<uint32_t>(y), -int32_t{call_.window.pad_left},
                                         call_.in_block + block)
                        : nullptr;
      inside = inside && in_map;
    }
    float* out = call_.out + (block * planes.tiles() + size_t{row} * planes.tiles_wide) * kLanes;
    for (uint32_t tile = 0; tile < planes.tiles_wide; tile += kGroup) {
      const uint32_t left = planes.tiles_wide - tile;
      const int tiles = static_cast<int>(left < kGroup ? left : kGroup);
      if (inside) {
        downwards<false>(tile, tiles);
      } else {
        downwards<true>(tile, tiles);
      }
      sideways(tiles, out + size_t{tile} * kLanes);
    }
  }

 private:
  template <bool kEdge>
  void downwards(uint32_t tile, int tiles) {
    int x = 0;
    if (tile > 0) {  // the last two columns of the group before
      for (; x < 2; ++x) {
        for (int i = 0; i < kTile; ++i) store(column(i, x), load(column(i, kColumns - 2 + x)));
      }
    }
    const size_t first = size_t{tile} * kSide;
    for (const int columns = kSide * tiles + 2; x < columns; ++x) {
      Vec d[kTile], t[kTile];
      CARREL_UNROLL
      for (int i = 0; i < kTile; ++i) {
        const float* row = rows_[i];
        if (kEdge && row == nullptr) {
          d[i] = splat(0.0f);
        } else {
          d[i] = load(row + (first + static_cast<size_t>(x)) * kLanes);
        }
      }
      Winograd<kSide>::input(d, t);
      CARREL_UNROLL
      for (int i = 0; i < kTile; ++i) store(column(i, x), t[i]);
    }
  }

  void sideways(int tiles, float* out) {
    const size_t pitch = call_.planes.input_pitch();
    for (int i = 0; i < kTile; ++i) {
      float* points = out + static_cast<size_t>(i * kTile) * pitch;
      for (int tile = 0; tile < tiles; ++tile) {
        Vec d[kTile], u[kTile];
        CARREL_UNROLL
        for (int j = 0; j < kTile; ++j) d[j] = load(column(i, tile * kSide + j));
        Winograd<kSide>::input(d, u);
        CARREL_UNROLL
        for (int j = 0; j < kTile; ++j) {
          store(points + static_cast<size_t>(j) * pitch + static_cast<size_t>(tile) * kLanes, u[j]);
        }
      }
    }
  }

  float* column(int i, int x) { return columns_ + (i * kColumns + x) * int{kLanes}; }

  const WinogradInputCall& call_;
  const float* rows_[kTile] = {};
  alignas(64) float columns_[kTile * kColumns * kLanes];
};

template <int kSide>
void transform_input(const WinogradInputCall& call) {
  InputTransform<kSide> transform(call);
  for (uint32_t block = call.block_begin; block < call.block_begin + call.block_count; ++block) {
    for (uint32_t row = 0; row < call.planes.tile_rows; ++row) transform.run(row, block);
  }
}

// One input channel's 3 x 3 weights of 16 output channels; `step` floats from tap to tap.
template <int kSide>
[[gnu::always_inline]] inline void transform_weights(const float* weights, size_t step, float* out,
                                                     size_t pitch) {
  constexpr int kTile = Winograd<kSide>::kTile;
  Vec columns[3][kTile];
  CARREL_UNROLL
  for (size_t s = 0; s < 3; ++s) {
    const Vec g[3] = {load(weights + s * step), load(weights + (3 + s) * step),
                      load(weights + (6 + s) * step)};
    Winograd<kSide>::filter(g, columns[s]);
  }
  CARREL_UNROLL
  for (int i = 0; i < kTile; ++i) {
    const Vec g[3] = {columns[0][i], columns[1][i], columns[2][i]};
    Vec u[kTile];
    Winograd<kSide>::filter(g, u);
    CARREL_UNROLL
    for (int j = 0; j < kTile; ++j) store(out + static_cast<size_t>(i * kTile + j) * pitch, u[j]);
  }
}

template <int kSide>
void transform_filter(const WinogradFilterCall& call) {
  const size_t pitch = call.planes.filter_pitch(), width = call.width;
  const float* weights = call.weights;
  for (uint32_t done = 0; done < call.channels;) {
    const uint32_t left = call.channels - done, rows = left < kLanes ? left : kLanes;
    for (uint32_t i = 0; i < rows; ++i) {
      float* out = call.out + (size_t{call.first_channel} + done + i) * width;
      for (size_t lane = 0; lane < width; lane += kLanes) {
        transform_weights<kSide>(weights + i * width + lane, rows * width, out + lane, pitch);
      }
    }
    weights += size_t{9} * rows * width;
    done += rows;
  }
}

// One tile of 16 output channels. y is transformed upwards first, then each column is finished.
template <int kSide>
[[gnu::always_inline]] inline void transform_product(const float* in, size_t pitch, Vec bias,
                                                     Vec low, Vec high, float* const (&rows)[kSide],
                                                     const float* const (&residuals)[kSide],
                                                     uint32_t columns) {
  constexpr int kTile = Winograd<kSide>::kTile;
  Vec half[kTile][kSide];
  CARREL_UNROLL
  for (int i = 0; i < kTile; ++i) {
    Vec x[kTile];
    CARREL_UNROLL
    for (int j = 0; j < kTile; ++j) x[j] = load(in + static_cast<size_t>(i * kTile + j) * pitch);
    Winograd<kSide>::output(x, half[i]);
  }
  CARREL_UNROLL
  for (uint32_t j = 0; j < kSide; ++j) {
    if (j >= columns) return;
    Vec x[kTile], y[kSide];
    CARREL_UNROLL
    for (int i = 0; i < kTile; ++i) x[i] = half[i][j];
    Winograd<kSide>::output(x, y);
    CARREL_UNROLL
    for (int i = 0; i < kSide; ++i) {
      if (rows[i] == nullptr) continue;
      const Vec start = residuals[i] != nullptr ? bias + load(residuals[i] + j * kLanes) : bias;
      store(rows[i] + j * kLanes, clamped(low, high, y[i] + start));
    }
  }
}

template <int kSide>
void transform_output(const WinogradOutputCall& call) {
  const WinogradPlanes& planes = call.planes;
  const MapShape& shape = call.out.shape;
  const Clamp clamp = clamp_of(call.activation);
  const Vec low = splat(clamp.low), high = splat(clamp.high);
  for (uint32_t b = 0; b < call.blocks; ++b) {
    const Vec bias = load(call.bias + b * kLanes);
    for (uint32_t row = 0; row < planes.tile_rows; ++row) {
      const uint32_t y = call.rows.begin + row * kSide;
      float* rows[kSide] = {};
      const float* residuals[kSide] = {};
      for (uint32_t i = 0; i < kSide && y + i < call.rows.end; ++i) {
        rows[i] = call.out.pixel(y + i, 0, call.out_block + b);
        if (call.residual.base != nullptr) residuals[i] = call.residual.pixel(y + i, 0, call.out_block + b);
      }
      const float* in = call.product + (b * planes.tiles() + size_t{row} * planes.tiles_wide) * kLanes;
      for (uint32_t x = 0; x < shape.width; x += kSide, in += kLanes) {
        transform_product<kSide>(in, planes.product_pitch(), bias, low, high, rows, residuals,
                                 shape.width - x);
        for (float*& to : rows) to = to != nullptr ? to + kSide * kLanes : nullptr;
        for (const float*& from : residuals) from = from != nullptr ? from + kSide * kLanes : nullptr;
      }
    }
    if (clamp.all) continue;
    for (uint32_t y = call.rows.begin; y < call.rows.end; ++y) {
      float* row = call.out.pixel(y, 0, call.out_block + b);
      apply_unary(call.activation, row, row, size_t{shape.width} * kLanes);
    }
  }
}

void winograd_input(const WinogradInputCall& call) {
  call.planes.side == 4 ? transform_input<4>(call) : transform_input<2>(call);
}
void winograd_filter(const WinogradFilterCall& call) {
  call.planes.side == 4 ? transform_filter<4>(call) : transform_filter<2>(call);
}
void winograd_output(const WinogradOutputCall& call) {
  call.planes.side == 4 ? transform_output<4>(call) : transform_output<2>(call);
}

}  // namespace carrel::CARREL_ROWS_ISA
