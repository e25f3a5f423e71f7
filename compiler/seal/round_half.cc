#include "compiler/seal/round_half.h"

#include <cmath>

#include "base/half.h"
#include "base/result.h"

namespace carrel {

void round_to_half(std::span<float> weights, size_t row) {
  CARREL_CHECK(row > 0 && weights.size() % row == 0);
  for (size_t begin = 0; begin < weights.size(); begin += row) {
    float carry = 0;
    for (float& w : weights.subspan(begin, row)) {
      if (w == 0) continue;
      float wanted = w + carry;
      float rounded = round_to_f16(wanted);
      if (!std::isfinite(rounded)) {  // the carry led beyond the range, or w did
        wanted = w;
        rounded = round_to_f16(w);
      }
      carry = std::isfinite(rounded) ? wanted - rounded : 0;
      w = rounded;
    }
  }
}

}  // namespace carrel
