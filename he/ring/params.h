#pragma once
// Which rings R_q = Z_q[X] / (X^degree + 1) are safe to encrypt in.
//
// Security: 128 bits against classical computers for ternary secrets and noise of standard deviation 3.2, as the
// Homomorphic Encryption Standard lists it (homomorphicencryption.org, 2018, table 1): a bound on the bits of the largest
// modulus that anything is published under, that of key switching included.
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace carrel::he {

inline constexpr uint32_t kLeastDegree = 1024, kMostDegree = 32768;

// Bits of the largest safe modulus; 0 where the table has no such degree.
uint32_t most_modulus_bits(uint32_t degree);
// The least degree of at least `at_least` for a modulus of that many bits; 0 if there is none.
uint32_t least_degree(uint32_t modulus_bits, uint32_t at_least);
// Errors: kInvalidInput, saying which degree would do.
Status check_security(uint32_t degree, uint32_t modulus_bits);

// The ring of a server that only adds and multiplies with integers: q = 2^32 or 2^52.
struct RingParams {
  uint32_t degree = 2048;
  uint32_t modulus_bits = 32;
  bool operator==(const RingParams&) const = default;

  uint32_t word_bytes() const { return modulus_bits == 32 ? 4 : 8; }
  size_t polynomial_bytes() const { return size_t{degree} * word_bytes(); }
};
// Also refuses other moduli.
Status check_ring(const RingParams& ring);

}  // namespace carrel::he
