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

}  // namespace carrel::plain
