#pragma once
// Weights rounded to half precision so that a filter's sum stays what it was.
//
// What rounding one weight loses is added to the filter's next one. A filter sees inputs that are alike from tap to tap
// (neighbouring pixels, activations that are never negative), and for those the losses then cancel,
// at the same size and speed.
#include <cstddef>
#include <span>

namespace carrel {

// weights: rows of `row` numbers, each a filter; row divides weights.size(). Afterwards every finite number is a half
// (base/half.h); zeros stay zeros, so that no connection appears where there was none. Within a row the running sums
// differ from the exact ones by at most half a unit in the last place of the number before.
void round_to_half(std::span<float> weights, size_t row);

}  // namespace carrel
