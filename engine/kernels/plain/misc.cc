// Gather, Cast, Range, Fill, Shape: what shape arithmetic needs beside elementwise operators.
#include <cstring>

#include "engine/kernels/plain/internal.h"

namespace carrel::plain {
namespace {

// The output is X with dimension `axis` replaced by any dims that hold `indices` elements.
bool gather_dims_match(const PlainTensor& x, const PlainTensor& y, int axis, int64_t indices) {
  const int own = y.rank - (x.rank - 1);
  if (own < 0 || product(y, axis, axis + own) != indices) return false;
  return std::equal(x.dims, x.dims + axis, y.dims) &&
         std::equal(x.dims + axis + 1, x.dims + x.rank, y.dims + axis + own);
}

int64_t to_i64(float x) {
  constexpr float kLimit = 9223372036854775808.0f;  // 2^63
  if (x != x) return 0;
  if (x >= kLimit) return INT64_MAX;
  return x < -kLimit ? INT64_MIN : static_cast<int64_t>(x);
}

}  // namespace

Status run_gather(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 2, 1, kMaxPlainInts, 0, 0, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  const PlainTensor* tensor = optional_input(call, 1);
  PLAIN_REQUIRE(x.type == y.type && (tensor == nullptr || tensor->type == PlainType::kI64),
                "types");
  PLAIN_REQUIRE(tensor == nullptr || call.ints.size() == 1, "indices given twice");
  PLAIN_REQUIRE(call.ints[0] >= 0 && call.ints[0] < x.rank, "axis");
  const int axis = static_cast<int>(call.ints[0]);
  const int64_t* indices = tensor != nullptr ? i64(*tensor) : call.ints.data() + 1;
  const int64_t n = tensor != nullptr ? count(*tensor) : static_cast<int64_t>(call.ints.size()) - 1;
  PLAIN_REQUIRE(gather_dims_match(x, y, axis, n), "output dims");
  const int64_t dim = x.dims[axis];
  for (int64_t i = 0; i < n; ++i)
    PLAIN_REQUIRE(indices[i] >= 0 && indices[i] < dim, "an index is out of range");
  const size_t bytes = static_cast<size_t>(product(x, axis + 1, x.rank)) * element_bytes(x);
  if (count(y) == 0) return ok_status();
  const std::byte* from = static_cast<const std::byte*>(x.data);
  std::byte* to = static_cast<std::byte*>(y.data);
  for (int64_t outer = product(x, 0, axis); outer > 0; --outer) {
    for (int64_t i = 0; i < n; ++i, to += bytes) {
      std::memcpy(to, from + static_cast<size_t>(indices[i]) * bytes, bytes);
    }
    from += static_cast<size_t>(dim) * bytes;
  }
  return ok_status();
}

Status run_cast(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 1, 1, 0, 0, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(same_dims(x, y), "input and output differ");
  const bool from_f32 = x.type == PlainType::kF32, to_f32 = y.type == PlainType::kF32;
  const bool to_bool = call.ints[0] != 0;
  for (int64_t i = 0, n = count(x); i < n; ++i) {
    if (to_bool) {
      const bool set = from_f32 ? f32(x)[i] != 0.0f : i64(x)[i] != 0;
      if (to_f32)
        f32(y)[i] = set ? 1.0f : 0.0f;
      else
        i64(y)[i] = set;
    } else if (from_f32) {
      if (to_f32)
        f32(y)[i] = f32(x)[i];
      else
        i64(y)[i] = to_i64(f32(x)[i]);
    } else {
      if (to_f32)
        f32(y)[i] = static_cast<float>(i64(x)[i]);
      else
        i64(y)[i] = i64(x)[i];
    }
  }
  return ok_status();
}

Status run_range(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {3, 3, 0, 0, 0, 0, true}));
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(same_types(call) && y.rank == 1, "types or output rank");
  for (const PlainTensor& t : call.inputs) PLAIN_REQUIRE(count(t) == 1, "needs scalars");
  for (int64_t i = 0; i < y.dims[0]; ++i) {
    if (y.type == PlainType::kF32) {
      f32(y)[i] = *f32(call.inputs[0]) + static_cast<float>(i) * *f32(call.inputs[2]);
    } else {
      i64(y)[i] = static_cast<int64_t>(static_cast<uint64_t>(*i64(call.inputs[0])) +
                                       static_cast<uint64_t>(i) *
                                           static_cast<uint64_t>(*i64(call.inputs[2])));
    }
  }
  return ok_status();
}

Status run_fill(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {0, 0, 0, 1, 0, 1, true}));
  const PlainTensor& y = call.outputs[0];
  if (y.type == PlainType::kF32) {
    std::fill(f32(y), f32(y) + count(y), call.floats.empty() ? 0.0f : call.floats[0]);
  } else {
    std::fill(i64(y), i64(y) + count(y), call.ints.empty() ? 0 : call.ints[0]);
  }
  return ok_status();
}

Status run_shape(const PlainCall& call) {
  PLAIN_REQUIRE(call.inputs.size() == 1 && call.ints.empty() && call.floats.empty(),
                "wrong number of arguments");
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(y.type == PlainType::kI64 && is_vector(y, x.rank),
                "output is not the list of dims");
  std::copy(x.dims, x.dims + x.rank, i64(y));
  return ok_status();
}

}  // namespace carrel::plain
