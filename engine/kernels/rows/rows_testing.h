#pragma once
// What the tests of this room share: maps with guarded memory, random values, tolerances.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/kernels/rows/rows.h"

namespace carrel::testing_rows {

// Every mask that this machine can run, the generic one first.
inline std::vector<CpuMask> masks() {
  std::vector<CpuMask> result = {kCpuGeneric};
  const CpuMask here = detect_cpu();
  if (here & kCpuAvx2) result.push_back(kCpuAvx2);
  if (here & kCpuAvx512) result.push_back(here);
  return result;
}
inline std::string mask_name(const ::testing::TestParamInfo<CpuMask>& info) {
  return isa_name(isa_level(info.param));
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(engine_() % n); }
  uint32_t between(uint32_t low, uint32_t high) { return low + below(high - low + 1); }
  // Uniform in [-1, 1).
  float value() { return static_cast<float>(static_cast<int32_t>(engine_())) * 4.656612873e-10f; }
  std::vector<float> values(size_t count) {
    std::vector<float> v(count);
    for (float& x : v) x = value();
    return v;
  }

 private:
  std::mt19937 engine_;
};

struct AlignedFree {
  void operator()(void* p) const { std::free(p); }
};
// 64-byte aligned floats, exactly as many as asked for, so that a sanitizer sees what reaches
// beyond.
class Floats {
 public:
  explicit Floats(size_t count)
      : count_(count),
        data_(static_cast<float*>(std::aligned_alloc(64, (count * 4 + 63) / 64 * 64))) {
    for (size_t i = 0; i < count; ++i) data_.get()[i] = 0;
  }
  float* data() const { return data_.get(); }
  size_t size() const { return count_; }
  bool operator==(const Floats& other) const {
    return count_ == other.count_ && std::memcmp(data(), other.data(), count_ * sizeof(float)) == 0;
  }

 private:
  size_t count_;
  std::unique_ptr<float, AlignedFree> data_;
};

inline constexpr float kPoison = 12345.0f;  // what no kernel may read into a result or overwrite

// A ring and its memory. Pads are zero; everything else, unused lanes too, is poison until written.
class Map {
 public:
  Map(MapShape shape, uint32_t ring_rows) : floats_(shape.row_floats() * ring_rows) {
    for (size_t i = 0; i < floats_.size(); ++i) floats_.data()[i] = kPoison;
    ring_ = {floats_.data(), shape, ring_rows};
    each_pad([](float* pad) { *pad = 0; });
  }
  explicit Map(MapShape shape) : Map(shape, shape.height) {}

  const RowRing& ring() const { return ring_; }
  const MapShape& shape() const { return ring_.shape; }
  float& at(uint32_t c, uint32_t y, uint32_t x) const {
    if (shape().planar()) return *ring_.planar_pixel(y, static_cast<int32_t>(x), c);
    return ring_.pixel(y, static_cast<int32_t>(x), c / kLanes)[c % kLanes];
  }
  void fill_row(uint32_t y, const std::vector<float>& dense) const {
    const MapShape& s = ring_.shape;
    for (uint32_t c = 0; c < s.channels; ++c) {
      for (uint32_t x = 0; x < s.width; ++x) {
        at(c, y, x) = dense[(size_t{c} * s.height + y) * s.width + x];
      }
    }
  }
  void fill(const std::vector<float>& dense) const {
    for (uint32_t y = 0; y < ring_.shape.height; ++y) fill_row(y, dense);
  }
  std::vector<float> dense() const {
    const MapShape& s = ring_.shape;
    std::vector<float> v;
    for (uint32_t c = 0; c < s.channels; ++c) {
      for (uint32_t y = 0; y < s.height; ++y) {
        for (uint32_t x = 0; x < s.width; ++x) v.push_back(at(c, y, x));
      }
    }
    return v;
  }
  // For kernels that must not read pads.
  void poison_pads() const {
    each_pad([](float* pad) { *pad = kPoison; });
  }
  // Pads must still be zero, whatever else was written.
  bool pads_are_zero() const {
    bool zero = true;
    each_pad([&](const float* pad) { zero = zero && *pad == 0; });
    return zero;
  }

 private:
  template <class Visit>
  void each_pad(Visit visit) const {
    const MapShape& s = ring_.shape;
    const uint32_t lanes = s.planar() ? 1 : kLanes, left = s.pad_left, right = left + s.width;
    for (uint32_t slot = 0; slot < ring_.ring_rows; ++slot) {
      for (uint32_t p = 0; p < (s.planar() ? s.channels : s.blocks()); ++p) {
        float* row = ring_.block_row(slot, 0) + p * s.columns() * lanes;
        for (uint32_t x = 0; x < s.columns(); ++x) {
          for (uint32_t l = 0; (x < left || x >= right) && l < lanes; ++l) visit(&row[x * lanes + l]);
        }
      }
    }
  }

  Floats floats_;
  RowRing ring_;
};

// A value from a double reference, and how far fp32 may be from it.
struct Expected {
  double value;
  double tolerance;
};
inline constexpr double kEpsilon =
    5.9604644775390625e-8;  // 2^-24, the relative error of one rounding

inline void expect_near(const std::vector<float>& actual, const std::vector<Expected>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_LE(std::fabs(actual[i] - expected[i].value), expected[i].tolerance)
        << "element " << i << ": " << actual[i] << ", expected " << expected[i].value;
  }
}

inline double activate(const Unary& fn, double x) {
  const double a = static_cast<double>(fn.a), b = static_cast<double>(fn.b);
  switch (fn.fn) {
    case UnaryFn::kRelu:
      return std::max(x, 0.0);
    case UnaryFn::kLeakyRelu:
      return x >= 0 ? x : a * x;
    case UnaryFn::kClip:
      return std::min(std::max(x, a), b);
    case UnaryFn::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case UnaryFn::kHardSigmoid:
      return std::min(std::max(a * x + b, 0.0), 1.0);
    case UnaryFn::kHardSwish:
      return x * std::min(std::max(x / 6 + 0.5, 0.0), 1.0);
    case UnaryFn::kSwish:
      return x / (1 + std::exp(-x));
    case UnaryFn::kTanh:
      return std::tanh(x);
    case UnaryFn::kElu:
      return x >= 0 ? x : a * std::expm1(x);
    case UnaryFn::kSelu:
      return b * (x >= 0 ? x : a * std::expm1(x));
    case UnaryFn::kSoftplus:
      return std::log1p(std::exp(x));
    case UnaryFn::kGelu:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case UnaryFn::kGeluTanh:
      return x / 2 *
             (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case UnaryFn::kErf:
      return std::erf(x);
    case UnaryFn::kSqrt:
      return std::sqrt(x);
    case UnaryFn::kExp:
      return std::exp(x);
    case UnaryFn::kLog:
      return std::log(x);
    case UnaryFn::kNeg:
      return -x;
    case UnaryFn::kAbs:
      return std::fabs(x);
    case UnaryFn::kReciprocal:
      return 1 / x;
    case UnaryFn::kNone:
    case UnaryFn::kCount:
      break;
  }
  return x;
}

// Writes the stream of a weights shape and expands it tile by tile to what kernels read.
inline Floats packed(const TileGrid& grid, const std::vector<float>& weights,
                     const std::vector<float>& bias, const RowKernels& kernels) {
  std::vector<std::byte> stream(grid.stored_bytes);
  pack_weights(grid, weights, bias, stream);
  Floats expanded(grid.expanded_bytes / sizeof(float));
  for (uint32_t t = 0; t < grid.tile_count; ++t) {
    const TileInfo info = tile_info(grid, t);
    float* to = expanded.data() + tile_expanded_offset(grid, t) / sizeof(float);
    const bool half = grid.shape.stored == StoredType::kF16;
    const uint32_t gap = half ? info.expanded_bytes - info.stored_bytes : 0;
    std::memcpy(reinterpret_cast<std::byte*>(to) + gap, stream.data() + tile_stored_offset(grid, t),
                info.stored_bytes);
    if (half) kernels.expand_f16(to, grid, info);
  }
  return expanded;
}

}  // namespace carrel::testing_rows
