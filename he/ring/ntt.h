#pragma once
// Number-theoretic transforms for products in Z_p[X] / (X^degree + 1), p < 2^50.
//
// forward() takes coefficients to values at the odd powers of a primitive 2 degree-th root, in an order that depends on the kernel:
// values of one NttTables belong together and never leave the process. A product is forward, multiply value by value, inverse.
// Time and addresses independent of: the polynomials.
#include <cstddef>
#include <vector>

#include "base/cpu.h"
#include "he/ring/prime.h"

namespace carrel::he {

class NttTables {
 public:
  // degree: a power of two from 64 to 2^16; prime: from ntt_prime(). Requires both.
  NttTables(uint32_t degree, uint64_t prime, CpuMask cpu);

  uint32_t degree() const { return degree_; }
  uint64_t prime() const { return prime_; }

  // In place; values has degree() elements, 64-byte aligned. In: < p. Out: < p.
  void forward(uint64_t* values) const;
  // In: < 2 p. Out: < p.
  void inverse(uint64_t* values) const;
  // values[i] = values[i] factors[i] mod p, plus 0 or p. In: < 2^52. factors: from fixed().
  void multiply(uint64_t* values, const std::vector<uint64_t>& factors) const;
  // out[i] = a[i] b[i] mod p. In: < p. out may be a or b.
  void multiply(const uint64_t* a, const uint64_t* b, uint64_t* out) const;
  // For the other multiply: transformed values, then their quotients. In: < p. Secret if the values are.
  std::vector<uint64_t> fixed(const uint64_t* values) const;

  // For kernels: powers of the root in bit-reversed order and what they multiply with; values, then quotients.
  struct Roots {
    std::vector<uint64_t> value, quotient;      // [degree]: of the stage with m blocks: [m, 2 m)
    std::vector<uint64_t> tail_value, tail_quotient;  // of the last two stages, as vectors of 8 blocks (ntt_avx512ifma.cc)
  };
  const Roots& roots() const { return roots_; }
  const Roots& inverse_roots() const { return inverse_roots_; }
  const Factor& scale() const { return scale_; }  // 1 / degree

 private:
  Roots make_roots(uint64_t root) const;

  uint32_t degree_;
  uint64_t prime_;
  const struct NttKernels* kernels_;
  Roots roots_, inverse_roots_;
  Factor scale_;
};

}  // namespace carrel::he
