#pragma once
// How the values of one tensor spread over all calibration inputs, and the levels that suit them.
#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "compiler/graph/quantized.h"

namespace carrel {

enum class RangeMethod : uint8_t {
  kMinMax,      // everything that occurred
  kPercentile,  // all but the outermost 0.01 % on each side
  kMse,         // the least mean squared error of rounding and saturation together
};

struct Range {
  float low = 0, high = 0;  // low <= 0 <= high
};

// Counts values in equal bins over [-limit, limit), limit a power of two that grows with the
// values, so that counts do not depend on the order of what was added.
class Histogram {
 public:
  static constexpr size_t kBins = 4096;

  // False if a value is not finite.
  [[nodiscard]] bool add(std::span<const float> values);
  void merge(const Histogram& other);
  Range range(RangeMethod method) const;
  uint64_t count() const { return count_ + zeros_; }

 private:
  void grow(float reach);
  float centre(size_t bin) const;
  Range percentile() const;
  Range least_error() const;
  double error_of(const Range& range) const;

  float limit_ = 0x1p-40f;
  float low_ = 0, high_ = 0;  // extremes, 0 included
  uint64_t count_ = 0;
  uint64_t zeros_ = 0;  // exact ones have no rounding error and are in no bin
  std::array<uint64_t, kBins> bins_{};
};

// uint8 levels over the range, one of which is exactly 0.
Quantization levels_for(const Range& range);

}  // namespace carrel
