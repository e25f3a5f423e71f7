#pragma once
// Register tiles of kQuantTilePixels pixels x 16 channels, for ISAs with few registers. Include
// after quant_conv_body.h and a definition of kQuantTilePixels.
#include <utility>

namespace carrel::CARREL_ROWS_ISA {

struct QuantTiles {
  static constexpr uint32_t kBlocks = 1;
  template <size_t... kIndex>
  static QuantTileFn pick_pixels(uint32_t pixels, std::index_sequence<kIndex...>) {
    static constexpr QuantTileFn kTable[] = {dot_u8s8_tile<1, kIndex + 1, 1, 0>...};
    return kTable[pixels - 1];
  }
  static uint32_t max_pixels(uint32_t) { return kQuantTilePixels; }
  static QuantTileFn pick(uint32_t pixels, uint32_t, uint32_t) {
    return pick_pixels(pixels, std::make_index_sequence<kQuantTilePixels>());
  }
  static uint32_t rows_at_once(uint32_t, uint32_t) { return 1; }
  static QuantTileFn pick_rows(uint32_t, uint32_t, uint32_t) { return nullptr; }
  static QuantTileFn single(uint32_t) { return dot_u8s8_single<1>; }
};

void quant_conv(const QuantConvCall& call) { quant_conv_rows<QuantTiles>(call); }

}  // namespace carrel::CARREL_ROWS_ISA
