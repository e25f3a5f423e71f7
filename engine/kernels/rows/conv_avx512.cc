// Convolution on AVX-512: 14 pixels x 32 channels in 28 of the 32 registers, two more for weights
// and one for a broadcast input.
#if defined(__x86_64__)
// The bodies are written in terms of the vectors.
// clang-format off
#include "engine/kernels/rows/vec_avx512.h"
#include "engine/kernels/rows/winograd_multiply_body.h"
// clang-format on

namespace carrel::rows_avx512 {
namespace {

constexpr int kMaxPixels = 14;
// With a stride known only at run time every pixel needs a general register for its address.
constexpr int kMaxPixelsAnyStride = 6;

// Where a tile's pixel lies: kWidth pixels of a row, then the next row.
template <int kWidth>
[[gnu::always_inline]] inline size_t pixel_offset(int pixel, size_t stride, size_t row) {
  return static_cast<size_t>(pixel / kWidth) * row + static_cast<size_t>(pixel % kWidth) * stride;
}

// kDepth rows of weights.
template <int kDepth, int kWidth, int kPixels, int kBlocks>
[[gnu::always_inline]] inline void multiply_rows(const float* in, size_t stride, size_t row,
                                                 const float* weights,
                                                 __m512 (&sum)[kPixels][kBlocks]) {
  CARREL_UNROLL
  for (int k = 0; k < kDepth; ++k) {
    __m512 w[kBlocks];
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) w[b] = _mm512_loadu_ps(weights + (k * kBlocks + b) * 16);
    CARREL_UNROLL
    for (int i = 0; i < kPixels; ++i) {
      const __m512 x =
          _mm512_set1_ps(in[pixel_offset<kWidth>(i, stride, row) + static_cast<size_t>(k)]);
      CARREL_UNROLL
      for (int b = 0; b < kBlocks; ++b) sum[i][b] = _mm512_fmadd_ps(x, w[b], sum[i][b]);
    }
  }
}

template <int kWidth, int kPixels, int kBlocks>
[[gnu::always_inline]] inline void add_residual(const ConvTile& tile,
                                                __m512 (&sum)[kPixels][kBlocks]) {
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      const float* from = tile.residual + pixel_offset<kWidth>(i, 16, tile.residual_row) +
                          static_cast<size_t>(b) * tile.residual_pitch;
      sum[i][b] = _mm512_add_ps(sum[i][b], _mm512_loadu_ps(from));
    }
  }
}

template <int kWidth, int kPixels, int kBlocks, class Clamp>
[[gnu::always_inline]] inline void store_sums(const ConvTile& tile,
                                              const __m512 (&sum)[kPixels][kBlocks], Clamp clamp) {
  const size_t row = tile.out_row;
  float* out[kBlocks] = {tile.out};
  if constexpr (kBlocks == 2) out[1] = tile.out + tile.out_pitch;
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      _mm512_storeu_ps(out[b] + pixel_offset<kWidth>(i, 16, row), clamp(sum[i][b]));
    }
  }
}

// What a tile's end will read and write. Write: it is written.
template <int kWidth, int kPixels, int kBlocks, int kWrite>
[[gnu::always_inline]] inline void prefetch_tile(const float* at, size_t row, size_t pitch) {
  CARREL_UNROLL
  for (int b = 0; b < kBlocks; ++b, at += pitch) {
    // GCC otherwise keeps an address for each pixel on the stack.
    asm("" : "+r"(at));
    CARREL_UNROLL
    for (int i = 0; i < kPixels; ++i)
      __builtin_prefetch(at + pixel_offset<kWidth>(i, 16, row), kWrite);
  }
}

// What the products after these read.
template <int kWidth, int kPixels>
[[gnu::always_inline]] inline void prefetch_pixels(const float* in, size_t stride, size_t row) {
  // GCC otherwise keeps an address for each pixel on the stack.
  asm("" : "+r"(in));
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) __builtin_prefetch(in + pixel_offset<kWidth>(i, stride, row));
}

// kRows x kWidth pixels. kStride: floats between input pixels, 0 if known only at run time. Strides
// below 16 are those of planar maps, whose taps are single rows.
template <int kRows, int kWidth, int kBlocks, int kStride>
void dot_f32_tile(const ConvTile& tile) {
  constexpr int kPixels = kRows * kWidth;
  const size_t stride = kStride ? size_t{kStride} : tile.in_stride;
  __m512 sum[kPixels][kBlocks];
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      const float* from = tile.bias ? tile.bias + b * 16
                                    : tile.out + pixel_offset<kWidth>(i, 16, tile.out_row) +
                                          static_cast<size_t>(b) * tile.out_pitch;
      sum[i][b] = _mm512_loadu_ps(from);
    }
  }
  if (tile.bias != nullptr)
    prefetch_tile<kWidth, kPixels, kBlocks, 1>(tile.out, tile.out_row, tile.out_pitch);
  if (tile.residual != nullptr) {
    prefetch_tile<kWidth, kPixels, kBlocks, 0>(tile.residual, tile.residual_row,
                                               tile.residual_pitch);
  }
  for (const ConvTap *tap = tile.taps, *end = tap + tile.tap_count; tap != end; ++tap) {
    const float* in = tap->in + tile.in_offset;
    const float* weights = tile.weights + size_t{tap->weight_row} * (kBlocks * 16);
    if constexpr (kStride != 0 && kStride < 16) {
      multiply_rows<1, kWidth>(in, stride, tile.in_row, weights, sum);
      continue;
    }
    if (tile.ahead != 0) prefetch_pixels<kWidth, kPixels>(in + tile.ahead, stride, tile.in_row);
    if (tap->rows == 16) {
      for (int k = 0; k < 16; k += 4, in += 4, weights += 4 * kBlocks * 16) {
        multiply_rows<4, kWidth>(in, stride, tile.in_row, weights, sum);
      }
      continue;
    }
    for (uint32_t k = 0; k < tap->rows; ++k, ++in, weights += kBlocks * 16) {
      multiply_rows<1, kWidth>(in, stride, tile.in_row, weights, sum);
    }
  }
  // GCC otherwise keeps the sums in memory because of the arithmetic that follows (70 instead of
  // 100 % of peak).
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) asm volatile("" : "+v"(sum[i][b]));
  }
  if (tile.residual != nullptr) add_residual<kWidth>(tile, sum);
  const __m512 low = _mm512_set1_ps(tile.low), high = _mm512_set1_ps(tile.high);
  if (tile.clamp == UnaryFn::kNone) {
    store_sums<kWidth>(tile, sum, [](__m512 x) { return x; });
  } else if (tile.clamp == UnaryFn::kRelu) {
    store_sums<kWidth>(tile, sum, [low](__m512 x) { return _mm512_max_ps(low, x); });
  } else {
    store_sums<kWidth>(
        tile, sum, [low, high](__m512 x) { return _mm512_min_ps(high, _mm512_max_ps(low, x)); });
  }
}

// One output pixel: the taps' sums are independent of each other, so the processor overlaps them.
template <int kBlocks>
void dot_f32_single(const ConvTile& tile) {
  __m512 sum[1][kBlocks];
  CARREL_UNROLL
  for (int b = 0; b < kBlocks; ++b) {
    sum[0][b] = _mm512_loadu_ps(tile.bias ? tile.bias + b * 16
                                          : tile.out + static_cast<size_t>(b) * tile.out_pitch);
  }
  for (const ConvTap *tap = tile.taps, *end = tap + tile.tap_count; tap != end; ++tap) {
    const float* weights = tile.weights + size_t{tap->weight_row} * (kBlocks * 16);
    __m512 part[1][kBlocks];
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) part[0][b] = _mm512_setzero_ps();
    if (tap->rows == 16) {
      multiply_rows<16, 1>(tap->in, 0, 0, weights, part);
    } else {
      for (uint32_t k = 0; k < tap->rows; ++k) {
        multiply_rows<1, 1>(tap->in + k, 0, 0, weights + k * kBlocks * 16, part);
      }
    }
    CARREL_UNROLL
    for (int b = 0; b < kBlocks; ++b) sum[0][b] = _mm512_add_ps(sum[0][b], part[0][b]);
  }
  if (tile.residual != nullptr) add_residual<1>(tile, sum);
  const __m512 low = _mm512_set1_ps(tile.low), high = _mm512_set1_ps(tile.high);
  CARREL_UNROLL
  for (int b = 0; b < kBlocks; ++b) {
    _mm512_storeu_ps(tile.out + static_cast<size_t>(b) * tile.out_pitch,
                     _mm512_min_ps(high, _mm512_max_ps(low, sum[0][b])));
  }
}

template <int kBlocks, int kStride, size_t... kIndex>
ConvTileFn pick_pixels(uint32_t pixels, std::index_sequence<kIndex...>) {
  static constexpr ConvTileFn kTable[] = {dot_f32_tile<1, kIndex + 1, kBlocks, kStride>...};
  return kTable[pixels - 1];
}
template <int kBlocks>
ConvTileFn pick_stride(uint32_t pixels, size_t in_stride) {
  constexpr auto kAll = std::make_index_sequence<kMaxPixels>();
  switch (in_stride) {
    case 1:
      return pick_pixels<kBlocks, 1>(pixels, kAll);
    case 2:
      return pick_pixels<kBlocks, 2>(pixels, kAll);
    case 4:
      return pick_pixels<kBlocks, 4>(pixels, kAll);
    case 16:
      return pick_pixels<kBlocks, 16>(pixels, kAll);
    case 32:
      return pick_pixels<kBlocks, 32>(pixels, kAll);
    case 64:
      return pick_pixels<kBlocks, 64>(pixels, kAll);
  }
  return pick_pixels<kBlocks, 0>(pixels, std::make_index_sequence<kMaxPixelsAnyStride>());
}

// Maps up to 7 wide: several rows fill the registers.
constexpr uint32_t kRowsAtOnce[] = {1, 4, 4, 4, 3, 2, 2, 2};  // by width
template <int kBlocks, int kStride>
ConvTileFn pick_narrow(uint32_t width) {
  switch (width) {
    case 1:
      return dot_f32_tile<4, 1, kBlocks, kStride>;
    case 2:
      return dot_f32_tile<4, 2, kBlocks, kStride>;
    case 3:
      return dot_f32_tile<4, 3, kBlocks, kStride>;
    case 4:
      return dot_f32_tile<3, 4, kBlocks, kStride>;
    case 5:
      return dot_f32_tile<2, 5, kBlocks, kStride>;
    case 6:
      return dot_f32_tile<2, 6, kBlocks, kStride>;
  }
  return dot_f32_tile<2, 7, kBlocks, kStride>;
}

struct Tiles {
  static constexpr uint32_t kBlocks = 2;
  static uint32_t max_pixels(size_t in_stride) {
    switch (in_stride) {
      case 1:
      case 2:
      case 4:
      case 16:
      case 32:
      case 64:
        return kMaxPixels;
    }
    return kMaxPixelsAnyStride;
  }
  static ConvTileFn pick(uint32_t pixels, uint32_t blocks, size_t in_stride) {
    return blocks == 2 ? pick_stride<2>(pixels, in_stride) : pick_stride<1>(pixels, in_stride);
  }
  static uint32_t rows_at_once(uint32_t width, size_t in_stride) {
    return width <= 7 && (in_stride == 16 || in_stride == 32) ? kRowsAtOnce[width] : 1;
  }
  static ConvTileFn pick_rows(uint32_t width, uint32_t blocks, size_t in_stride) {
    if (in_stride == 16) return blocks == 2 ? pick_narrow<2, 16>(width) : pick_narrow<1, 16>(width);
    return blocks == 2 ? pick_narrow<2, 32>(width) : pick_narrow<1, 32>(width);
  }
  static ConvTileFn single(uint32_t blocks) {
    return blocks == 2 ? dot_f32_single<2> : dot_f32_single<1>;
  }
};

}  // namespace

void conv(const ConvCall& call) { conv_rows<Tiles>(call); }
void winograd_multiply(const WinogradMultiplyCall& call) { multiply_planes<Tiles>(call); }

}  // namespace carrel::rows_avx512
#endif
