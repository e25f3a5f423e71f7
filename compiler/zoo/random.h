#pragma once
// Seeded weights that are equal to the bit on every machine.
//
// Counter-based: element i of a tensor depends on (seed, tensor name, i) alone, so weights do not
// depend on the order in which a model is built. Only integer arithmetic, IEEE double products and
// sqrt are used, never libm's transcendental functions, whose last bit differs between machines.
#include <cstdint>
#include <span>
#include <string_view>

namespace carrel {

class TensorRandom {
 public:
  // tensor_name: names the stream.
  TensorRandom(uint64_t seed, std::string_view tensor_name);

  // out[i] = mean + deviation * z, z approximately standard normal: the sum of four 16-bit
  // uniforms, so |z| < 3.47.
  void fill_normal(std::span<float> out, double mean, double deviation) const;
  // As fill_normal with mean 0, then each row of `row_count` (which divides out.size()) shifted so
  // that its mean is `mean_kept` times what it was.
  void fill_damped_rows(std::span<float> out, double deviation, uint64_t row_count,
                        double mean_kept) const;
  // out[i] uniform in [low, high).
  void fill_uniform(std::span<float> out, double low, double high) const;

 private:
  uint64_t bits(uint64_t index) const;
  int32_t bell(uint64_t index) const;
  uint64_t key_;
};

}  // namespace carrel
