#include "he/ring/params.h"

namespace carrel::he {
namespace {

struct Row {
  uint32_t degree, bits;
};
constexpr Row kTable[] = {{1024, 27}, {2048, 54}, {4096, 109}, {8192, 218}, {16384, 438}, {32768, 881}};

}  // namespace

uint32_t most_modulus_bits(uint32_t degree) {
  for (const Row& row : kTable) {
    if (row.degree == degree) return row.bits;
  }
  return 0;
}

uint32_t least_degree(uint32_t modulus_bits, uint32_t at_least) {
  for (const Row& row : kTable) {
    if (row.degree >= at_least && row.bits >= modulus_bits) return row.degree;
  }
  return 0;
}

Status check_security(uint32_t degree, uint32_t modulus_bits) {
  const uint32_t most = most_modulus_bits(degree);
  if (most == 0) return Error(ErrorCode::kInvalidInput, "degree %u: choose 1024, 2048, 4096, 8192, 16384 or 32768", degree);
  if (modulus_bits <= most) return ok_status();
  return Error(ErrorCode::kInvalidInput, "degree %u with a modulus of %u bits is below 128-bit security (at most %u bits)", degree,
               modulus_bits, most);
}

Status check_ring(const RingParams& ring) {
  if (ring.modulus_bits != 32 && ring.modulus_bits != 52) {
    return Error(ErrorCode::kInvalidInput, "a modulus of 2^%u: choose 2^32 or 2^52", ring.modulus_bits);
  }
  return check_security(ring.degree, ring.modulus_bits);
}

}  // namespace carrel::he
