#pragma once
// A layer's integer weights in the order kernels read them.
#include "he/plan/scales.h"
#include "he/ring/product.h"

namespace carrel::he {

struct PackedWeights {
  std::vector<int32_t> narrow;     // q = 2^32: pairs
  std::vector<uint64_t> wide;      // q = 2^52
  std::vector<uint64_t> constants; // bias, modulo q
  uint32_t tap_pairs = 0, block_pairs = 0;
  const void* data() const { return narrow.empty() ? static_cast<const void*>(wide.data()) : narrow.data(); }
};
// layer.kind: kConv.
PackedWeights pack_weights(const Layer& layer, const LayerScales& scales, const RingParams& ring);
std::vector<uint64_t> pack_bias(const LayerScales& scales, const RingParams& ring);

}  // namespace carrel::he
