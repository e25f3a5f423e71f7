#include "compiler/graph/tensor.h"

#include "base/result.h"

namespace carrel {
namespace {

template <typename T>
Tensor from_values(DType type, const Shape& shape, std::span<const T> values) {
  CARREL_CHECK(shape.count() == static_cast<int64_t>(values.size()));
  Tensor tensor;
  tensor.type = type;
  tensor.shape = shape;
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  tensor.data.assign(bytes, bytes + values.size_bytes());
  return tensor;
}

template <typename T>
std::vector<int64_t> widen(const Tensor& tensor) {
  std::vector<int64_t> wide(tensor.data.size() / sizeof(T));
  for (size_t i = 0; i < wide.size(); ++i) {
    T value;
    std::memcpy(&value, tensor.data.data() + i * sizeof(T), sizeof(T));
    wide[i] = static_cast<int64_t>(value);
  }
  return wide;
}

}  // namespace

size_t dtype_size(DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kI64:
    case DType::kF64:
      return 8;
    case DType::kBool:
    case DType::kU8:
    case DType::kI8:
      return 1;
  }
  return 0;
}

const char* dtype_name(DType type) {
  switch (type) {
    case DType::kF32:
      return "float32";
    case DType::kI64:
      return "int64";
    case DType::kI32:
      return "int32";
    case DType::kBool:
      return "bool";
    case DType::kU8:
      return "uint8";
    case DType::kI8:
      return "int8";
    case DType::kF64:
      return "float64";
  }
  return "?";
}

Tensor Tensor::zeros(DType type, const Shape& shape) {
  Tensor tensor;
  tensor.type = type;
  tensor.shape = shape;
  tensor.data.resize(static_cast<size_t>(shape.count()) * dtype_size(type));
  return tensor;
}

Tensor Tensor::from_f32(const Shape& shape, std::span<const float> values) {
  return from_values(DType::kF32, shape, values);
}

Tensor Tensor::from_i64(const Shape& shape, std::span<const int64_t> values) {
  return from_values(DType::kI64, shape, values);
}

std::span<const float> Tensor::f32() const {
  CARREL_CHECK(type == DType::kF32);
  return {reinterpret_cast<const float*>(data.data()), data.size() / sizeof(float)};
}

std::span<float> Tensor::f32() {
  CARREL_CHECK(type == DType::kF32);
  return {reinterpret_cast<float*>(data.data()), data.size() / sizeof(float)};
}

std::span<const int64_t> Tensor::i64() const {
  CARREL_CHECK(type == DType::kI64);
  return {reinterpret_cast<const int64_t*>(data.data()), data.size() / sizeof(int64_t)};
}

std::span<int64_t> Tensor::i64() {
  CARREL_CHECK(type == DType::kI64);
  return {reinterpret_cast<int64_t*>(data.data()), data.size() / sizeof(int64_t)};
}

std::vector<int64_t> Tensor::to_i64() const {
  switch (type) {
    case DType::kI64:
      return widen<int64_t>(*this);
    case DType::kI32:
      return widen<int32_t>(*this);
    case DType::kI8:
      return widen<int8_t>(*this);
    case DType::kBool:
    case DType::kU8:
      return widen<uint8_t>(*this);
    case DType::kF32:
    case DType::kF64:
      break;
  }
  CARREL_CHECK(false && "to_i64 of a float tensor");
  return {};
}

}  // namespace carrel
