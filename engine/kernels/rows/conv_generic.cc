// Convolution on any machine: kTilePixels pixels x 16 channels in 128-bit vectors.
// The bodies are written in terms of the vectors.
// clang-format off
#include "engine/kernels/rows/vec_generic.h"
#include "engine/kernels/rows/winograd_multiply_body.h"
// clang-format on

namespace carrel::rows_generic {
namespace {

template <int kPixels>
[[gnu::always_inline]] inline void multiply_row(const float* in, size_t stride,
                                                const float* weights, Float4 (&sum)[kPixels][4]) {
  const Vec w = load(weights);
  CARREL_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    const float x = in[static_cast<size_t>(i) * stride];
    CARREL_UNROLL
    for (int j = 0; j < 4; ++j) sum[i][j] += Float4{x, x, x, x} * w.part[j];
  }
}

template <int kPixels>
[[gnu::always_inline]] inline void load_sums(const ConvTile& tile, Float4 (&sum)[kPixels][4]) {
  for (int i = 0; i < kPixels; ++i) {
    const Vec from = load(tile.bias ? tile.bias : tile.out + i * 16);
    for (int j = 0; j < 4; ++j) sum[i][j] = from.part[j];
  }
}

template <int kPixels>
[[gnu::always_inline]] inline void store_sums(const ConvTile& tile, Float4 (&sum)[kPixels][4]) {
  for (int i = 0; i < kPixels; ++i) {
    Vec total = {{sum[i][0], sum[i][1], sum[i][2], sum[i][3]}};
    if (tile.residual != nullptr) total = total + load(tile.residual + i * 16);
    store(tile.out + i * 16, clamped(splat(tile.low), splat(tile.high), total));
  }
}

template <int kPixels>
void dot_f32_tile(const ConvTile& tile) {
  Float4 sum[kPixels][4];
  load_sums(tile, sum);
  for (const ConvTap *tap = tile.taps, *end = tap + tile.tap_count; tap != end; ++tap) {
    const float* in = tap->in + tile.in_offset;
    const float* weights = tile.weights + size_t{tap->weight_row} * tile.width;
    for (uint32_t k = 0; k < tap->rows; ++k) {
      multiply_row(in + k, tile.in_stride, weights + size_t{k} * tile.width, sum);
    }
  }
  store_sums(tile, sum);
}

void dot_f32_single(const ConvTile& tile) {
  Float4 sum[1][4];
  load_sums(tile, sum);
  for (const ConvTap *tap = tile.taps, *end = tap + tile.tap_count; tap != end; ++tap) {
    const float* weights = tile.weights + size_t{tap->weight_row} * tile.width;
    Float4 part[1][4] = {};
    for (uint32_t k = 0; k < tap->rows; ++k) {
      multiply_row(tap->in + k, 0, weights + size_t{k} * tile.width, part);
    }
    for (int j = 0; j < 4; ++j) sum[0][j] += part[0][j];
  }
  store_sums(tile, sum);
}

template <size_t... kIndex>
ConvTileFn pick_pixels(uint32_t pixels, std::index_sequence<kIndex...>) {
  static constexpr ConvTileFn kTable[] = {dot_f32_tile<kIndex + 1>...};
  return kTable[pixels - 1];
}

struct Tiles {
  static constexpr uint32_t kBlocks = 1;
  static uint32_t max_pixels(size_t) { return kTilePixels; }
  static ConvTileFn pick(uint32_t pixels, uint32_t, size_t) {
    return pick_pixels(pixels, std::make_index_sequence<kTilePixels>());
  }
  static uint32_t rows_at_once(uint32_t, size_t) { return 1; }
  static ConvTileFn pick_rows(uint32_t, uint32_t, size_t) { return nullptr; }
  static ConvTileFn single(uint32_t) { return dot_f32_single; }
};

}  // namespace

void conv(const ConvCall& call) { conv_rows<Tiles>(call); }
void winograd_multiply(const WinogradMultiplyCall& call) { multiply_planes<Tiles>(call); }

}  // namespace carrel::rows_generic
