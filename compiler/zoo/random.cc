#include "compiler/zoo/random.h"

#include <cmath>

#include "base/result.h"

namespace carrel {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;  // SplitMix64's increment

// SplitMix64's output function (Steele, Lea, Flood 2014).
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// FNV-1a, 64 bits.
uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

// Standard deviation of the sum of four uniform integers below 2^16: sqrt(4 (2^32 - 1) / 12).
double bell_deviation() { return std::sqrt((4294967296.0 - 1.0) / 3.0); }

}  // namespace

TensorRandom::TensorRandom(uint64_t seed, std::string_view tensor_name)
    : key_(mix(mix(seed + kGolden) ^ hash_name(tensor_name))) {}

uint64_t TensorRandom::bits(uint64_t index) const { return mix(key_ + (index + 1) * kGolden); }

// Sum of four uniforms, centred: an exact integer, so row sums are exact too.
int32_t TensorRandom::bell(uint64_t index) const {
  const uint64_t r = bits(index);
  const uint64_t sum = (r & 0xffff) + ((r >> 16) & 0xffff) + ((r >> 32) & 0xffff) + (r >> 48);
  return static_cast<int32_t>(sum) - 2 * 0xffff;
}

void TensorRandom::fill_normal(std::span<float> out, double mean, double deviation) const {
  const double scale = deviation / bell_deviation();
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(mean + scale * static_cast<double>(bell(i)));
  }
}

void TensorRandom::fill_damped_rows(std::span<float> out, double deviation, uint64_t row_count,
                                    double mean_kept) const {
  CARREL_CHECK(row_count > 0 && out.size() % row_count == 0);
  const double scale = deviation / bell_deviation();
  for (uint64_t begin = 0; begin < out.size(); begin += row_count) {
    int64_t sum = 0;
    for (uint64_t i = begin; i < begin + row_count; ++i) sum += bell(i);
    const double shift =
        (1 - mean_kept) * (static_cast<double>(sum) / static_cast<double>(row_count));
    for (uint64_t i = begin; i < begin + row_count; ++i) {
      out[i] = static_cast<float>(scale * (static_cast<double>(bell(i)) - shift));
    }
  }
}

void TensorRandom::fill_uniform(std::span<float> out, double low, double high) const {
  for (size_t i = 0; i < out.size(); ++i) {
    const double unit = static_cast<double>(bits(i) >> 40) / 16777216.0;  // 24 bits
    out[i] = static_cast<float>(low + (high - low) * unit);
  }
}

}  // namespace carrel
