// Modulo 2^52: the low halves of products of 52-bit integers; sums wrap at 2^64 and are cut at the end.
#include <immintrin.h>

#include "he/ring/product_kernels.h"

namespace carrel::he::product_avx512ifma {
namespace {

using V = __m512i;
constexpr int kVectors = 2;
static_assert(kVectors * 8 == kBlock52);

V broadcast(uint64_t v) { return _mm512_set1_epi64(static_cast<int64_t>(v)); }

void block52(const ProductCall& call, uint32_t first, uint32_t at) {
  V sum[kOutputs][kVectors];
  for (auto& s : sum) s[0] = s[1] = _mm512_setzero_si512();
  const uint64_t* block_weights = static_cast<const uint64_t*>(call.weights) + size_t{first} * call.block_pairs;
  for (uint32_t t = 0; t < call.tap_count; ++t) {
    const uint64_t* x = reinterpret_cast<const uint64_t*>(call.taps[t].pixel) + size_t{at} * call.tap_pairs;
    const uint64_t* w = block_weights + size_t{call.taps[t].weights} * kOutputs;
    for (uint32_t c = 0; c < call.tap_pairs; ++c, x += kBlock52, w += kOutputs) {
      const V x0 = _mm512_loadu_si512(x), x1 = _mm512_loadu_si512(x + 8);
      for (uint32_t o = 0; o < kOutputs; ++o) {
        const V weight = broadcast(w[o]);
        sum[o][0] = _mm512_madd52lo_epu64(sum[o][0], x0, weight);
        sum[o][1] = _mm512_madd52lo_epu64(sum[o][1], x1, weight);
      }
    }
  }
  for (uint32_t o = 0; o < kOutputs && first + o < call.outputs; ++o) {
    uint64_t* out = static_cast<uint64_t*>(call.out[first + o]) + at;
    const V constant = broadcast(call.constants != nullptr ? call.constants[first + o] : 0);
    for (int v = 0; v < kVectors; ++v) {
      _mm512_storeu_si512(out + v * 8, _mm512_and_si512(_mm512_add_epi64(sum[o][v], constant), broadcast(kMask52)));
    }
  }
}

}  // namespace

void product52(const ProductCall& call) {
  for (uint32_t at = 0; at < call.degree; at += kBlock52) {
    for (uint32_t first = 0; first < call.outputs; first += kOutputs) block52(call, first, at);
  }
}

}  // namespace carrel::he::product_avx512ifma
