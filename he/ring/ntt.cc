#include "he/ring/ntt.h"

#include <bit>
#include <cstddef>

#include "he/ring/ntt_kernels.h"

namespace carrel::he {
namespace {

uint32_t reverse_bits(uint32_t value, uint32_t bits) {
  uint32_t reversed = 0;
  for (uint32_t i = 0; i < bits; ++i) reversed |= ((value >> i) & 1) << (bits - 1 - i);
  return reversed;
}

// Of blocks [8 g, 8 g + 8) of 8 values, the stages with strides 2 (two roots a block) and 1 (four), root by root.
std::vector<uint64_t> tail_of(const std::vector<uint64_t>& roots) {
  const size_t degree = roots.size(), groups = degree / 64;
  std::vector<uint64_t> tail(groups * 6 * 8);
  for (size_t g = 0; g < groups; ++g) {
    for (size_t lane = 0; lane < 8; ++lane) {
      uint64_t* at = &tail[g * 48 + lane];
      for (size_t h = 0; h < 2; ++h) at[h * 8] = roots[degree / 4 + (8 * g + lane) * 2 + h];
      for (size_t h = 0; h < 4; ++h) at[(2 + h) * 8] = roots[degree / 2 + (8 * g + lane) * 4 + h];
    }
  }
  return tail;
}

}  // namespace

NttTables::NttTables(uint32_t degree, uint64_t prime, CpuMask cpu)
    : degree_(degree), prime_(prime), kernels_(&ntt_kernels(cpu)) {
  const uint64_t root = primitive_root(degree, prime);
  roots_ = make_roots(root);
  inverse_roots_ = make_roots(inverse_mod(root, prime));
  scale_ = make_factor(inverse_mod(degree, prime), prime);
}

NttTables::Roots NttTables::make_roots(uint64_t root) const {
  Roots roots;
  roots.value.resize(degree_);
  roots.quotient.resize(degree_);
  const uint32_t bits = static_cast<uint32_t>(std::countr_zero(degree_));
  uint64_t power = 1;
  for (uint32_t i = 0; i < degree_; ++i) {
    const uint32_t at = reverse_bits(i, bits);
    roots.value[at] = power;
    roots.quotient[at] = make_factor(power, prime_).quotient;
    power = mul_mod(power, root, prime_);
  }
  roots.tail_value = tail_of(roots.value);
  roots.tail_quotient = tail_of(roots.quotient);
  return roots;
}

void NttTables::forward(uint64_t* values) const { kernels_->forward(*this, values); }
void NttTables::inverse(uint64_t* values) const { kernels_->inverse(*this, values); }

void NttTables::multiply(uint64_t* values, const std::vector<uint64_t>& factors) const {
  kernels_->multiply_fixed(values, factors.data(), factors.data() + degree_, degree_, prime_);
}

void NttTables::multiply(const uint64_t* a, const uint64_t* b, uint64_t* out) const {
  kernels_->multiply(a, b, out, degree_, prime_);
}

std::vector<uint64_t> NttTables::fixed(const uint64_t* values) const {
  std::vector<uint64_t> factors(2 * size_t{degree_});
  for (uint32_t i = 0; i < degree_; ++i) {
    const Factor f = make_factor(values[i], prime_);
    factors[i] = f.value;
    factors[degree_ + i] = f.quotient;
  }
  return factors;
}

const NttKernels& ntt_kernels(CpuMask cpu) {
  static constexpr NttKernels kGeneric = {"generic", ntt_generic::forward, ntt_generic::inverse, ntt_generic::multiply_fixed,
                                          ntt_generic::multiply};
#if defined(__x86_64__)
  static constexpr NttKernels kIfma = {"avx512ifma", ntt_avx512ifma::forward, ntt_avx512ifma::inverse,
                                       ntt_avx512ifma::multiply_fixed, ntt_avx512ifma::multiply};
  static constexpr NttKernels kAvx2 = {"avx2", ntt_avx2::forward, ntt_avx2::inverse, ntt_avx2::multiply_fixed, ntt_avx2::multiply};
  if ((cpu & kCpuAvx512) && (cpu & kCpuIfma)) return kIfma;
  if (cpu & kCpuAvx2) return kAvx2;
#endif
  (void)cpu;
  return kGeneric;
}

}  // namespace carrel::he
