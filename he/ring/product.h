#pragma once
// Sums of integer multiples of polynomials modulo q = 2^32 or 2^52: what a server does to ciphertexts in a convolution. The moduli are
// powers of two, so sums wrap and are exact in any order; weights are integers, so coefficients do not mix and no transform is
// needed.
//
// A *pixel* is the polynomials of `channels` channels at one place of a feature map. Kernels read it packed:
//   q = 2^32: for each 32 coefficients, for each pair of channels (c, c + 1): 32 low halves, then 32 high halves; a half is two
//     int16, of c and of c + 1 (0 where there is none); x = high 2^16 + low. 4 degree round_up(channels, 2) bytes.
//   q = 2^52: for each 16 coefficients, for each channel: 16 u64. 8 degree channels bytes.
// Weights lie in blocks of kOutputs outputs; in a block in the order of taps and then of pairs (channels, for 2^52), kOutputs of them
// side by side, zeros for outputs that do not exist.
// Time and addresses independent of: polynomials, weights.
#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace carrel::he {

inline constexpr uint32_t kOutputs = 6;         // outputs x 2 vectors x 2 halves fill 24 of 32 registers
inline constexpr uint32_t kBlock32 = 32;        // coefficients that are worked on together
inline constexpr uint32_t kBlock52 = 16;
inline constexpr uint64_t kMask52 = (uint64_t{1} << 52) - 1;

constexpr uint32_t pairs_of(uint32_t channels) { return (channels + 1) / 2; }
constexpr size_t packed_bytes32(uint32_t degree, uint32_t channels) { return size_t{8} * degree * pairs_of(channels); }
constexpr size_t packed_bytes52(uint32_t degree, uint32_t channels) { return size_t{8} * degree * channels; }

// What one tap of a window contributes.
struct Tap {
  const std::byte* pixel = nullptr;  // packed, 64-byte aligned
  uint32_t weights = 0;              // index of its first pair (channel) in a block of weights
};

struct ProductCall {
  const Tap* taps = nullptr;
  uint32_t tap_count = 0;
  uint32_t tap_pairs = 0;              // pairs (channels, for 2^52) of each tap
  const void* weights = nullptr;       // 2^32: int16 pairs in an int32; 2^52: u64 < 2^52; 64-byte aligned
  uint32_t block_pairs = 0;            // pairs (channels) in a block of weights
  uint32_t outputs = 0;
  const uint64_t* constants = nullptr; // [outputs], added to every coefficient; may be null
  void* const* out = nullptr;          // [outputs] polynomials: u32 or u64 of one coefficient after the other
  uint32_t degree = 0;                 // a multiple of kBlock32
};

// out[o] = sum over channels of weights[o][c] in[c], `channels` polynomials `in_pitch` elements apart; one output for each channel.
struct DepthwiseCall {
  const void* const* pixels = nullptr;  // of taps: plain polynomials of one channel after the other
  uint32_t tap_count = 0;
  const int32_t* weights = nullptr;     // [channel][tap_pitch]
  const uint32_t* tap_index = nullptr;  // of taps: which weight of a channel
  uint32_t tap_pitch = 0;
  uint32_t channels = 0;
  const uint64_t* constants = nullptr;  // [channels]; may be null
  void* out = nullptr;                  // plain polynomials of one channel after the other
  uint32_t degree = 0;
};

struct ProductKernels {
  const char* name;
  void (*product32)(const ProductCall&);
  void (*product52)(const ProductCall&);
  // polynomials: [channels], plain; packs the pixel.
  void (*pack32)(const uint32_t* const* polynomials, uint32_t channels, uint32_t degree, std::byte* pixel);
  void (*pack52)(const uint64_t* const* polynomials, uint32_t channels, uint32_t degree, std::byte* pixel);
  void (*depthwise32)(const DepthwiseCall&);
  void (*depthwise52)(const DepthwiseCall&);
};
const ProductKernels& product_kernels(CpuMask cpu);

}  // namespace carrel::he
