#pragma once
// Row layout of a feature map (C, H, W) in trusted memory.
//
// A row y holds all channels: [block][pad_left + W + pad_right][16] floats, block = channel / 16. The pad
// columns are zero, so a convolution needs no edge case in x; lanes of channels >= C hold any finite or
// non-finite garbage and are never read into a real channel. Rows live in a ring: row y is in slot
// y % ring_rows, so a slab needs only the rows its consumers still want.
//
// A quantized map has the same rows in bytes, rounded up to 64: real = scale * (byte - zero). Its pad columns
// hold the zero point; what unused lanes and the rounding hold is never read into a real channel.
//
// A planar map is a network's input of few channels, which blocks would mostly fill with unused lanes. A row is
// [channel][pad_left + W + pad_right] floats, rounded up to 16; what the rounding holds is never read. Only
// ungrouped convolutions of floats and quantization read it, and their bits are those of the blocked map (a 1 x 1 output excepted).
#include <cstddef>
#include <cstdint>

namespace carrel {

inline constexpr uint32_t kLanes = 16;  // channels per block: one AVX-512 register of floats

inline constexpr uint32_t kMaxPlanarChannels = 4;

// kPlanarF32: floats of a planar map.
enum class ElementType : uint8_t { kF32 = 0, kU8 = 1, kPlanarF32 = 2 };

struct MapShape {
  uint32_t channels = 0;
  uint32_t height = 0;
  uint32_t width = 0;
  uint32_t pad_left = 0;
  uint32_t pad_right = 0;
  ElementType type = ElementType::kF32;
  uint8_t zero = 0;  // kU8: the zero point

  constexpr uint32_t blocks() const { return (channels + kLanes - 1) / kLanes; }
  constexpr bool planar() const { return type == ElementType::kPlanarF32; }
  // With both pads. Elements from one channel of a planar row to the next.
  constexpr size_t columns() const { return size_t{pad_left + width + pad_right}; }
  // Elements from one block of a row to the next.
  constexpr size_t block_pitch() const { return columns() * kLanes; }
  constexpr size_t row_floats() const {
    if (planar()) return (channels * columns() + kLanes - 1) / kLanes * kLanes;
    return blocks() * block_pitch();
  }
  constexpr size_t row_bytes() const {
    if (type == ElementType::kU8) return (row_floats() + 63) / 64 * 64;
    return row_floats() * sizeof(float);
  }
  bool operator==(const MapShape&) const = default;
};

// Where row y lies in a ring; without the division where the ring holds the whole map.
constexpr uint32_t slot_of(uint32_t y, uint32_t ring_rows) { return y < ring_rows ? y : y % ring_rows; }

// A map's ring in memory. `base` is 64-byte aligned. A whole resident map has ring_rows == height.
struct RowRing {
  float* base = nullptr;
  MapShape shape;
  uint32_t ring_rows = 0;

  // First float of block `block` of row `y` (its left pad).
  float* block_row(uint32_t y, uint32_t block) const {
    return base + size_t{slot_of(y, ring_rows)} * shape.row_floats() + block * shape.block_pitch();
  }
  // Pixel (y, x) of `block`: 16 floats. x may reach into the pads.
  float* pixel(uint32_t y, int32_t x, uint32_t block) const {
    return block_row(y, block) + (static_cast<int32_t>(shape.pad_left) + x) * int32_t{kLanes};
  }
  // The same of a planar map: one float of `channel`.
  float* planar_pixel(uint32_t y, int32_t x, uint32_t channel) const {
    return block_row(y, 0) + channel * shape.columns() + (static_cast<int32_t>(shape.pad_left) + x);
  }
};

// The same for a map of bytes; of rows as bytes, whatever their elements are (base, block_row of block 0).
struct ByteRing {
  uint8_t* base = nullptr;
  MapShape shape;
  uint32_t ring_rows = 0;

  uint8_t* block_row(uint32_t y, uint32_t block) const {
    return base + size_t{slot_of(y, ring_rows)} * shape.row_bytes() + block * shape.block_pitch();
  }
  uint8_t* pixel(uint32_t y, int32_t x, uint32_t block) const {
    return block_row(y, block) + (static_cast<int32_t>(shape.pad_left) + x) * int32_t{kLanes};
  }
};

struct RowRange {
  uint32_t begin = 0, end = 0;  // rows [begin, end)
};

}  // namespace carrel
