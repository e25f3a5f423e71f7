// Four values at a time, as doubles: they hold integers below 2^53 exactly, and a fused multiply-add gives the low part of a
// product. Values stay below 2 p < 2^51. Strides below 4 are left to the generic kernel.
#include <immintrin.h>

#include "he/ring/ntt_kernels.h"

namespace carrel::he::ntt_avx2 {
namespace {

using V = __m256d;

constexpr double kTwo52 = 4503599627370496.0;

V load(const uint64_t* at) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  const V offset = _mm256_set1_pd(kTwo52);
  return _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(bits), offset), offset);
}
void store(uint64_t* at, V v) {
  const V offset = _mm256_set1_pd(kTwo52);
  const V bits = _mm256_xor_pd(_mm256_add_pd(v, offset), offset);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm256_castpd_si256(bits));
}

struct Root {
  V value, ratio;  // ratio = value / p
};
Root root_of(uint64_t value, uint64_t quotient) {
  return {_mm256_set1_pd(static_cast<double>(value)), _mm256_set1_pd(static_cast<double>(quotient) / kTwo52)};
}

// x in [0, 2 bound) -> [0, bound).
V reduce(V x, V bound) {
  const V less = _mm256_sub_pd(x, bound);
  return _mm256_blendv_pd(less, x, less);  // by the sign of x - bound
}

// x r mod p, < p. Requires 0 <= x < 2^52. The estimate is off by one at most, so what is left lies in (-p, 2 p).
V multiply_mod(V x, Root r, V p) {
  const V high = _mm256_mul_pd(x, r.value), low = _mm256_fmsub_pd(x, r.value, high);
  const V estimate = _mm256_floor_pd(_mm256_mul_pd(x, r.ratio));
  V rest = _mm256_add_pd(_mm256_fnmadd_pd(estimate, p, high), low);
  rest = _mm256_add_pd(rest, _mm256_and_pd(_mm256_cmp_pd(rest, _mm256_setzero_pd(), _CMP_LT_OQ), p));
  return reduce(rest, p);
}

}  // namespace

void forward(const NttTables& tables, uint64_t* values) {
  const V p = _mm256_set1_pd(static_cast<double>(tables.prime())), twice = _mm256_add_pd(p, p);
  const NttTables::Roots& roots = tables.roots();
  for (uint32_t blocks = 1, stride = tables.degree() / 2; stride >= 4; blocks *= 2, stride /= 2) {
    for (uint32_t b = 0; b < blocks; ++b) {
      const Root root = root_of(roots.value[blocks + b], roots.quotient[blocks + b]);
      uint64_t* at = values + size_t{2} * b * stride;
      for (uint32_t i = 0; i < stride; i += 4) {
        const V x = load(at + i), y = multiply_mod(load(at + i + stride), root, p);
        store(at + i, reduce(_mm256_add_pd(x, y), twice));
        store(at + i + stride, reduce(_mm256_add_pd(x, _mm256_sub_pd(p, y)), twice));
      }
    }
  }
  ntt_generic::forward_from(tables, values, 2);
}

void inverse(const NttTables& tables, uint64_t* values) {
  const V p = _mm256_set1_pd(static_cast<double>(tables.prime())), twice = _mm256_add_pd(p, p);
  const NttTables::Roots& roots = tables.inverse_roots();
  ntt_generic::inverse_until(tables, values, 4);
  for (uint32_t blocks = tables.degree() / 8, stride = 4; blocks > 0; blocks /= 2, stride *= 2) {
    for (uint32_t b = 0; b < blocks; ++b) {
      const Root root = root_of(roots.value[blocks + b], roots.quotient[blocks + b]);
      uint64_t* at = values + size_t{2} * b * stride;
      for (uint32_t i = 0; i < stride; i += 4) {
        const V x = load(at + i), y = load(at + i + stride);
        store(at + i, reduce(_mm256_add_pd(x, y), twice));
        store(at + i + stride, multiply_mod(_mm256_add_pd(x, _mm256_sub_pd(twice, y)), root, p));
      }
    }
  }
  const Root scale = root_of(tables.scale().value, tables.scale().quotient);
  for (uint32_t i = 0; i < tables.degree(); i += 4) store(values + i, multiply_mod(load(values + i), scale, p));
}

void multiply_fixed(uint64_t* values, const uint64_t* factors, const uint64_t* quotients, uint32_t count, uint64_t p) {
  const V modulus = _mm256_set1_pd(static_cast<double>(p)), scale = _mm256_set1_pd(1 / kTwo52);
  for (uint32_t i = 0; i < count; i += 4) {
    store(values + i, multiply_mod(load(values + i), {load(factors + i), _mm256_mul_pd(load(quotients + i), scale)}, modulus));
  }
}

void multiply(const uint64_t* a, const uint64_t* b, uint64_t* out, uint32_t count, uint64_t p) {
  const V modulus = _mm256_set1_pd(static_cast<double>(p)), inverse_p = _mm256_set1_pd(1 / static_cast<double>(p));
  for (uint32_t i = 0; i < count; i += 4) {
    const V y = load(b + i);
    store(out + i, multiply_mod(load(a + i), {y, _mm256_mul_pd(y, inverse_p)}, modulus));
  }
}

}  // namespace carrel::he::ntt_avx2
