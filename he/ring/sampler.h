#pragma once
// Random polynomials from keys: AES-128 in counter mode. One key serves either public or secret streams, never both; stream number
// `stream` of a key is the same bytes for whoever has the key.
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "he/ring/coefficients.h"

namespace carrel::he {

struct StreamKey {
  uint8_t bytes[16];
};

// Standard deviation of the noise: a centred binomial distribution of 2 x kNoiseCoins coins.
inline constexpr double kNoiseDeviation = 3.2403703492039302;  // sqrt(21 / 2)
inline constexpr int32_t kMostNoise = kNoiseCoins;

// Not thread-safe. The key schedule is wiped with the object.
class Streams {
 public:
  explicit Streams(const StreamKey& key);
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  // The first bytes of stream `stream`.
  void fill(uint64_t stream, std::span<std::byte> out);
  // Uniform modulo 2^32 and 2^52.
  void uniform(uint64_t stream, std::span<uint32_t> out) { fill(stream, std::as_writable_bytes(out)); }
  void uniform52(uint64_t stream, std::span<uint64_t> out);
  // Each of -1, 0, 1 with probability 1 / 3, but for 2^-62.
  std::vector<int8_t> ternary(uint64_t stream, uint32_t count);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace carrel::he
