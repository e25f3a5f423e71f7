#pragma once
// For the tests of this room: tensors with memory, random ones, and naive indexing in double.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "engine/kernels/plain/plain.h"

namespace carrel::plain_test {

using Dims = std::vector<int64_t>;

inline int64_t count(const Dims& dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  return n;
}

template <typename T>
struct TensorOf {
  Dims dims;
  std::vector<T> data;
  explicit TensorOf(Dims d) : dims(std::move(d)), data(static_cast<size_t>(count(dims))) {}
  TensorOf(Dims d, std::vector<T> values) : dims(std::move(d)), data(std::move(values)) {}
  // Missing leading indices broadcast, so do dims of 1; rank may be smaller than the index.
  T at(const Dims& index) const {
    int64_t offset = 0;
    const size_t skip = index.size() - dims.size();
    for (size_t i = 0; i < dims.size(); ++i)
      offset = offset * dims[i] + (dims[i] == 1 ? 0 : index[skip + i]);
    return data[static_cast<size_t>(offset)];
  }
  PlainTensor view() const {
    PlainTensor t;
    t.type = std::is_same_v<T, float> ? PlainType::kF32 : PlainType::kI64;
    t.rank = static_cast<uint8_t>(dims.size());
    std::copy(dims.begin(), dims.end(), t.dims);
    t.data = const_cast<T*>(data.data());
    return t;
  }
};
using F = TensorOf<float>;
using I = TensorOf<int64_t>;

// One seed for all; printed with every failure.
inline std::mt19937& random_engine() {
  static std::mt19937 engine(20240607);
  return engine;
}
inline int64_t random_int(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random_engine());
}
inline F random_f32(Dims dims, float low = -1, float high = 1) {
  F t(std::move(dims));
  std::uniform_real_distribution<float> value(low, high);
  for (float& v : t.data) v = value(random_engine());
  return t;
}
inline I random_i64(Dims dims, int64_t low = -9, int64_t high = 9) {
  I t(std::move(dims));
  for (int64_t& v : t.data) v = random_int(low, high);
  return t;
}

inline void for_each_index(const Dims& dims, const std::function<void(const Dims&)>& f) {
  if (count(dims) == 0) return;
  Dims index(dims.size(), 0);
  for (;;) {
    f(index);
    size_t d = dims.size();
    while (d > 0 && ++index[d - 1] == dims[d - 1]) index[--d] = 0;
    if (d == 0) return;
  }
}

struct Call {
  PlainOp op;
  std::vector<PlainTensor> inputs;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  Unary activation;
};

inline Status run(const Call& c, const std::vector<PlainTensor>& outputs) {
  PlainCall call = {c.op, c.inputs, outputs, c.ints, c.floats, c.activation};
  return run_plain(call);
}

// Runs and compares every element with reference(index); |error| <= tolerance (1 + |reference|).
inline void expect_f32(const Call& c, const Dims& dims, double tolerance,
                       const std::function<double(const Dims&)>& reference) {
  SCOPED_TRACE(::testing::Message()
               << plain_op_name(c.op) << ", seed 20240607, output "
               << ::testing::PrintToString(dims) << ", ints " << ::testing::PrintToString(c.ints));
  F y(dims);
  for (float& v : y.data) v = 12345.0f;  // every element must be written
  const Status status = run(c, {y.view()});
  ASSERT_TRUE(status.ok()) << status.error().message();
  size_t i = 0;
  for_each_index(dims, [&](const Dims& index) {
    const double want = reference(index), got = y.data[i++];
    if (::testing::Test::HasFailure()) return;
    if (std::isfinite(want)) {
      EXPECT_LE(std::abs(got - want), tolerance * (1 + std::abs(want)))
          << "at " << ::testing::PrintToString(index);
    } else {
      EXPECT_TRUE(got == want || (std::isnan(got) && std::isnan(want)))
          << "at " << ::testing::PrintToString(index);
    }
  });
}

inline void expect_i64(const Call& c, const Dims& dims,
                       const std::function<int64_t(const Dims&)>& reference) {
  SCOPED_TRACE(::testing::Message() << plain_op_name(c.op) << ", seed 20240607, output "
                                    << ::testing::PrintToString(dims));
  I y(dims);
  const Status status = run(c, {y.view()});
  ASSERT_TRUE(status.ok()) << status.error().message();
  size_t i = 0;
  for_each_index(dims, [&](const Dims& index) {
    EXPECT_EQ(y.data[i++], reference(index)) << "at " << ::testing::PrintToString(index);
  });
}

}  // namespace carrel::plain_test
