#include "he/ring/coefficients_kernels.h"
#include "he/ring/product.h"

namespace carrel::he::coefficients_avx512 {
#include "he/ring/coefficients_body.h"
}  // namespace carrel::he::coefficients_avx512
