// Bodies of ProductKernels over a vector type L, included by one translation unit for each instruction set, inside its namespace.
//
// L: V, kLanes (int32), kVectors (side by side), load(const int32_t*), store(uint32_t*, V), broadcast(int32_t),
//    dot(sum, x, w) = sum + x.low w.low + x.high w.high of int16 halves, modulo 2^32; add(a, b); shift16(a) = a 2^16.

template <class L>
void store_block32(const ProductCall& call, uint32_t first, uint32_t at, typename L::V (&low)[kOutputs][L::kVectors],
                   typename L::V (&high)[kOutputs][L::kVectors]) {
  for (uint32_t o = 0; o < kOutputs && first + o < call.outputs; ++o) {
    uint32_t* out = static_cast<uint32_t*>(call.out[first + o]) + at;
    const auto constant = L::broadcast(call.constants != nullptr ? static_cast<int32_t>(call.constants[first + o]) : 0);
    for (int v = 0; v < L::kVectors; ++v) {
      L::store(out + v * L::kLanes, L::add(L::add(low[o][v], constant), L::shift16(high[o][v])));
    }
  }
}

// Outputs [first, first + kOutputs), coefficients [at, at + kVectors kLanes), which lie in one block.
template <class L>
void block32(const ProductCall& call, uint32_t first, uint32_t at) {
  using V = typename L::V;
  V low[kOutputs][L::kVectors], high[kOutputs][L::kVectors];
  for (uint32_t o = 0; o < kOutputs; ++o) {
    for (int v = 0; v < L::kVectors; ++v) low[o][v] = high[o][v] = L::broadcast(0);
  }
  const int32_t* block_weights = static_cast<const int32_t*>(call.weights) + size_t{first} * call.block_pairs;
  const size_t offset = size_t{at / kBlock32} * call.tap_pairs * 2 * kBlock32 + at % kBlock32;
  for (uint32_t t = 0; t < call.tap_count; ++t) {
    const int32_t* x = reinterpret_cast<const int32_t*>(call.taps[t].pixel) + offset;
    const int32_t* w = block_weights + size_t{call.taps[t].weights} * kOutputs;
    for (uint32_t c = 0; c < call.tap_pairs; ++c, x += 2 * kBlock32, w += kOutputs) {
      V x_low[L::kVectors], x_high[L::kVectors];
      for (int v = 0; v < L::kVectors; ++v) {
        x_low[v] = L::load(x + v * L::kLanes);
        x_high[v] = L::load(x + kBlock32 + v * L::kLanes);
      }
      for (uint32_t o = 0; o < kOutputs; ++o) {
        const V weight = L::broadcast(w[o]);
        for (int v = 0; v < L::kVectors; ++v) {
          low[o][v] = L::dot(low[o][v], x_low[v], weight);
          high[o][v] = L::dot(high[o][v], x_high[v], weight);
        }
      }
    }
  }
  store_block32<L>(call, first, at, low, high);
}

template <class L>
void product32_body(const ProductCall& call) {
  for (uint32_t at = 0; at < call.degree; at += kBlock32) {
    for (uint32_t first = 0; first < call.outputs; first += kOutputs) {
      for (uint32_t i = 0; i < kBlock32; i += L::kVectors * L::kLanes) block32<L>(call, first, at + i);
    }
  }
}

// The rest is plain loops over coefficients, which compilers turn into vectors.

inline void product52_body(const ProductCall& call) {
  for (uint32_t at = 0; at < call.degree; at += kBlock52) {
    for (uint32_t o = 0; o < call.outputs; ++o) {
      uint64_t sum[kBlock52];
      for (uint64_t& s : sum) s = call.constants != nullptr ? call.constants[o] : 0;
      const uint64_t* block_weights = static_cast<const uint64_t*>(call.weights) + size_t{o / kOutputs} * kOutputs * call.block_pairs;
      for (uint32_t t = 0; t < call.tap_count; ++t) {
        const uint64_t* x = reinterpret_cast<const uint64_t*>(call.taps[t].pixel) + size_t{at} * call.tap_pairs;
        const uint64_t* w = block_weights + size_t{call.taps[t].weights} * kOutputs + o % kOutputs;
        for (uint32_t c = 0; c < call.tap_pairs; ++c, x += kBlock52, w += kOutputs) {
          for (uint32_t i = 0; i < kBlock52; ++i) sum[i] += x[i] * *w;
        }
      }
      uint64_t* out = static_cast<uint64_t*>(call.out[o]) + at;
      for (uint32_t i = 0; i < kBlock52; ++i) out[i] = sum[i] & kMask52;
    }
  }
}

inline void pack32_body(const uint32_t* const* polynomials, uint32_t channels, uint32_t degree, std::byte* pixel) {
  const uint32_t pairs = pairs_of(channels);
  for (uint32_t c = 0; c < pairs; ++c) {
    const uint32_t* a = polynomials[2 * c];
    const uint32_t* b = 2 * c + 1 < channels ? polynomials[2 * c + 1] : nullptr;
    for (uint32_t at = 0; at < degree; at += kBlock32) {
      uint32_t* out = reinterpret_cast<uint32_t*>(pixel) + (size_t{at / kBlock32} * pairs + c) * 2 * kBlock32;
      for (uint32_t i = 0; i < kBlock32; ++i) {
        const uint32_t x = a[at + i], y = b != nullptr ? b[at + i] : 0;
        out[i] = (x & 0xffff) | y << 16;
        out[kBlock32 + i] = (x + 0x8000) >> 16 | ((y + 0x8000) & 0xffff0000);
      }
    }
  }
}

inline void pack52_body(const uint64_t* const* polynomials, uint32_t channels, uint32_t degree, std::byte* pixel) {
  for (uint32_t c = 0; c < channels; ++c) {
    for (uint32_t at = 0; at < degree; at += kBlock52) {
      uint64_t* out = reinterpret_cast<uint64_t*>(pixel) + size_t{at} * channels + c * kBlock52;
      for (uint32_t i = 0; i < kBlock52; ++i) out[i] = polynomials[c][at + i];
    }
  }
}

template <class T>
void depthwise_body(const DepthwiseCall& call, T mask) {
  constexpr uint32_t kStrip = 64;
  for (uint32_t c = 0; c < call.channels; ++c) {
    const size_t begin = size_t{c} * call.degree;
    for (uint32_t at = 0; at < call.degree; at += kStrip) {
      T sum[kStrip];
      for (T& s : sum) s = call.constants != nullptr ? static_cast<T>(call.constants[c]) : 0;
      for (uint32_t t = 0; t < call.tap_count; ++t) {
        const T* x = static_cast<const T*>(call.pixels[t]) + begin + at;
        const T w = static_cast<T>(static_cast<int64_t>(call.weights[size_t{c} * call.tap_pitch + call.tap_index[t]]));
        for (uint32_t i = 0; i < kStrip; ++i) sum[i] += x[i] * w;
      }
      T* out = static_cast<T*>(call.out) + begin + at;
      for (uint32_t i = 0; i < kStrip; ++i) out[i] = sum[i] & mask;
    }
  }
}

void product32(const ProductCall& call) { product32_body<Lanes>(call); }
void product52(const ProductCall& call) { product52_body(call); }
void pack32(const uint32_t* const* polynomials, uint32_t channels, uint32_t degree, std::byte* pixel) {
  pack32_body(polynomials, channels, degree, pixel);
}
void pack52(const uint64_t* const* polynomials, uint32_t channels, uint32_t degree, std::byte* pixel) {
  pack52_body(polynomials, channels, degree, pixel);
}
void depthwise32(const DepthwiseCall& call) { depthwise_body<uint32_t>(call, ~uint32_t{0}); }
void depthwise52(const DepthwiseCall& call) { depthwise_body<uint64_t>(call, kMask52); }
