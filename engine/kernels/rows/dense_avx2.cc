// Fully-connected layers on AVX2: 16 channels at a time, so that four sums of each stay in registers.
#if defined(__x86_64__)
#include "engine/kernels/rows/vec_avx2.h"

namespace carrel::rows_avx2 {
inline constexpr int kDenseBlocks = 1;
}

#include "engine/kernels/rows/dense_body.h"

namespace carrel::rows_avx2 {
namespace {

struct RowF32 {
  static constexpr size_t kBytes = 64;
  static Vec load(const std::byte* p) {
    return rows_avx2::load(reinterpret_cast<const float*>(p));
  }
};
struct RowF16 {
  static constexpr size_t kBytes = 32;
  static Vec load(const std::byte* p) {
    const __m128i* halves = reinterpret_cast<const __m128i*>(p);
    return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
  }
};
struct RowI8 {
  static constexpr size_t kBytes = 16;
  static __m256 eight(const std::byte* p) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes));
  }
  static Vec load(const std::byte* p) { return {eight(p), eight(p + 8)}; }
};

struct KernelI4 {
  static constexpr StoredType kStored = StoredType::kI4;
  static constexpr int kBlocks = kDenseBlocks;

  struct Table {
    __m256 low = _mm256_setr_ps(i4_value(0), i4_value(1), i4_value(2), i4_value(3), i4_value(4),
                                i4_value(5), i4_value(6), i4_value(7));
    __m256 high = _mm256_setr_ps(i4_value(8), i4_value(9), i4_value(10), i4_value(11),
                                 i4_value(12), i4_value(13), i4_value(14), i4_value(15));
    // The number of each word's lowest nibble: a permutation looks at 3 bits, a blend at the fourth.
    __m256 at(__m256i word) const {
      const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(word, 28));
      return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, word),
                              _mm256_permutevar8x32_ps(high, word), upper);
    }
  };

  template <int kCount>
  static void sum(const DensePanel& panel, uint32_t first, Vec (&sum)[kCount]) {
    static_assert(kCount == 1);
    const Table table;
    const std::byte* tap = panel.weights;
    const size_t steps = size_t{panel.width} * (kDenseTapRows / 2);
    const float* x = panel.x;
    sum[0] = splat(0.0f);
    for (uint32_t t = 0; t < panel.taps; ++t, x += kDenseTapRows) {
      const std::byte* codes = tap + size_t{first} * (kDenseTapRows / 2);
      __m256 part[2][2];  // even and odd rows, lanes 0-7 and 8-15
      for (auto& pair : part) pair[0] = pair[1] = _mm256_setzero_ps();
      for (int i = 0; i < 8; ++i) {
        const int half = i % 2;
        __m256i word = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + 32 * i));
        CARREL_UNROLL
        for (int j = 0; j < 8; ++j) {
          const __m256 input = _mm256_set1_ps(x[i / 2 * 8 + j]);
          part[j % 2][half] = _mm256_fmadd_ps(input, table.at(word), part[j % 2][half]);
          word = _mm256_srli_epi32(word, 4);
        }
      }
      const Vec total = {_mm256_add_ps(part[0][0], part[1][0]),
                         _mm256_add_ps(part[0][1], part[1][1])};
      sum[0] = multiply_add(RowF16::load(tap + steps + size_t{first} * 2), total, sum[0]);
      tap += dense_tap_bytes(StoredType::kI4, panel.width);
    }
  }
};

}  // namespace

void dense_f32(const DenseCall& call) { dense_panels<RowsKernel<StoredType::kF32, RowF32>>(call); }
void dense_f16(const DenseCall& call) { dense_panels<RowsKernel<StoredType::kF16, RowF16>>(call); }
void dense_i8(const DenseCall& call) { dense_panels<RowsKernel<StoredType::kI8, RowI8>>(call); }
void dense_i4(const DenseCall& call) { dense_panels<KernelI4>(call); }

}  // namespace carrel::rows_avx2
#endif
