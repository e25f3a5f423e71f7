#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "he/ring/ntt_kernels.h"
#include "he/ring/params.h"
#include "he/ring/product.h"
#include "he/ring/sampler.h"

namespace carrel::he {
namespace {

std::vector<CpuMask> masks() {
  const CpuMask all = detect_cpu();
  std::vector<CpuMask> out = {kCpuGeneric};
  for (CpuMask mask : {CpuMask{kCpuAvx2}, CpuMask{kCpuAvx2 | kCpuAvx512}, CpuMask{kCpuAvx2 | kCpuAvx512 | kCpuIfma},
                       CpuMask{kCpuAvx2 | kCpuAvx512 | kCpuVnni}, all}) {
    if ((mask & all) == mask) out.push_back(mask);
  }
  return out;
}

TEST(Params, BelowTheTableIsRefused) {
  EXPECT_TRUE(check_security(2048, 54).ok());
  EXPECT_FALSE(check_security(2048, 55).ok());
  EXPECT_FALSE(check_security(1024, 32).ok());
  EXPECT_FALSE(check_security(3000, 20).ok());
  EXPECT_EQ(least_degree(32, 1), 2048u);
  EXPECT_EQ(least_degree(52, 2049), 4096u);
  EXPECT_EQ(least_degree(882, 1), 0u);
}

TEST(Primes, AreFoundAndHaveRoots) {
  EXPECT_TRUE(is_prime(2));
  EXPECT_TRUE(is_prime(4294967291u));
  EXPECT_FALSE(is_prime(4294967297u));        // 641 x 6700417
  EXPECT_FALSE(is_prime(3215031751u));        // a strong pseudoprime to 2, 3, 5, 7
  for (uint32_t degree : {1024u, 2048u, 32768u}) {
    const Result<uint64_t> p = ntt_prime(50, degree);
    ASSERT_TRUE(p.ok());
    EXPECT_EQ(*p % (2 * degree), 1u);
    EXPECT_EQ(pow_mod(primitive_root(degree, *p), degree, *p), *p - 1);
    EXPECT_NE(*ntt_prime(50, degree, 1), *p);
  }
  EXPECT_FALSE(ntt_prime(51, 2048).ok());
  EXPECT_FALSE(ntt_prime(8, 2048).ok());
}

std::vector<uint64_t> random_below(uint64_t bound, uint32_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint64_t> out(count);
  for (uint64_t& x : out) x = random() % bound;
  return out;
}

// The definition: coefficient products, X^degree = -1.
std::vector<uint64_t> negacyclic(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b, uint64_t p) {
  const size_t n = a.size();
  std::vector<uint64_t> out(n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      const uint64_t x = mul_mod(a[i], b[j], p);
      uint64_t& at = out[(i + j) % n];
      at = i + j < n ? add_mod(at, x, p) : sub_mod(at, x, p);
    }
  }
  return out;
}

class Ntt : public ::testing::TestWithParam<uint32_t> {};

TEST_P(Ntt, ProductsAreNegacyclic) {
  const uint32_t degree = GetParam();
  for (const uint32_t bits : {20u, 36u, 50u}) {
    const uint64_t p = *ntt_prime(bits, degree);
    const std::vector<uint64_t> a = random_below(p, degree, 1), b = random_below(p, degree, 2);
    const std::vector<uint64_t> expected = negacyclic(a, b, p);
    for (CpuMask mask : masks()) {
      const NttTables tables(degree, p, mask);
      std::vector<uint64_t> x = a, y = b, z(degree);
      tables.forward(x.data());
      tables.forward(y.data());
      for (uint64_t v : x) ASSERT_LT(v, p);
      tables.multiply(x.data(), y.data(), z.data());
      for (uint64_t v : z) ASSERT_LT(v, p);
      tables.inverse(z.data());
      EXPECT_EQ(z, expected) << ntt_kernels(mask).name << " " << bits;
      tables.multiply(x.data(), tables.fixed(y.data()));
      for (uint64_t v : x) ASSERT_LT(v, 2 * p);
      tables.inverse(x.data());
      EXPECT_EQ(x, expected) << ntt_kernels(mask).name << " " << bits;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Degrees, Ntt, ::testing::Values(64u, 128u, 256u, 1024u, 2048u));

TEST(NttLarge, EveryKernelGoesThereAndBack) {
  for (uint32_t degree : {4096u, 8192u, 16384u, 32768u}) {
    const uint64_t p = *ntt_prime(50, degree);
    for (CpuMask mask : masks()) {
      const NttTables tables(degree, p, mask);
      // X^(n-1) a: every coefficient moves by one and changes its sign, but for the first.
      std::vector<uint64_t> a = random_below(p, degree, 3), b(degree), x = a;
      a[0] = x[0] = p - 1;
      b[degree - 1] = 1;
      tables.forward(x.data());
      tables.forward(b.data());
      tables.multiply(x.data(), b.data(), x.data());
      tables.inverse(x.data());
      for (uint32_t i = 0; i + 1 < degree; ++i) ASSERT_EQ(x[i], (p - a[i + 1]) % p) << ntt_kernels(mask).name;
      EXPECT_EQ(x[degree - 1], a[0]);
    }
  }
}

// Random products, against 128-bit integers.
template <class T>
void check_products(CpuMask mask, uint32_t channels, uint32_t outputs, uint32_t taps, uint32_t degree, uint64_t seed) {
  constexpr bool kNarrow = sizeof(T) == 4;
  const ProductKernels& kernels = product_kernels(mask);
  const uint64_t modulus_mask = kNarrow ? 0xffffffffu : kMask52;
  std::mt19937_64 random(seed);
  const uint32_t tap_pairs = kNarrow ? pairs_of(channels) : channels, block_pairs = taps * tap_pairs;
  std::vector<std::vector<T>> in(size_t{taps} * channels, std::vector<T>(degree)), out(outputs, std::vector<T>(degree));
  for (auto& polynomial : in) {
    for (T& x : polynomial) x = static_cast<T>(random() & modulus_mask);
  }
  in[0][0] = static_cast<T>(0x8000), in[0][1] = static_cast<T>(modulus_mask), in[0][2] = static_cast<T>(0xffff8000);
  std::vector<int64_t> w(size_t{outputs} * taps * channels);
  for (int64_t& x : w) x = static_cast<int64_t>(random() % 65536) - 32768;
  w[0] = -32768;
  // Packed.
  const size_t pixel_bytes = kNarrow ? packed_bytes32(degree, channels) : packed_bytes52(degree, channels);
  std::vector<std::byte> pixels(taps * pixel_bytes + 64);
  std::vector<Tap> tap(taps);
  const uint32_t blocks = (outputs + kOutputs - 1) / kOutputs;
  std::vector<int32_t> weights32(size_t{blocks} * block_pairs * kOutputs);
  std::vector<uint64_t> weights52(weights32.size());
  for (uint32_t t = 0; t < taps; ++t) {
    std::vector<const T*> polynomials;
    for (uint32_t c = 0; c < channels; ++c) polynomials.push_back(in[t * channels + c].data());
    std::byte* pixel = pixels.data() + t * pixel_bytes;
    if constexpr (kNarrow) kernels.pack32(polynomials.data(), channels, degree, pixel);
    else kernels.pack52(polynomials.data(), channels, degree, pixel);
    tap[t] = {pixel, t * tap_pairs};
    for (uint32_t o = 0; o < outputs; ++o) {
      for (uint32_t c = 0; c < channels; ++c) {
        const int64_t value = w[(o * taps + t) * channels + c];
        const size_t block = size_t{o / kOutputs} * block_pairs * kOutputs;
        if (kNarrow) {
          uint32_t half = static_cast<uint16_t>(value);
          weights32[block + (t * tap_pairs + c / 2) * kOutputs + o % kOutputs] |= static_cast<int32_t>(half << (c % 2 * 16));
        } else {
          weights52[block + (t * tap_pairs + c) * kOutputs + o % kOutputs] = static_cast<uint64_t>(value) & kMask52;
        }
      }
    }
  }
  std::vector<uint64_t> constants(outputs);
  for (uint64_t& x : constants) x = random() & modulus_mask;
  std::vector<void*> outs;
  for (auto& polynomial : out) outs.push_back(polynomial.data());
  ProductCall call{tap.data(), taps, tap_pairs, kNarrow ? static_cast<const void*>(weights32.data()) : weights52.data(), block_pairs,
                   outputs, constants.data(), outs.data(), degree};
  if (kNarrow) kernels.product32(call);
  else kernels.product52(call);
  for (uint32_t o = 0; o < outputs; ++o) {
    for (uint32_t i = 0; i < degree; ++i) {
      __int128 sum = static_cast<__int128>(constants[o]);
      for (uint32_t k = 0; k < taps * channels; ++k) sum += static_cast<__int128>(w[o * taps * channels + k]) * in[k][i];
      ASSERT_EQ(out[o][i], static_cast<T>(static_cast<uint64_t>(sum) & modulus_mask)) << kernels.name << " output " << o;
    }
  }
}

TEST(Products, AreExact) {
  uint64_t seed = 1;
  for (CpuMask mask : masks()) {
    for (uint32_t channels : {1u, 2u, 3u, 16u, 37u}) {
      for (uint32_t outputs : {1u, 6u, 7u, 13u}) {
        for (uint32_t taps : {1u, 9u}) {
          check_products<uint32_t>(mask, channels, outputs, taps, 64, ++seed);
          check_products<uint64_t>(mask, channels, outputs, taps, 64, ++seed);
        }
      }
    }
  }
}

template <class T>
void check_depthwise(CpuMask mask, T modulus_mask) {
  constexpr uint32_t kChannels = 5, kTaps = 7, kPitch = 9, kDegree = 128;
  std::mt19937_64 random(7);
  std::vector<std::vector<T>> in(kTaps, std::vector<T>(kChannels * kDegree));
  for (auto& pixel : in) {
    for (T& x : pixel) x = static_cast<T>(random()) & modulus_mask;
  }
  std::vector<int32_t> weights(kChannels * kPitch);
  for (int32_t& x : weights) x = static_cast<int32_t>(random());
  const uint32_t index[kTaps] = {0, 1, 3, 4, 5, 7, 8};
  std::vector<const void*> pixels;
  for (auto& pixel : in) pixels.push_back(pixel.data());
  std::vector<uint64_t> constants(kChannels, 12345);
  std::vector<T> out(kChannels * kDegree);
  const DepthwiseCall call{pixels.data(), kTaps, weights.data(), index, kPitch, kChannels, constants.data(), out.data(), kDegree};
  if (sizeof(T) == 4) product_kernels(mask).depthwise32(call);
  else product_kernels(mask).depthwise52(call);
  for (uint32_t c = 0; c < kChannels; ++c) {
    for (uint32_t i = 0; i < kDegree; ++i) {
      __int128 sum = 12345;
      for (uint32_t t = 0; t < kTaps; ++t) sum += static_cast<__int128>(weights[c * kPitch + index[t]]) * in[t][c * kDegree + i];
      ASSERT_EQ(out[c * kDegree + i], static_cast<T>(static_cast<uint64_t>(sum)) & modulus_mask) << product_kernels(mask).name;
    }
  }
}

TEST(Products, DepthwiseIsExact) {
  for (CpuMask mask : masks()) {
    check_depthwise<uint32_t>(mask, ~uint32_t{0});
    check_depthwise<uint64_t>(mask, kMask52);
  }
}

TEST(Streams, KnownAnswer) {
  // NIST SP 800-38A F.5.1 begins with this key; the counter there is not ours, so the block cipher's value of zero is FIPS 197's.
  const StreamKey zero = {};
  Streams streams(zero);
  uint8_t out[16];
  streams.fill(0, std::as_writable_bytes(std::span(out)));
  const uint8_t expected[16] = {0x66, 0xe9, 0x4b, 0xd4, 0xef, 0x8a, 0x2c, 0x3b, 0x88, 0x4c, 0xfa, 0x59, 0xca, 0x34, 0x2b, 0x2e};
  EXPECT_EQ(std::memcmp(out, expected, 16), 0);
}

TEST(Streams, RepeatAndDiffer) {
  const StreamKey key = {{1, 2, 3}};
  Streams a(key), b(key);
  std::vector<uint32_t> x(4096), y(4096);
  a.uniform(5, x);
  b.uniform(6, y);
  EXPECT_NE(x, y);
  b.uniform(5, y);
  EXPECT_EQ(x, y);
}

// Every kernel against one value at a time in wide integers.
TEST(Coefficients, AreExact) {
  constexpr uint32_t kCount = 64;
  const uint64_t p = *ntt_prime(50, 2048);
  std::mt19937_64 random(3);
  std::vector<uint32_t> x32(kCount), words(2 * kCount);
  std::vector<uint64_t> x52(kCount), r(kCount), s(kCount);
  for (uint32_t i = 0; i < kCount; ++i) {
    x32[i] = static_cast<uint32_t>(random());
    x52[i] = random() & kMask52;
    r[i] = random() % p;
    s[i] = random() % p;
  }
  for (uint32_t& w : words) w = static_cast<uint32_t>(random());
  x32[0] = 0x80000000, x32[1] = 0x7fffffff, x52[0] = uint64_t{1} << 51, x52[1] = x52[0] - 1, x52[2] = (1 << 25) - 1, x52[3] = 1 << 25;
  const auto centred = [&](uint64_t v) { return v > p / 2 ? static_cast<int64_t>(v) - static_cast<int64_t>(p) : static_cast<int64_t>(v); };
  const auto signed52 = [](uint64_t v) { return static_cast<int64_t>(v << 12) >> 12; };
  for (CpuMask mask : masks()) {
    const CoefficientKernels& k = coefficient_kernels(mask);
    std::vector<uint64_t> low(kCount), high(kCount), sum52 = x52, noisy52 = x52;
    std::vector<uint32_t> sum32 = x32, noisy32 = x32;
    k.lift32(x32.data(), low.data(), kCount, p);
    for (uint32_t i = 0; i < kCount; ++i) ASSERT_EQ(centred(low[i]), static_cast<int32_t>(x32[i])) << k.name;
    k.lift52(x52.data(), low.data(), high.data(), kCount, p);
    for (uint32_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(centred(high[i]) * (1 << kLowBits) + centred(low[i]), signed52(x52[i])) << k.name;
      ASSERT_LE(std::abs(centred(low[i])), 1 << 25);
      ASSERT_LE(std::abs(centred(high[i])), 1 << 25);
    }
    k.add32(sum32.data(), r.data(), -1, kCount, p);
    k.add52(sum52.data(), r.data(), s.data(), -1, kCount, p);
    k.add_noise32(noisy32.data(), words.data(), kCount);
    k.add_noise52(noisy52.data(), words.data(), kCount);
    for (uint32_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(sum32[i], static_cast<uint32_t>(x32[i] - static_cast<uint64_t>(centred(r[i])))) << k.name;
      const uint64_t both = static_cast<uint64_t>(centred(r[i])) + (static_cast<uint64_t>(centred(s[i])) << kLowBits);
      ASSERT_EQ(sum52[i], (x52[i] - both) & kMask52) << k.name;
      const int noise = __builtin_popcount(words[i] & 0x1fffff) - __builtin_popcount(words[kCount + i] & 0x1fffff);
      ASSERT_EQ(noisy32[i], x32[i] + static_cast<uint32_t>(noise)) << k.name;
      ASSERT_EQ(noisy52[i], (x52[i] + static_cast<uint64_t>(int64_t{noise})) & kMask52) << k.name;
    }
  }
}

TEST(Coefficients, NumbersAreRoundedAndBounded) {
  const std::vector<float> x = {0.f, 0.49f, -0.51f, 1.26f, 1e30f, -1e30f, std::nanf(""), INFINITY, -INFINITY, 3.f, -3.f, 2.f, 0.f, 0.f, 0.f, 0.f};
  const std::vector<int64_t> expected = {0, 0, -1, 1, 1000, -1000, 0, 1000, -1000, 3, -3, 2, 0, 0, 0, 0};
  for (CpuMask mask : masks()) {
    const CoefficientKernels& k = coefficient_kernels(mask);
    std::vector<uint32_t> a(x.size());
    std::vector<uint64_t> b(x.size());
    std::vector<float> back(x.size());
    const uint32_t count = static_cast<uint32_t>(x.size());
    k.encode32(x.data(), 1.f, 1000.f, a.data(), count);
    k.encode52(x.data(), 1.f, 1000.f, b.data(), count);
    for (uint32_t i = 0; i < count; ++i) {
      ASSERT_EQ(a[i], static_cast<uint32_t>(expected[i])) << k.name << " " << i;
      ASSERT_EQ(b[i], static_cast<uint64_t>(expected[i]) & kMask52) << k.name << " " << i;
    }
    k.decode32(a.data(), 0.5f, back.data(), count);
    for (uint32_t i = 0; i < count; ++i) ASSERT_EQ(back[i], 0.5f * static_cast<float>(expected[i])) << k.name;
    k.decode52(b.data(), 0.5f, back.data(), count);
    for (uint32_t i = 0; i < count; ++i) ASSERT_EQ(back[i], 0.5f * static_cast<float>(expected[i])) << k.name;
  }
}

// P(noise = k) = C(42, 21 + k) / 2^42.
TEST(Streams, NoiseIsBinomial) {
  constexpr uint32_t kCount = 1 << 20;
  Streams streams(StreamKey{{42}});
  std::vector<uint32_t> words(2 * kCount), noise(kCount);
  streams.uniform(0, words);
  coefficient_kernels(detect_cpu()).add_noise32(noise.data(), words.data(), kCount);
  std::vector<double> seen(2 * kMostNoise + 1);
  for (uint32_t residue : noise) {
    const int32_t x = static_cast<int32_t>(residue);
    ASSERT_LE(std::abs(x), kMostNoise);
    seen[static_cast<size_t>(x + kMostNoise)] += 1;
  }
  double chi = 0, pooled_seen = 0, pooled = 0;
  int cells = 0;
  for (int k = -kMostNoise; k <= kMostNoise; ++k) {
    const double log_p = std::lgamma(43) - std::lgamma(22 + k) - std::lgamma(22 - k) - 42 * std::log(2.0);
    const double expected = kCount * std::exp(log_p), got = seen[static_cast<size_t>(k + kMostNoise)];
    if (expected < 10) {
      pooled += expected, pooled_seen += got;
      continue;
    }
    chi += (got - expected) * (got - expected) / expected;
    ++cells;
  }
  chi += (pooled_seen - pooled) * (pooled_seen - pooled) / pooled;
  // 99.99 % of a chi-square variable of `cells` degrees of freedom, by Wilson and Hilferty.
  const double n = cells, z = 3.72;
  EXPECT_LT(chi, n * std::pow(1 - 2 / (9 * n) + z * std::sqrt(2 / (9 * n)), 3));
}

TEST(Streams, TernaryIsUniform) {
  constexpr uint32_t kCount = 300000;
  const std::vector<int8_t> values = Streams(StreamKey{{9}}).ternary(1, kCount);
  double seen[3] = {};
  for (int8_t v : values) seen[v + 1] += 1;
  double chi = 0;
  for (double s : seen) chi += (s - kCount / 3.0) * (s - kCount / 3.0) / (kCount / 3.0);
  EXPECT_LT(chi, 18.4);  // 99.99 % with two degrees of freedom
}

}  // namespace
}  // namespace carrel::he
