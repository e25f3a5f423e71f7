#include "he/server/weights.h"

namespace carrel::he {

std::vector<uint64_t> pack_bias(const LayerScales& scales, const RingParams& ring) {
  const uint64_t mask = ring.modulus_bits == 32 ? 0xffffffffu : kMask52;
  std::vector<uint64_t> constants;
  for (int64_t b : scales.bias) constants.push_back(static_cast<uint64_t>(b) & mask);
  return constants;
}

PackedWeights pack_weights(const Layer& layer, const LayerScales& scales, const RingParams& ring) {
  const bool narrow = ring.modulus_bits == 32;
  const uint32_t taps = uint32_t{layer.window.kernel_h} * layer.window.kernel_w, outputs = layer.out.channels;
  const uint32_t channels = static_cast<uint32_t>(layer.weights.size() / outputs / taps);
  PackedWeights out;
  out.constants = pack_bias(scales, ring);
  out.tap_pairs = narrow ? pairs_of(channels) : channels;
  out.block_pairs = taps * out.tap_pairs;
  const size_t count = size_t{(outputs + kOutputs - 1) / kOutputs} * kOutputs * out.block_pairs;
  if (narrow) out.narrow.resize(count);
  else out.wide.resize(count);
  for (uint32_t o = 0; o < outputs; ++o) {
    const size_t block = size_t{o / kOutputs} * kOutputs * out.block_pairs + o % kOutputs;
    for (uint32_t c = 0; c < channels; ++c) {
      for (uint32_t t = 0; t < taps; ++t) {
        const int32_t w = scales.weights[(size_t{o} * channels + c) * taps + t];
        if (narrow) {
          const uint32_t half = uint32_t{static_cast<uint16_t>(w)} << (c % 2 * 16);
          out.narrow[block + (size_t{t} * out.tap_pairs + c / 2) * kOutputs] |= static_cast<int32_t>(half);
        } else {
          out.wide[block + (size_t{t} * out.tap_pairs + c) * kOutputs] = static_cast<uint64_t>(int64_t{w}) & kMask52;
        }
      }
    }
  }
  return out;
}

}  // namespace carrel::he
