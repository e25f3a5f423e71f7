#include "he/client/key.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "he/ring/product.h"

namespace carrel::he {
namespace {

std::vector<CpuMask> masks() { return {kCpuGeneric, detect_cpu() & kCpuAvx2, detect_cpu()}; }

std::vector<float> numbers(uint32_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> number(-8, 8);
  std::vector<float> out(count);
  for (float& x : out) x = number(random);
  return out;
}

// a of ciphertext `id`, as a server expands it.
std::vector<uint64_t> expand(const ClientKey& key, uint64_t id) {
  std::vector<uint64_t> a(key.ring().degree);
  Streams streams(key.seed());
  if (key.ring().modulus_bits == 52) streams.uniform52(id, a);
  else streams.uniform(id, std::span(reinterpret_cast<uint32_t*>(a.data()), a.size()));
  return a;
}

class KeyTest : public ::testing::TestWithParam<RingParams> {};

TEST_P(KeyTest, WhatIsEncryptedComesBackButForNoise) {
  const RingParams ring = GetParam();
  const float scale = ring.modulus_bits == 32 ? 1 << 14 : 1 << 24;
  for (CpuMask mask : masks()) {
    const auto key = ClientKey::make(ring, mask);
    ASSERT_TRUE(key.ok());
    KeyUser user(**key);
    const std::vector<float> values = numbers(ring.degree, 1);
    std::vector<uint64_t> b(ring.degree);
    std::vector<float> back(ring.degree);
    user.encrypt(7, values.data(), scale, b.data());
    const std::vector<uint64_t> a = expand(**key, 7);
    user.decrypt(a.data(), b.data(), scale, back.data());
    double square = 0;
    for (uint32_t i = 0; i < ring.degree; ++i) {
      const double error = (back[i] - values[i]) * scale;
      ASSERT_LE(std::abs(error), kMostNoise + 1 + std::abs(values[i]) * scale * 2e-7);
      square += error * error;
    }
    const double expected = std::sqrt(kNoiseDeviation * kNoiseDeviation + 1 / 12.0);
    EXPECT_NEAR(std::sqrt(square / ring.degree), expected, ring.modulus_bits == 32 ? 0.3 : 4);
  }
}

TEST_P(KeyTest, AnotherKeyOrIdGivesNoise) {
  const RingParams ring = GetParam();
  const auto key = ClientKey::make(ring, detect_cpu()), other = ClientKey::make(ring, detect_cpu());
  ASSERT_TRUE(key.ok() && other.ok());
  const std::vector<float> values(ring.degree, 1.0f);
  std::vector<uint64_t> b(ring.degree), again(ring.degree);
  std::vector<float> back(ring.degree);
  const float half = std::ldexp(1.0f, static_cast<int>(ring.modulus_bits) - 1);
  KeyUser user(**key), stranger(**other);
  // Uniform residues have a deviation of q / sqrt(12).
  const auto looks_uniform = [&](const std::vector<float>& x) {
    double square = 0;
    for (float v : x) square += static_cast<double>(v) * v;
    return std::abs(std::sqrt(square / static_cast<double>(x.size())) / half - 1 / std::sqrt(3.0)) < 0.05;
  };
  user.encrypt(1, values.data(), 1, b.data());
  again = b;
  stranger.decrypt(expand(**key, 1).data(), b.data(), 1, back.data());
  EXPECT_TRUE(looks_uniform(back));
  user.decrypt(expand(**key, 2).data(), again.data(), 1, back.data());
  EXPECT_TRUE(looks_uniform(back));
}

// Integer sums of ciphertexts decrypt to the sums of the messages, exactly but for the noise times the weights.
TEST_P(KeyTest, SumsOfMultiplesAreLinear) {
  const RingParams ring = GetParam();
  const auto key = ClientKey::make(ring, detect_cpu());
  ASSERT_TRUE(key.ok());
  KeyUser user(**key);
  const float scale = ring.modulus_bits == 32 ? 1 << 10 : 1 << 24;
  const int weights[] = {3, -7, 100, -1};
  std::vector<uint64_t> a(ring.degree), b(ring.degree), sum_a(ring.degree), sum_b(ring.degree);
  std::vector<double> expected(ring.degree);
  for (uint64_t id = 0; id < 4; ++id) {
    const std::vector<float> values = numbers(ring.degree, static_cast<uint32_t>(id));
    user.encrypt(id, values.data(), scale, b.data());
    a = expand(**key, id);
    for (uint32_t i = 0; i < ring.degree; ++i) {
      expected[i] += static_cast<double>(weights[id]) * values[i];
      if (ring.modulus_bits == 32) {
        const auto add = [&](std::vector<uint64_t>& sum, const std::vector<uint64_t>& x) {
          reinterpret_cast<uint32_t*>(sum.data())[i] += static_cast<uint32_t>(weights[id]) * reinterpret_cast<const uint32_t*>(x.data())[i];
        };
        add(sum_a, a), add(sum_b, b);
      } else {
        sum_a[i] = (sum_a[i] + static_cast<uint64_t>(int64_t{weights[id]}) * a[i]) & kMask52;
        sum_b[i] = (sum_b[i] + static_cast<uint64_t>(int64_t{weights[id]}) * b[i]) & kMask52;
      }
    }
  }
  std::vector<float> back(ring.degree);
  user.decrypt(sum_a.data(), sum_b.data(), scale, back.data());
  for (uint32_t i = 0; i < ring.degree; ++i) {
    ASSERT_NEAR(back[i], expected[i], 111 * (kMostNoise + 0.5) / scale + std::abs(expected[i]) * 1e-6);
  }
}

TEST_P(KeyTest, KeysDiffer) {
  const auto one = ClientKey::make(GetParam(), detect_cpu()), two = ClientKey::make(GetParam(), detect_cpu());
  EXPECT_NE(std::memcmp((*one)->seed().bytes, (*two)->seed().bytes, sizeof(StreamKey)), 0);
}

INSTANTIATE_TEST_SUITE_P(Rings, KeyTest, ::testing::Values(RingParams{2048, 32}, RingParams{4096, 32}, RingParams{2048, 52}));

TEST(Key, WeakParametersAreRefused) {
  EXPECT_FALSE(ClientKey::make({1024, 32}, detect_cpu()).ok());
  EXPECT_FALSE(ClientKey::make({2048, 64}, detect_cpu()).ok());
  EXPECT_FALSE(ClientKey::make({2047, 32}, detect_cpu()).ok());
}

}  // namespace
}  // namespace carrel::he
