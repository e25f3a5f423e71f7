// Convolution on AVX2: 6 pixels x 16 channels in 12 of the 16 registers. A panel is walked as two
// halves.
#if defined(__x86_64__)
// The bodies are written in terms of the vectors.
// clang-format off
#include "engine/kernels/rows/vec_avx2.h"
#include "engine/kernels/rows/winograd_multiply_body.h"
// clang-format on

namespace carrel::rows_avx2 {
namespace {

constexpr int kMaxPixels = 6;

template <int kRows, int kPixels>
[[gnu::always_inline]] inline void multiply_rows(const float* in, size_t stride,
                                                 const float* weights, uint32_t width,
                                                 __m256 (&sum)[kPixels][2]) {
  CARREL_UNROLL
  for (int k = 0; k < kRows; ++k, weights += width) {
    const __m256 w0 = _mm256_loadu_ps(weights), w1 = _mm256_loadu_ps(weights + 8);
    CARREL_UNROLL
    for (int i = 0; i < kPixels; ++i) {
      const __m256 x = _mm256_set1_ps(in[static_cast<size_t>(i) * stride + static_cast<size_t>(k)]);
      sum[i][0] = _mm256_fmadd_ps(x, w0, sum[i][0]);
      sum[i][1] = _mm256_fmadd_ps(x, w1, sum[i][1]);
    }
  }
}

template <int kPixels>
[[gnu::always_inline]] inline void load_sums(const ConvTile& tile, __m256 (&sum)[kPixels][2]) {
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    const float* from = tile.bias ? tile.bias : tile.out + i * 16;
    sum[i][0] = _mm256_loadu_ps(from);
    sum[i][1] = _mm256_loadu_ps(from + 8);
  }
}

template <int kPixels>
[[gnu::always_inline]] inline void add_residual(const ConvTile& tile, __m256 (&sum)[kPixels][2]) {
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    sum[i][0] = _mm256_add_ps(sum[i][0], _mm256_loadu_ps(tile.residual + i * 16));
    sum[i][1] = _mm256_add_ps(sum[i][1], _mm256_loadu_ps(tile.residual + i * 16 + 8));
  }
}

template <int kPixels>
[[gnu::always_inline]] inline void store_sums(const ConvTile& tile, __m256 (&sum)[kPixels][2]) {
  // GCC otherwise keeps the sums in memory because of the arithmetic that follows.
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) asm volatile("" : "+v"(sum[i][0]), "+v"(sum[i][1]));
  if (tile.residual != nullptr) add_residual(tile, sum);
  const __m256 low = _mm256_set1_ps(tile.low), high = _mm256_set1_ps(tile.high);
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    float* to = tile.out + i * 16;
    _mm256_storeu_ps(to, _mm256_min_ps(high, _mm256_max_ps(low, sum[i][0])));
    _mm256_storeu_ps(to + 8, _mm256_min_ps(high, _mm256_max_ps(low, sum[i][1])));
  }
}

// kStride: floats between input pixels, 0 if known only at run time.
template <int kPixels, int kStride>
void dot_f32_tile(const ConvTile& tile) {
  const size_t stride = kStride ? size_t{kStride} : tile.in_stride;
  const uint32_t width = tile.width;
  __m256 sum[kPixels][2];
  load_sums(tile, sum);
  for (const ConvTap *tap = tile.taps, *end = tap + tile.tap_count; tap != end; ++tap) {
    const float* in = tap->in + tile.in_offset;
    const float* weights = tile.weights + size_t{tap->weight_row} * width;
    uint32_t rows = tap->rows;
    for (; rows >= 4; rows -= 4, in += 4, weights += size_t{4} * width) {
      multiply_rows<4>(in, stride, weights, width, sum);
    }
    for (; rows > 0; --rows, ++in, weights += width)
      multiply_rows<1>(in, stride, weights, width, sum);
  }
  store_sums(tile, sum);
}

// One output pixel: the taps' sums are independent of each other, so the processor overlaps them.
void dot_f32_single(const ConvTile& tile) {
  __m256 sum[1][2];
  load_sums(tile, sum);
  for (const ConvTap *tap = tile.taps, *end = tap + tile.tap_count; tap != end; ++tap) {
    const float* weights = tile.weights + size_t{tap->weight_row} * tile.width;
    __m256 part[1][2] = {{_mm256_setzero_ps(), _mm256_setzero_ps()}};
    for (uint32_t k = 0; k < tap->rows; ++k) {
      multiply_rows<1>(tap->in + k, 0, weights + size_t{k} * tile.width, tile.width, part);
    }
    sum[0][0] = _mm256_add_ps(sum[0][0], part[0][0]);
    sum[0][1] = _mm256_add_ps(sum[0][1], part[0][1]);
  }
  store_sums(tile, sum);
}

template <int kStride, size_t... kIndex>
ConvTileFn pick_pixels(uint32_t pixels, std::index_sequence<kIndex...>) {
  static constexpr ConvTileFn kTable[] = {dot_f32_tile<kIndex + 1, kStride>...};
  return kTable[pixels - 1];
}

struct Tiles {
  static constexpr uint32_t kBlocks = 1;
  static uint32_t max_pixels(size_t) { return kMaxPixels; }
  static ConvTileFn pick(uint32_t pixels, uint32_t, size_t in_stride) {
    constexpr auto kAll = std::make_index_sequence<kMaxPixels>();
    switch (in_stride) {
      case 16:
        return pick_pixels<16>(pixels, kAll);
      case 32:
        return pick_pixels<32>(pixels, kAll);
    }
    return pick_pixels<0>(pixels, kAll);
  }
  static uint32_t rows_at_once(uint32_t, size_t) { return 1; }
  static ConvTileFn pick_rows(uint32_t, uint32_t, size_t) { return nullptr; }
  static ConvTileFn single(uint32_t) { return dot_f32_single; }
};

}  // namespace

void conv(const ConvCall& call) { conv_rows<Tiles>(call); }
void winograd_multiply(const WinogradMultiplyCall& call) { multiply_planes<Tiles>(call); }

}  // namespace carrel::rows_avx2
#endif
