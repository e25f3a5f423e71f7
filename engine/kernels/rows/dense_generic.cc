// Fully-connected layers on any machine.
#include "engine/kernels/rows/vec_generic.h"

namespace carrel::rows_generic {
inline constexpr int kDenseBlocks = 1;
}

#include "engine/kernels/rows/dense_body.h"

namespace carrel::rows_generic {
namespace {

typedef int32_t Int4 __attribute__((vector_size(16)));

struct RowF32 {
  static constexpr size_t kBytes = 64;
  static Vec load(const std::byte* p) {
    return rows_generic::load(reinterpret_cast<const float*>(p));
  }
};
struct RowF16 {
  static constexpr size_t kBytes = 32;
  static Vec load(const std::byte* p) {
    float row[kLanes];
    expand_eight(p, row);
    expand_eight(p + 16, row + 8);
    return rows_generic::load(row);
  }
};
struct RowI8 {
  static constexpr size_t kBytes = 16;
  static Vec load(const std::byte* p) {
    int8_t codes[kLanes];
    __builtin_memcpy(codes, p, sizeof(codes));
    float row[kLanes];
    for (uint32_t i = 0; i < kLanes; ++i) row[i] = static_cast<float>(codes[i]);
    return rows_generic::load(row);
  }
};

struct KernelI4 {
  static constexpr StoredType kStored = StoredType::kI4;
  static constexpr int kBlocks = kDenseBlocks;

  // i4_value() of each word's lowest nibble, without a table: its address would show the weight.
  static Float4 values(Int4 word) {
    const Float4 t = __builtin_convertvector((word & 15) - 8, Float4);
    return t * (1.0f + t * t * 0.0078125f);
  }

  template <int kCount>
  static void sum(const DensePanel& panel, uint32_t first, Vec (&sum)[kCount]) {
    static_assert(kCount == 1);
    const std::byte* tap = panel.weights;
    const size_t steps = size_t{panel.width} * (kDenseTapRows / 2);
    const float* x = panel.x;
    sum[0] = splat(0.0f);
    for (uint32_t t = 0; t < panel.taps; ++t, x += kDenseTapRows) {
      const std::byte* codes = tap + size_t{first} * (kDenseTapRows / 2);
      Vec part[2] = {splat(0.0f), splat(0.0f)};  // even and odd rows
      for (int i = 0; i < 16; ++i, codes += sizeof(Int4)) {
        Int4 word;
        __builtin_memcpy(&word, codes, sizeof(word));
        for (int j = 0; j < 8; ++j, word >>= 4) {
          const float input = x[i / 4 * 8 + j];
          part[j % 2].part[i % 4] += Float4{input, input, input, input} * values(word);
        }
      }
      sum[0] = multiply_add(RowF16::load(tap + steps + size_t{first} * 2), part[0] + part[1], sum[0]);
      tap += dense_tap_bytes(StoredType::kI4, panel.width);
    }
  }
};

}  // namespace

void dense_f32(const DenseCall& call) { dense_panels<RowsKernel<StoredType::kF32, RowF32>>(call); }
void dense_f16(const DenseCall& call) { dense_panels<RowsKernel<StoredType::kF16, RowF16>>(call); }
void dense_i8(const DenseCall& call) { dense_panels<RowsKernel<StoredType::kI8, RowI8>>(call); }
void dense_i4(const DenseCall& call) { dense_panels<KernelI4>(call); }

}  // namespace carrel::rows_generic
