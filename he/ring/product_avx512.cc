#include <immintrin.h>

#include "he/ring/product_kernels.h"

namespace carrel::he::product_avx512 {
namespace {

#include "he/ring/lanes_avx512.h"
struct Lanes : Lanes512 {
  static V dot(V sum, V x, V w) { return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w)); }
};

}  // namespace
#include "he/ring/product_body.h"
}  // namespace carrel::he::product_avx512
