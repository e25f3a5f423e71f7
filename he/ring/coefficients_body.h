// Included by one translation unit for each instruction set, inside its namespace: compilers turn these loops into vectors.

void lift32(const uint32_t* x, uint64_t* out, uint32_t count, uint64_t p) {
  for (uint32_t i = 0; i < count; ++i) {
    const int64_t value = static_cast<int32_t>(x[i]);
    out[i] = static_cast<uint64_t>(value) + (value < 0 ? p : 0);
  }
}

void lift52(const uint64_t* x, uint64_t* low, uint64_t* high, uint32_t count, uint64_t p) {
  constexpr uint64_t kHalf = uint64_t{1} << (kLowBits - 1), kLow = (uint64_t{1} << kLowBits) - 1;
  for (uint32_t i = 0; i < count; ++i) {
    const int64_t value = static_cast<int64_t>(x[i] << 12) >> 12;
    const int64_t bottom = static_cast<int64_t>((x[i] + kHalf) & kLow) - static_cast<int64_t>(kHalf);
    const int64_t top = (value - bottom) >> kLowBits;
    low[i] = static_cast<uint64_t>(bottom) + (bottom < 0 ? p : 0);
    high[i] = static_cast<uint64_t>(top) + (top < 0 ? p : 0);
  }
}

void add32(uint32_t* x, const uint64_t* r, int sign, uint32_t count, uint64_t p) {
  const uint32_t factor = static_cast<uint32_t>(sign);
  for (uint32_t i = 0; i < count; ++i) x[i] += factor * static_cast<uint32_t>(r[i] - (r[i] > p / 2 ? p : 0));
}

void add52(uint64_t* x, const uint64_t* low, const uint64_t* high, int sign, uint32_t count, uint64_t p) {
  const uint64_t factor = static_cast<uint64_t>(int64_t{sign});
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t bottom = low[i] - (low[i] > p / 2 ? p : 0), top = high[i] - (high[i] > p / 2 ? p : 0);
    x[i] = (x[i] + factor * (bottom + (top << kLowBits))) & kMask52;
  }
}

void add_noise32(uint32_t* x, const uint32_t* words, uint32_t count) {
  const uint32_t* other = words + count;
  for (uint32_t i = 0; i < count; ++i) x[i] += count_coins(words[i]) - count_coins(other[i]);
}

void add_noise52(uint64_t* x, const uint32_t* words, uint32_t count) {
  const uint32_t* other = words + count;
  for (uint32_t i = 0; i < count; ++i) x[i] = (x[i] + count_coins(words[i]) - count_coins(other[i])) & kMask52;
}

void decode32(const uint32_t* x, float scale, float* out, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) out[i] = static_cast<float>(static_cast<int32_t>(x[i])) * scale;
}

void decode52(const uint64_t* x, float scale, float* out, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) out[i] = static_cast<float>(static_cast<int64_t>(x[i] << 12) >> 12) * scale;
}

// Comparisons with NaN are false, so it passes none of them.
inline float bounded(float x, float most) {
  const float low = x >= -most ? x : -most, both = low <= most ? low : most;
  return x == x ? both : 0.0f;
}

void encode32(const float* x, float scale, float most, uint32_t* out, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const float value = bounded(x[i] * scale, most);
    out[i] = static_cast<uint32_t>(static_cast<int32_t>(value + (value < 0 ? -0.5f : 0.5f)));
  }
}

void encode52(const float* x, float scale, float most, uint64_t* out, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const float value = bounded(x[i] * scale, most);
    out[i] = static_cast<uint64_t>(static_cast<int64_t>(value + (value < 0 ? -0.5f : 0.5f))) & kMask52;
  }
}
