// Fully-connected layers on AVX-512: a whole panel at a time.
#if defined(__x86_64__)
#include "engine/kernels/rows/vec_avx512.h"

namespace carrel::rows_avx512 {
inline constexpr int kDenseBlocks = 2;
}

#include "engine/kernels/rows/dense_body.h"

namespace carrel::rows_avx512 {
namespace {

struct RowF32 {
  static constexpr size_t kBytes = 64;
  static Vec load(const std::byte* p) { return {_mm512_loadu_ps(p)}; }
};
struct RowF16 {
  static constexpr size_t kBytes = 32;
  static Vec load(const std::byte* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
};
struct RowI8 {
  static constexpr size_t kBytes = 16;
  static Vec load(const std::byte* p) {
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes))};
  }
};

struct KernelI4 {
  static constexpr StoredType kStored = StoredType::kI4;
  static constexpr int kBlocks = kDenseBlocks;

  static __m512 table() {
    return _mm512_setr_ps(i4_value(0), i4_value(1), i4_value(2), i4_value(3), i4_value(4),
                          i4_value(5), i4_value(6), i4_value(7), i4_value(8), i4_value(9),
                          i4_value(10), i4_value(11), i4_value(12), i4_value(13), i4_value(14),
                          i4_value(15));
  }

  // A permutation looks at the lowest nibble of each word. A load one byte further on brings the next
  // pair of nibbles there without a shift; it reaches at most 3 bytes into the steps that follow.
  template <int kCount>
  static void sum(const DensePanel& panel, uint32_t first, Vec (&sum)[kCount]) {
    constexpr size_t kBlockBytes = kDenseTapRows / 2 * kLanes;
    const __m512 values = table();
    const std::byte* tap = panel.weights;
    const size_t steps = size_t{panel.width} * (kDenseTapRows / 2);
    const float* x = panel.x;
    for (int b = 0; b < kCount; ++b) sum[b] = splat(0.0f);
    for (uint32_t t = 0; t < panel.taps; ++t, x += kDenseTapRows) {
      const std::byte* codes = tap + first / kLanes * kBlockBytes;
      __m512 even[kCount], odd[kCount];
      CARREL_UNROLL
      for (int b = 0; b < kCount; ++b) even[b] = odd[b] = _mm512_setzero_ps();
      CARREL_UNROLL
      for (int i = 0; i < 16; ++i) {
        const __m512 x0 = _mm512_set1_ps(x[2 * i]), x1 = _mm512_set1_ps(x[2 * i + 1]);
        CARREL_UNROLL
        for (int b = 0; b < kCount; ++b) {
          const __m512i word = _mm512_loadu_si512(codes + b * kBlockBytes + i / 4 * 64 + i % 4);
          even[b] = _mm512_fmadd_ps(x0, _mm512_permutexvar_ps(word, values), even[b]);
          odd[b] = _mm512_fmadd_ps(x1, _mm512_permutexvar_ps(_mm512_srli_epi32(word, 4), values),
                                   odd[b]);
        }
      }
      CARREL_UNROLL
      for (int b = 0; b < kCount; ++b) {
        const std::byte* step = tap + steps + (first + static_cast<uint32_t>(b) * kLanes) * 2;
        sum[b] = multiply_add(RowF16::load(step), {_mm512_add_ps(even[b], odd[b])}, sum[b]);
      }
      tap += dense_tap_bytes(StoredType::kI4, panel.width);
    }
  }
};

}  // namespace

void dense_f32(const DenseCall& call) { dense_panels<RowsKernel<StoredType::kF32, RowF32>>(call); }
void dense_f16(const DenseCall& call) { dense_panels<RowsKernel<StoredType::kF16, RowF16>>(call); }
void dense_i8(const DenseCall& call) { dense_panels<RowsKernel<StoredType::kI8, RowI8>>(call); }
void dense_i4(const DenseCall& call) { dense_panels<KernelI4>(call); }

}  // namespace carrel::rows_avx512
#endif
