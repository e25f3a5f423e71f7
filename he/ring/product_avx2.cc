#include <immintrin.h>

#include "he/ring/product_kernels.h"

namespace carrel::he::product_avx2 {
namespace {

struct Lanes {
  using V = __m256i;
  static constexpr int kLanes = 8, kVectors = 1;
  static V load(const int32_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
  static void store(uint32_t* at, V v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), v); }
  static V broadcast(int32_t v) { return _mm256_set1_epi32(v); }
  static V dot(V sum, V x, V w) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }
  static V add(V a, V b) { return _mm256_add_epi32(a, b); }
  static V shift16(V a) { return _mm256_slli_epi32(a, 16); }
};

}  // namespace
#include "he/ring/product_body.h"
}  // namespace carrel::he::product_avx2
