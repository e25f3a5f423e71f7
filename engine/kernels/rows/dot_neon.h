#pragma once
// What Arm's dot products of signed and of mixed bytes have in common: sixteen sums in four registers.
// Include after the macro CARREL_ROWS_ISA is set; see dot_avx512vnni.h for the meaning of each function.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace carrel::CARREL_ROWS_ISA {

struct Sums {
  int32x4_t part[4];
};
struct Weights {  // part[q]: four signed bytes for each of channels 4 q to 4 q + 3
  int8x16_t part[4];
};

inline Sums load_sums(const int32_t* p) {
  return {{vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)}};
}
inline void store_sums(int32_t* p, const Sums& s) {
  for (int q = 0; q < 4; ++q) vst1q_s32(p + q * 4, s.part[q]);
}
inline Sums operator+(const Sums& a, const Sums& b) {
  return {{vaddq_s32(a.part[0], b.part[0]), vaddq_s32(a.part[1], b.part[1]),
           vaddq_s32(a.part[2], b.part[2]), vaddq_s32(a.part[3], b.part[3])}};
}
inline Sums no_sums() { return {{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}}; }
inline Weights load_weights(const std::byte* p) {
  const int8_t* bytes = reinterpret_cast<const int8_t*>(p);
  return {{vld1q_s8(bytes), vld1q_s8(bytes + 16), vld1q_s8(bytes + 32), vld1q_s8(bytes + 48)}};
}
// In the lower half, where a dot product finds it by number: loading it takes no vector unit.
inline uint8x8_t load_quad(const uint8_t* p) {
  uint32_t quad;
  __builtin_memcpy(&quad, p, sizeof(quad));
  return vreinterpret_u8_u64(vcreate_u64(quad));
}

// [channel][4] of kCount pixels; zero instead of those that are missing.
template <int kCount>
inline uint8x16x4_t gather(const uint8_t* p, size_t step) {
  const auto load = [&](int i) {
    return i < kCount ? vld1q_u8(p + static_cast<size_t>(i) * step) : vdupq_n_u8(0);
  };
  const uint8x16_t p0 = load(0), p1 = load(1), p2 = load(2), p3 = load(3);
  const uint16x8_t low01 = vreinterpretq_u16_u8(vzip1q_u8(p0, p1));
  const uint16x8_t low23 = vreinterpretq_u16_u8(vzip1q_u8(p2, p3));
  const uint16x8_t high01 = vreinterpretq_u16_u8(vzip2q_u8(p0, p1));
  const uint16x8_t high23 = vreinterpretq_u16_u8(vzip2q_u8(p2, p3));
  return {{vreinterpretq_u8_u16(vzip1q_u16(low01, low23)), vreinterpretq_u8_u16(vzip2q_u16(low01, low23)),
           vreinterpretq_u8_u16(vzip1q_u16(high01, high23)), vreinterpretq_u8_u16(vzip2q_u16(high01, high23))}};
}

struct Requantize {
  const float* multipliers;
  int32_t zero;
  uint8_t low, high;
};
// Every step saturates, so no sum leaves its range.
inline int16x4_t requantized(int32x4_t sums, const float* multipliers) {
  return vqmovn_s32(vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), vld1q_f32(multipliers))));
}
template <int kCount>
inline void store_bytes(uint8_t* to, const Sums* sums, const Requantize& r) {
  const int16x8_t zero = vdupq_n_s16(static_cast<int16_t>(r.zero));
  for (int i = 0; i < kCount; ++i) {
    int16x4_t quarter[4];
    for (int q = 0; q < 4; ++q) quarter[q] = requantized(sums[i].part[q], r.multipliers + q * 4);
    const int16x8_t first = vqaddq_s16(vcombine_s16(quarter[0], quarter[1]), zero);
    const int16x8_t second = vqaddq_s16(vcombine_s16(quarter[2], quarter[3]), zero);
    const uint8x16_t bytes = vcombine_u8(vqmovun_s16(first), vqmovun_s16(second));
    vst1q_u8(to + i * 16, vminq_u8(vmaxq_u8(bytes, vdupq_n_u8(r.low)), vdupq_n_u8(r.high)));
  }
}

inline void keep(Sums& s) {
  asm volatile("" : "+w"(s.part[0]), "+w"(s.part[1]), "+w"(s.part[2]), "+w"(s.part[3]));
}

}  // namespace carrel::CARREL_ROWS_ISA
