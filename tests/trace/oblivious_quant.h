#pragma once
// The kernels on quantized maps with secret maps and weights. Included by oblivious_kernels_main.cc
// only.
#include <valgrind/memcheck.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "engine/kernels/rows/rows.h"

namespace carrel {

// Zeroed, then undefined.
class SecretBytes {
 public:
  explicit SecretBytes(size_t count)
      : bytes_((count + 63) / 64 * 64 + 64),
        data_(static_cast<std::byte*>(std::aligned_alloc(64, bytes_))) {
    std::memset(data_.get(), 0, bytes_);
    VALGRIND_MAKE_MEM_UNDEFINED(data_.get(), bytes_);
  }
  std::byte* data() const { return data_.get(); }

 private:
  struct Release {
    void operator()(void* p) const { std::free(p); }
  };
  size_t bytes_;
  std::unique_ptr<std::byte, Release> data_;
};

class SecretByteMap {
 public:
  explicit SecretByteMap(MapShape shape)
      : shape_(shape), bytes_(shape.row_bytes() * shape.height) {}
  operator ByteRing() const {  // NOLINT: implicit by design
    return {reinterpret_cast<uint8_t*>(bytes_.data()), shape_, shape_.height};
  }

 private:
  MapShape shape_;
  SecretBytes bytes_;
};

constexpr MapShape kByteShape{37, 9, 19, 2, 2, ElementType::kU8, 100};
constexpr uint32_t kByteBlocks = kByteShape.blocks();
constexpr RowRange kByteRows{0, 9};

inline void one_quant_conv(const RowKernels& k, const MapShape& in, const MapShape& out,
                           const Window& window) {
  const TileGrid grid = *make_tile_grid({WeightsKind::kQuantConv, StoredType::kF32, in.channels,
                                         out.channels, window.kernel_h, window.kernel_w, 0});
  const SecretBytes packed(grid.stored_bytes), sums(quant_sums_bytes(out.height, out.width));
  const SecretByteMap x(in), y(out);
  for (uint32_t t = 0; t < grid.tile_count; ++t) {
    const TileInfo tile = tile_info(grid, t);
    k.quant_conv({x,
                  y,
                  0,
                  0,
                  in.channels,
                  out.channels,
                  tile.panel_begin,
                  tile.panel_count,
                  tile.tap_begin,
                  tile.tap_end,
                  grid.taps,
                  packed.data() + tile_stored_offset(grid, t),
                  sums.data(),
                  window,
                  3,
                  250,
                  {0, out.height}});
  }
}

// One function for each entry of the list of kernels; a kernel without one does not compile.
inline void exercise_quant_conv(const RowKernels& k) {
  MapShape same = kByteShape, half = kByteShape, one = kByteShape, deep = kByteShape;
  same.channels = half.channels = 45;
  half.height = 5, half.width = 10;
  one.channels = 300, one.height = one.width = 1;
  deep.channels = 300;
  one_quant_conv(k, kByteShape, same, {});
  one_quant_conv(k, kByteShape, same, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1});
  one_quant_conv(k, kByteShape, half, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1});
  one_quant_conv(k, one, one, {});
  one_quant_conv(k, deep, same, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1});  // cut at taps
}
inline void exercise_quant_depthwise(const RowKernels& k) {
  const SecretByteMap x(kByteShape), y(kByteShape);
  const SecretBytes weights(kByteBlocks * (kLanes * 8 + 5 * 2 * 64));
  k.quant_depthwise(
      {x, y, 0, kByteBlocks, weights.data(), {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 255, kByteRows});
  MapShape half = kByteShape;
  half.height = 5, half.width = 10;
  k.quant_depthwise({x,
                     SecretByteMap(half),
                     0,
                     kByteBlocks,
                     weights.data(),
                     {3, 3, 2, 2, 1, 1, 1, 1, 1, 1},
                     0,
                     255,
                     {0, 5}});
  k.quant_depthwise({x, y, 0, kByteBlocks, weights.data(), {}, 0, 255, kByteRows});
  k.quant_depthwise(
      {x, y, 0, kByteBlocks, weights.data(), {5, 5, 1, 1, 1, 1, 2, 2, 2, 2}, 0, 255, kByteRows});
  k.quant_depthwise(
      {x, y, 0, kByteBlocks, weights.data(), {3, 3, 1, 1, 2, 2, 2, 2, 2, 2}, 0, 255, kByteRows});
}
inline void exercise_quant_pool(const RowKernels& k) {
  const SecretByteMap x(kByteShape), y(kByteShape);
  for (const PoolKind kind : {PoolKind::kMax, PoolKind::kAverage}) {
    k.quant_pool({x,
                  y,
                  0,
                  kByteBlocks,
                  kind,
                  kind == PoolKind::kAverage,
                  1,
                  1,
                  {3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
                  0.7f,
                  kByteRows});
  }
}
inline void exercise_quant_add(const RowKernels& k) {
  const SecretByteMap a(kByteShape), b(kByteShape), y(kByteShape);
  k.quant_add({a, b, y, 0, kByteBlocks, 0.3f, 0.6f, 10, 240, kByteRows});
}
inline void exercise_quant_copy(const RowKernels& k) {
  MapShape wide = kByteShape;
  wide.channels += 40;
  const SecretByteMap small(kByteShape), large(wide);
  for (const uint32_t begin : {0u, 16u, 21u}) {
    for (const bool requantize : {false, true}) {
      k.quant_copy({small, large, begin, false, requantize, 1.3f, kByteRows});
      k.quant_copy({large, small, begin, true, requantize, 1.3f, kByteRows});
    }
  }
}
inline MapShape float_shape() {
  MapShape shape = kByteShape;
  shape.type = ElementType::kF32;
  shape.zero = 0;
  return shape;
}
inline void exercise_quantize(const RowKernels& k) {
  const SecretBytes floats(float_shape().row_bytes() * kByteShape.height);
  const SecretByteMap y(kByteShape);
  k.quantize({{reinterpret_cast<float*>(floats.data()), float_shape(), kByteShape.height},
              y,
              0,
              kByteBlocks,
              0.1f,
              7,
              kByteRows});
  MapShape planar = float_shape(), few = kByteShape;
  planar.channels = few.channels = 3;
  planar.type = ElementType::kPlanarF32;
  k.quantize({{reinterpret_cast<float*>(floats.data()), planar, kByteShape.height},
              SecretByteMap(few),
              0,
              1,
              0.1f,
              7,
              kByteRows});
}
inline void exercise_dequantize(const RowKernels& k) {
  const SecretBytes floats(float_shape().row_bytes() * kByteShape.height);
  const SecretByteMap x(kByteShape);
  k.dequantize({x,
                {reinterpret_cast<float*>(floats.data()), float_shape(), kByteShape.height},
                0,
                kByteBlocks,
                0.1f,
                7,
                kByteRows});
}
inline void exercise_fill_pads(const RowKernels& k) {
  k.fill_pads(SecretByteMap(kByteShape), kByteRows);
}

}  // namespace carrel
