#include "he/ring/prime.h"

namespace carrel::he {
namespace {

// n is not of the form that `witness` proves composite (Miller and Rabin). n odd, n - 1 = odd 2^twos.
bool passes(uint64_t n, uint64_t witness, uint64_t odd, int twos) {
  uint64_t x = pow_mod(witness % n, odd, n);
  if (x <= 1 || x == n - 1) return x != 0 || witness % n == 0;
  for (int i = 1; i < twos; ++i) {
    x = mul_mod(x, x, n);
    if (x == n - 1) return true;
  }
  return false;
}

}  // namespace

uint64_t pow_mod(uint64_t a, uint64_t exponent, uint64_t p) {
  uint64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = mul_mod(result, a, p);
    a = mul_mod(a, a, p);
  }
  return result;
}

uint64_t inverse_mod(uint64_t a, uint64_t p) { return pow_mod(a, p - 2, p); }

Factor make_factor(uint64_t value, uint64_t p) {
  return {value, static_cast<uint64_t>((static_cast<unsigned __int128>(value) << 52) / p)};
}

bool is_prime(uint64_t n) {
  constexpr uint64_t kWitnesses[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};  // enough below 2^64 (Sorenson, Webster 2015)
  if (n < 2) return false;
  for (uint64_t w : kWitnesses) {
    if (n % w == 0) return n == w;
  }
  uint64_t odd = n - 1;
  int twos = 0;
  for (; odd % 2 == 0; odd /= 2) ++twos;
  for (uint64_t w : kWitnesses) {
    if (!passes(n, w, odd, twos)) return false;
  }
  return true;
}

Result<uint64_t> ntt_prime(uint32_t bits, uint32_t degree, uint32_t index) {
  const uint64_t step = uint64_t{2} * degree, top = uint64_t{1} << bits;
  if (bits <= kPrimeBits && bits > 1) {
    for (uint64_t p = (top - 2) / step * step + 1; p > top / 2; p -= step) {
      if (is_prime(p) && index-- == 0) return p;
    }
  }
  return Error(ErrorCode::kInvalidInput, "too few primes of %u bits for degree %u", bits, degree);
}

uint64_t primitive_root(uint32_t degree, uint64_t p) {
  // x^((p - 1) / 2 degree) has an order that divides 2 degree, a power of two; it is all of it where its degree-th power is -1.
  for (uint64_t x = 2;; ++x) {
    const uint64_t root = pow_mod(x, (p - 1) / (uint64_t{2} * degree), p);
    if (pow_mod(root, degree, p) == p - 1) return root;
  }
}

}  // namespace carrel::he
