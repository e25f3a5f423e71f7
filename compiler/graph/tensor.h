#pragma once
// A constant tensor on the compiler's side: dtype, shape, row-major little-endian bytes.
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "base/shape.h"

namespace carrel {

enum class DType : uint8_t { kF32, kI64, kI32, kBool, kU8, kI8, kF64 };
size_t dtype_size(DType type);       // bytes of one element
const char* dtype_name(DType type);  // "float32", ...

struct Tensor {
  DType type = DType::kF32;
  Shape shape;
  std::vector<std::byte> data;  // shape.count() * dtype_size(type) bytes

  static Tensor zeros(DType type, const Shape& shape);
  static Tensor from_f32(const Shape& shape, std::span<const float> values);
  static Tensor from_i64(const Shape& shape, std::span<const int64_t> values);
  int64_t count() const { return shape.count(); }
  std::span<const float> f32() const;  // CARREL_CHECKs the dtype
  std::span<float> f32();
  std::span<const int64_t> i64() const;
  std::span<int64_t> i64();
  // Any integer dtype widened.
  std::vector<int64_t> to_i64() const;
};
using TensorPtr = std::shared_ptr<const Tensor>;

}  // namespace carrel
