#pragma once
// What the tests of quantized kernels share: byte maps with exact memory, every instruction set.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/kernels/rows/rows_testing.h"

namespace carrel::testing_rows {

// Every set of kernels that this machine can run, the generic one first.
inline std::vector<CpuMask> quant_masks() {
  const CpuMask here = detect_cpu();
  std::vector<CpuMask> result = {kCpuGeneric};
  if (here & kCpuAvx2) result.push_back(kCpuAvx2);
  if (here & kCpuAvxVnni) result.push_back(kCpuAvx2 | kCpuAvxVnni);
  if (here & kCpuAvx512) result.push_back(kCpuAvx2 | kCpuAvx512);
  if (here & kCpuVnni) result.push_back(here);
  if (here & kCpuDotProd) result.push_back(kCpuDotProd);
  if (here & kCpuI8mm) result.push_back(kCpuI8mm);
  return result;
}
inline std::string quant_mask_name(const ::testing::TestParamInfo<CpuMask>& info) {
  std::string name = isa_name(isa_level(info.param));
  if (info.param & (kCpuVnni | kCpuAvxVnni)) name += "_vnni";
  if (info.param & kCpuDotProd) name += "_dotprod";
  if (info.param & kCpuI8mm) name += "_i8mm";
  return name;
}

struct AlignedBytes {
  explicit AlignedBytes(size_t count)
      : size(count),
        memory(static_cast<std::byte*>(std::aligned_alloc(64, (count + 63) / 64 * 64))) {
    std::memset(memory.get(), 0, count);
  }
  std::byte* data() const { return memory.get(); }
  size_t size;
  std::unique_ptr<std::byte, AlignedFree> memory;
};

// Real numbers as bytes, row-major (channels, height, width).
using ByteTensor = std::vector<uint8_t>;

inline ByteTensor random_bytes(size_t count, Random& random) {
  ByteTensor v(count);
  for (uint8_t& x : v) x = static_cast<uint8_t>(random.below(256));
  return v;
}

inline MapShape byte_shape(uint32_t channels, uint32_t height, uint32_t width, uint32_t pad_left,
                           uint32_t pad_right, uint8_t zero) {
  return {channels, height, width, pad_left, pad_right, ElementType::kU8, zero};
}

// A ring of bytes. Pads hold the zero point; all else is noise until written.
class ByteMap {
 public:
  explicit ByteMap(MapShape shape, uint32_t ring_rows = 0)
      : rows_(ring_rows > 0 ? ring_rows : shape.height), bytes_(shape.row_bytes() * rows_) {
    std::mt19937 noise(rows_ + shape.channels);
    for (size_t i = 0; i < bytes_.size; ++i) bytes_.data()[i] = static_cast<std::byte>(noise());
    ring_ = {reinterpret_cast<uint8_t*>(bytes_.data()), shape, rows_};
    row_kernels(kCpuGeneric).fill_pads(ring_, {0, rows_});
  }
  const ByteRing& ring() const { return ring_; }
  uint8_t& at(uint32_t c, uint32_t y, uint32_t x) const {
    return ring_.pixel(y, static_cast<int32_t>(x), c / kLanes)[c % kLanes];
  }
  void fill_row(uint32_t y, const ByteTensor& dense) const {
    const MapShape& s = ring_.shape;
    for (uint32_t c = 0; c < s.channels; ++c) {
      for (uint32_t x = 0; x < s.width; ++x)
        at(c, y, x) = dense[(size_t{c} * s.height + y) * s.width + x];
    }
  }
  void fill(const ByteTensor& dense) const {
    for (uint32_t y = 0; y < ring_.shape.height; ++y) fill_row(y, dense);
  }
  ByteTensor dense() const {
    const MapShape& s = ring_.shape;
    ByteTensor v;
    for (uint32_t c = 0; c < s.channels; ++c) {
      for (uint32_t y = 0; y < s.height; ++y) {
        for (uint32_t x = 0; x < s.width; ++x) v.push_back(at(c, y, x));
      }
    }
    return v;
  }

 private:
  uint32_t rows_;
  AlignedBytes bytes_;
  ByteRing ring_;
};

// As engine/kernels/rows/quant_rows.h says it, with the C library's rounding.
inline uint8_t to_byte(float x, int32_t zero, int32_t low = 0, int32_t high = 255) {
  const double whole = std::nearbyint(static_cast<double>(x)) + zero;
  return static_cast<uint8_t>(std::min<double>(std::max<double>(whole, low), high));
}

}  // namespace carrel::testing_rows
