#pragma once
// Arithmetic modulo a prime p < 2^50, one value at a time; kernels do the same on vectors.
#include <cstdint>

#include "base/result.h"

namespace carrel::he {

inline constexpr uint32_t kPrimeBits = 50;  // p < 2^50: sums of four residues fit into 52 bits

// Requires operands < p.
inline uint64_t add_mod(uint64_t a, uint64_t b, uint64_t p) { return a + b >= p ? a + b - p : a + b; }
inline uint64_t sub_mod(uint64_t a, uint64_t b, uint64_t p) { return a >= b ? a - b : a + p - b; }
inline uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t p) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b % p);
}
uint64_t pow_mod(uint64_t a, uint64_t exponent, uint64_t p);
// Requires 0 < a < p, p prime.
uint64_t inverse_mod(uint64_t a, uint64_t p);

// A factor that many values are multiplied by: quotient = floor(value 2^52 / p) (Shoup's trick; Harvey, "Faster arithmetic for
// number-theoretic transforms", 2014).
struct Factor {
  uint64_t value = 0, quotient = 0;
};
Factor make_factor(uint64_t value, uint64_t p);
// x f mod p, plus 0 or p. Requires x < 2^52.
inline uint64_t mul_lazy(uint64_t x, const Factor& f, uint64_t p) {
  const uint64_t estimate = static_cast<uint64_t>((static_cast<unsigned __int128>(x) * f.quotient) >> 52);
  return x * f.value - estimate * p;
}

bool is_prime(uint64_t n);
// The `index`-th largest prime below 2^bits that is 1 modulo 2 degree: one that has an NTT of that degree. degree: a power of two;
// bits <= kPrimeBits. Errors: kInvalidInput if there is none.
Result<uint64_t> ntt_prime(uint32_t bits, uint32_t degree, uint32_t index = 0);
// A primitive 2 degree-th root of unity. Requires p prime and 1 modulo 2 degree.
uint64_t primitive_root(uint32_t degree, uint64_t p);

}  // namespace carrel::he
