// One value at a time. Butterflies after Harvey, "Faster arithmetic for number-theoretic transforms" (2014): values stay below 4 p
// on the way forward, below 2 p on the way back.
#include "he/ring/ntt_kernels.h"

namespace carrel::he::ntt_generic {

void forward_from(const NttTables& tables, uint64_t* values, uint32_t first_stride) {
  const uint64_t p = tables.prime();
  const NttTables::Roots& roots = tables.roots();
  for (uint32_t stride = first_stride, blocks = tables.degree() / 2 / stride; stride > 0; blocks *= 2, stride /= 2) {
    for (uint32_t b = 0; b < blocks; ++b) {
      const Factor root{roots.value[blocks + b], roots.quotient[blocks + b]};
      uint64_t* x = values + size_t{2} * b * stride;
      for (uint32_t i = 0; i < stride; ++i) {
        const uint64_t low = x[i] >= 2 * p ? x[i] - 2 * p : x[i];
        const uint64_t high = mul_lazy(x[i + stride], root, p);
        x[i] = low + high;
        x[i + stride] = low + 2 * p - high;
      }
    }
  }
  for (uint32_t i = 0; i < tables.degree(); ++i) {
    const uint64_t once = values[i] >= 2 * p ? values[i] - 2 * p : values[i];
    values[i] = once >= p ? once - p : once;
  }
}

void inverse_until(const NttTables& tables, uint64_t* values, uint32_t end_stride) {
  const uint64_t p = tables.prime();
  const NttTables::Roots& roots = tables.inverse_roots();
  for (uint32_t blocks = tables.degree() / 2, stride = 1; stride < end_stride; blocks /= 2, stride *= 2) {
    for (uint32_t b = 0; b < blocks; ++b) {
      const Factor root{roots.value[blocks + b], roots.quotient[blocks + b]};
      uint64_t* x = values + size_t{2} * b * stride;
      for (uint32_t i = 0; i < stride; ++i) {
        const uint64_t sum = x[i] + x[i + stride], difference = x[i] + 2 * p - x[i + stride];
        x[i] = sum >= 2 * p ? sum - 2 * p : sum;
        x[i + stride] = mul_lazy(difference, root, p);
      }
    }
  }
}

void forward(const NttTables& tables, uint64_t* values) { forward_from(tables, values, tables.degree() / 2); }

void inverse(const NttTables& tables, uint64_t* values) {
  const uint64_t p = tables.prime();
  inverse_until(tables, values, tables.degree());
  for (uint32_t i = 0; i < tables.degree(); ++i) {
    const uint64_t scaled = mul_lazy(values[i], tables.scale(), p);
    values[i] = scaled >= p ? scaled - p : scaled;
  }
}

void multiply_fixed(uint64_t* values, const uint64_t* factors, const uint64_t* quotients, uint32_t count, uint64_t p) {
  for (uint32_t i = 0; i < count; ++i) values[i] = mul_lazy(values[i], {factors[i], quotients[i]}, p);
}

void multiply(const uint64_t* a, const uint64_t* b, uint64_t* out, uint32_t count, uint64_t p) {
  for (uint32_t i = 0; i < count; ++i) out[i] = mul_mod(a[i], b[i], p);
}

}  // namespace carrel::he::ntt_generic
