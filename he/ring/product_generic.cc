#include "he/ring/product_kernels.h"

namespace carrel::he::product_generic {
namespace {

struct Lanes {
  using V = uint32_t;
  static constexpr int kLanes = 1, kVectors = 1;
  static V load(const int32_t* at) { return static_cast<uint32_t>(*at); }
  static void store(uint32_t* at, V v) { *at = v; }
  static V broadcast(int32_t v) { return static_cast<uint32_t>(v); }
  static int32_t half(V v) { return static_cast<int16_t>(v & 0xffff); }
  static V dot(V sum, V x, V w) {
    return sum + static_cast<uint32_t>(half(x) * half(w)) + static_cast<uint32_t>(half(x >> 16) * half(w >> 16));
  }
  static V add(V a, V b) { return a + b; }
  static V shift16(V a) { return a << 16; }
};

}  // namespace
#include "he/ring/product_body.h"
}  // namespace carrel::he::product_generic
