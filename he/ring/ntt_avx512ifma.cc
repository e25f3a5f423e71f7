// Eight values at a time, with products of 52-bit integers. Stages with strides of 64 and more pass through memory two at a time;
// the rest happen in registers on groups of 64 values. There the strides below 8 would be within registers, so the group is
// transposed and left so: the order of values is this kernel's own.
#include <immintrin.h>

#include "he/ring/ntt_kernels.h"

namespace carrel::he::ntt_avx512ifma {
namespace {

using V = __m512i;

struct Root {
  V value, quotient;
};
struct Prime {
  V p, twice, minus;
};

V load(const uint64_t* at) { return _mm512_loadu_si512(at); }
void store(uint64_t* at, V v) { _mm512_storeu_si512(at, v); }
V broadcast(uint64_t v) { return _mm512_set1_epi64(static_cast<int64_t>(v)); }
Prime prime_of(uint64_t p) { return {broadcast(p), broadcast(2 * p), broadcast((uint64_t{1} << 52) - p)}; }
Root root_at(const std::vector<uint64_t>& value, const std::vector<uint64_t>& quotient, size_t i) {
  return {broadcast(value[i]), broadcast(quotient[i])};
}
Root roots_at(const uint64_t* value, const uint64_t* quotient) { return {load(value), load(quotient)}; }

// x < 2 bound -> x modulo bound, < bound.
V reduce(V x, V bound) { return _mm512_min_epu64(x, _mm512_sub_epi64(x, bound)); }

// As mul_lazy(). The low halves are modulo 2^52, and so is their sum, once masked.
V multiply_lazy(V x, Root r, const Prime& q) {
  const V mask = broadcast((uint64_t{1} << 52) - 1);
  const V estimate = _mm512_madd52hi_epu64(_mm512_setzero_si512(), x, r.quotient);
  const V low = _mm512_madd52lo_epu64(_mm512_setzero_si512(), x, r.value);
  return _mm512_and_si512(_mm512_madd52lo_epu64(low, estimate, q.minus), mask);
}

// x, y < 4 p -> x + r y, x - r y, < 4 p.
[[gnu::always_inline]] inline void butterfly(V* x, V* y, Root r, const Prime& q) {
  const V low = reduce(*x, q.twice), high = multiply_lazy(*y, r, q);
  *x = _mm512_add_epi64(low, high);
  *y = _mm512_add_epi64(low, _mm512_sub_epi64(q.twice, high));
}

// x, y < 2 p -> x + y, r (x - y), < 2 p.
[[gnu::always_inline]] inline void butterfly_back(V* x, V* y, Root r, const Prime& q) {
  const V sum = _mm512_add_epi64(*x, *y), difference = _mm512_add_epi64(*x, _mm512_sub_epi64(q.twice, *y));
  *x = reduce(sum, q.twice);
  *y = multiply_lazy(difference, r, q);
}

[[gnu::always_inline]] inline void transpose(V* v) {
  V t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm512_unpacklo_epi64(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi64(v[i], v[i + 1]);
  }
  V u[8];
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const V even = _mm512_shuffle_i64x2(t[i + j], t[i + j + 2], 0x88), odd = _mm512_shuffle_i64x2(t[i + j], t[i + j + 2], 0xdd);
      u[i + j] = even;
      u[i + j + 2] = odd;
    }
  }
  for (int j = 0; j < 4; ++j) {
    v[j] = _mm512_shuffle_i64x2(u[j], u[j + 4], 0x88);
    v[j + 4] = _mm512_shuffle_i64x2(u[j], u[j + 4], 0xdd);
  }
}

// Stages with `blocks` and 2 `blocks` blocks, strides `stride` and `stride` / 2.
void two_stages(const NttTables::Roots& roots, uint64_t* values, uint32_t blocks, uint32_t stride, const Prime& q) {
  const uint32_t half = stride / 2;
  for (uint32_t b = 0; b < blocks; ++b) {
    const Root first = root_at(roots.value, roots.quotient, blocks + b);
    const Root left = root_at(roots.value, roots.quotient, 2 * blocks + 2 * b);
    const Root right = root_at(roots.value, roots.quotient, 2 * blocks + 2 * b + 1);
    uint64_t* at = values + size_t{2} * b * stride;
    for (uint32_t i = 0; i < half; i += 8) {
      V v[4];
      for (uint32_t k = 0; k < 4; ++k) v[k] = load(at + i + k * half);
      butterfly(&v[0], &v[2], first, q);
      butterfly(&v[1], &v[3], first, q);
      butterfly(&v[0], &v[1], left, q);
      butterfly(&v[2], &v[3], right, q);
      for (uint32_t k = 0; k < 4; ++k) store(at + i + k * half, v[k]);
    }
  }
}

void two_stages_back(const NttTables::Roots& roots, uint64_t* values, uint32_t blocks, uint32_t stride, const Prime& q) {
  const uint32_t half = stride / 2;
  for (uint32_t b = 0; b < blocks; ++b) {
    const Root last = root_at(roots.value, roots.quotient, blocks + b);
    const Root left = root_at(roots.value, roots.quotient, 2 * blocks + 2 * b);
    const Root right = root_at(roots.value, roots.quotient, 2 * blocks + 2 * b + 1);
    uint64_t* at = values + size_t{2} * b * stride;
    for (uint32_t i = 0; i < half; i += 8) {
      V v[4];
      for (uint32_t k = 0; k < 4; ++k) v[k] = load(at + i + k * half);
      butterfly_back(&v[0], &v[1], left, q);
      butterfly_back(&v[2], &v[3], right, q);
      butterfly_back(&v[0], &v[2], last, q);
      butterfly_back(&v[1], &v[3], last, q);
      for (uint32_t k = 0; k < 4; ++k) store(at + i + k * half, v[k]);
    }
  }
}

// The first stage alone, where an odd number of them pass through memory.
void first_stage(const NttTables& tables, uint64_t* values, const Prime& q) {
  const Root root = root_at(tables.roots().value, tables.roots().quotient, 1);
  const uint32_t stride = tables.degree() / 2;
  for (uint32_t i = 0; i < stride; i += 8) {
    V x = load(values + i), y = load(values + i + stride);
    butterfly(&x, &y, root, q);
    store(values + i, x);
    store(values + i + stride, y);
  }
}

void last_stage_back(const NttTables& tables, uint64_t* values, const Prime& q) {
  const Root root = root_at(tables.inverse_roots().value, tables.inverse_roots().quotient, 1);
  const uint32_t stride = tables.degree() / 2;
  for (uint32_t i = 0; i < stride; i += 8) {
    V x = load(values + i), y = load(values + i + stride);
    butterfly_back(&x, &y, root, q);
    store(values + i, x);
    store(values + i + stride, y);
  }
}

// Roots of group g: of strides 32, 16 and 8 one for each block; of 4, 2 and 1 one vector for each pair of registers.
struct Group {
  Root wide[7], narrow[7];

  Group(const NttTables::Roots& roots, uint32_t degree, size_t g) {
    const size_t first[3] = {degree / 64 + g, degree / 32 + 2 * g, degree / 16 + 4 * g};
    for (size_t s = 0, k = 0; s < 3; ++s) {
      for (size_t i = 0; i < (size_t{1} << s); ++i) wide[k++] = root_at(roots.value, roots.quotient, first[s] + i);
    }
    narrow[0] = roots_at(&roots.value[degree / 8 + 8 * g], &roots.quotient[degree / 8 + 8 * g]);
    for (size_t k = 0; k < 6; ++k) narrow[k + 1] = roots_at(&roots.tail_value[g * 48 + k * 8], &roots.tail_quotient[g * 48 + k * 8]);
  }
};

// Three stages between eight registers.
[[gnu::always_inline]] inline void three_stages(V* v, const Root* roots, const Prime& q) {
  for (int i = 0; i < 4; ++i) butterfly(&v[i], &v[i + 4], roots[0], q);
  for (int b = 0; b < 2; ++b) {
    for (int i = 0; i < 2; ++i) butterfly(&v[4 * b + i], &v[4 * b + i + 2], roots[1 + b], q);
  }
  for (int b = 0; b < 4; ++b) butterfly(&v[2 * b], &v[2 * b + 1], roots[3 + b], q);
}

[[gnu::always_inline]] inline void three_stages_back(V* v, const Root* roots, const Prime& q) {
  for (int b = 0; b < 4; ++b) butterfly_back(&v[2 * b], &v[2 * b + 1], roots[3 + b], q);
  for (int b = 0; b < 2; ++b) {
    for (int i = 0; i < 2; ++i) butterfly_back(&v[4 * b + i], &v[4 * b + i + 2], roots[1 + b], q);
  }
  for (int i = 0; i < 4; ++i) butterfly_back(&v[i], &v[i + 4], roots[0], q);
}

}  // namespace

void forward(const NttTables& tables, uint64_t* values) {
  const uint32_t degree = tables.degree();
  const Prime q = prime_of(tables.prime());
  uint32_t blocks = 1, stride = degree / 2;
  if ((__builtin_ctz(degree) - 6) % 2 != 0) {
    first_stage(tables, values, q);
    blocks = 2, stride /= 2;
  }
  for (; stride > 32; blocks *= 4, stride /= 4) two_stages(tables.roots(), values, blocks, stride, q);
  for (size_t g = 0; g < degree / 64; ++g) {
    const Group group(tables.roots(), degree, g);
    V v[8];
    for (int i = 0; i < 8; ++i) v[i] = load(values + g * 64 + i * 8);
    three_stages(v, group.wide, q);
    transpose(v);
    three_stages(v, group.narrow, q);
    for (int i = 0; i < 8; ++i) store(values + g * 64 + i * 8, reduce(reduce(v[i], q.twice), q.p));
  }
}

void inverse(const NttTables& tables, uint64_t* values) {
  const uint32_t degree = tables.degree();
  const Prime q = prime_of(tables.prime());
  for (size_t g = 0; g < degree / 64; ++g) {
    const Group group(tables.inverse_roots(), degree, g);
    V v[8];
    for (int i = 0; i < 8; ++i) v[i] = load(values + g * 64 + i * 8);
    three_stages_back(v, group.narrow, q);
    transpose(v);
    three_stages_back(v, group.wide, q);
    for (int i = 0; i < 8; ++i) store(values + g * 64 + i * 8, v[i]);
  }
  uint32_t stride = 128;
  for (; stride <= degree / 2; stride *= 4) two_stages_back(tables.inverse_roots(), values, degree / 2 / stride, stride, q);
  if (stride / 2 == degree / 2) last_stage_back(tables, values, q);
  const Root scale{broadcast(tables.scale().value), broadcast(tables.scale().quotient)};
  for (uint32_t i = 0; i < degree; i += 8) store(values + i, reduce(multiply_lazy(load(values + i), scale, q), q.p));
}

void multiply_fixed(uint64_t* values, const uint64_t* factors, const uint64_t* quotients, uint32_t count, uint64_t p) {
  const Prime q = prime_of(p);
  for (uint32_t i = 0; i < count; i += 8) {
    store(values + i, multiply_lazy(load(values + i), roots_at(factors + i, quotients + i), q));
  }
}

// Barrett: with b the bits of p, floor(a b / 2^(b - 2)) floor(2^(2 b) / p) / 2^(b + 2) is at most two below floor(a b / p): what is left
// is less than 3 p.
void multiply(const uint64_t* a, const uint64_t* b, uint64_t* out, uint32_t count, uint64_t p) {
  const Prime q = prime_of(p);
  const uint32_t bits = 64 - static_cast<uint32_t>(__builtin_clzll(p));
  const uint64_t ratio = static_cast<uint64_t>((static_cast<unsigned __int128>(1) << (bits + 50)) / p);  // < 2^51
  const V inverse = broadcast(ratio), mask = broadcast((uint64_t{1} << 52) - 1), zero = _mm512_setzero_si512();
  const __m128i right = _mm_cvtsi64_si128(bits - 2), left = _mm_cvtsi64_si128(54 - bits);
  for (uint32_t i = 0; i < count; i += 8) {
    const V x = load(a + i), y = load(b + i);
    const V low = _mm512_madd52lo_epu64(zero, x, y), high = _mm512_madd52hi_epu64(zero, x, y);
    // Bits of the product from bits - 2 up: at most bits + 2 of them.
    const V top = _mm512_or_si512(_mm512_sll_epi64(high, left), _mm512_srl_epi64(low, right));
    const V estimate = _mm512_madd52hi_epu64(zero, top, inverse);
    V rest = _mm512_and_si512(_mm512_madd52lo_epu64(low, estimate, q.minus), mask);
    rest = reduce(rest, q.twice);
    store(out + i, reduce(rest, q.p));
  }
}

}  // namespace carrel::he::ntt_avx512ifma
