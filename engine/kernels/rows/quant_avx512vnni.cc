// Quantized convolutions on AVX-512 with VNNI: 14 pixels x 32 channels in 28 of the 32 registers.
#if defined(__x86_64__)
// The bodies are written in terms of the sums.
// clang-format off
#include "engine/kernels/rows/row_kernels.h"
#include "engine/kernels/rows/dot_avx512vnni.h"
#include "engine/kernels/rows/quant_conv_body.h"
#include "engine/kernels/rows/quant_depthwise_body.h"
// clang-format on

namespace carrel::rows_avx512vnni {
namespace {

constexpr int kMaxPixels = 14;
// With a stride known only at run time every pixel needs a general register for its address.
constexpr int kMaxPixelsAnyStride = 6;

template <int kBlocks, int kStride, size_t... kIndex>
QuantTileFn pick_pixels(uint32_t pixels, std::index_sequence<kIndex...>) {
  static constexpr QuantTileFn kTable[] = {dot_u8s8_tile<1, kIndex + 1, kBlocks, kStride>...};
  return kTable[pixels - 1];
}
template <int kBlocks>
QuantTileFn pick_stride(uint32_t pixels, uint32_t stride_w) {
  constexpr auto kAll = std::make_index_sequence<kMaxPixels>();
  switch (stride_w) {
    case 1:
      return pick_pixels<kBlocks, 1>(pixels, kAll);
    case 2:
      return pick_pixels<kBlocks, 2>(pixels, kAll);
    case 4:
      return pick_pixels<kBlocks, 4>(pixels, kAll);
  }
  return pick_pixels<kBlocks, 0>(pixels, std::make_index_sequence<kMaxPixelsAnyStride>());
}

// Maps up to 7 wide: several rows fill the registers.
constexpr uint32_t kRowsAtOnce[] = {1, 4, 4, 4, 3, 2, 2, 2};  // by width
template <int kBlocks, int kStride>
QuantTileFn pick_narrow(uint32_t width) {
  static constexpr QuantTileFn kTable[] = {
      dot_u8s8_tile<4, 1, kBlocks, kStride>, dot_u8s8_tile<4, 2, kBlocks, kStride>,
      dot_u8s8_tile<4, 3, kBlocks, kStride>, dot_u8s8_tile<3, 4, kBlocks, kStride>,
      dot_u8s8_tile<2, 5, kBlocks, kStride>, dot_u8s8_tile<2, 6, kBlocks, kStride>,
      dot_u8s8_tile<2, 7, kBlocks, kStride>};
  return kTable[width - 1];
}

struct Tiles {
  static constexpr uint32_t kBlocks = 2;
  static uint32_t max_pixels(uint32_t stride_w) {
    const bool known = stride_w == 1 || stride_w == 2 || stride_w == 4;
    return known ? kMaxPixels : kMaxPixelsAnyStride;
  }
  static QuantTileFn pick(uint32_t pixels, uint32_t blocks, uint32_t stride_w) {
    return blocks == 2 ? pick_stride<2>(pixels, stride_w) : pick_stride<1>(pixels, stride_w);
  }
  static uint32_t rows_at_once(uint32_t width, uint32_t stride_w) {
    return width <= 7 && stride_w <= 2 ? kRowsAtOnce[width] : 1;
  }
  static QuantTileFn pick_rows(uint32_t width, uint32_t blocks, uint32_t stride_w) {
    if (stride_w == 1) return blocks == 2 ? pick_narrow<2, 1>(width) : pick_narrow<1, 1>(width);
    return blocks == 2 ? pick_narrow<2, 2>(width) : pick_narrow<1, 2>(width);
  }
  static QuantTileFn single(uint32_t blocks) {
    return blocks == 2 ? dot_u8s8_single<2> : dot_u8s8_single<1>;
  }
};

}  // namespace

void quant_conv(const QuantConvCall& call) { quant_conv_rows<Tiles>(call); }

}  // namespace carrel::rows_avx512vnni
#endif
