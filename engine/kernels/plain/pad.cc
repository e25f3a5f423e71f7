// Pad: constant, reflect or edge; negative pads crop.
#include <cstring>

#include "engine/kernels/plain/internal.h"

namespace carrel::plain {
namespace {

enum PadMode : int64_t { kConstant = 0, kReflect = 1, kEdge = 2 };

// The input position that padded position p (0 = first input element) repeats; -1: the constant.
int64_t source(int64_t p, int64_t dim, int64_t mode) {
  if (p >= 0 && p < dim) return p;
  if (mode == kConstant) return -1;
  if (mode == kEdge) return p < 0 ? 0 : dim - 1;
  if (dim == 1) return 0;
  const int64_t period = 2 * (dim - 1);
  const int64_t q = (p % period + period) % period;
  return q < dim ? q : period - q;
}

struct Pad {
  const PlainTensor* x;
  const PlainTensor* y;
  int64_t mode;
  const int64_t* begin;
};

// The input offset of the row at outer index `index`, or -1 if it lies in constant padding.
int64_t row_offset(const Pad& p, const int64_t* index) {
  int64_t offset = 0;
  for (int i = 0; i < p.x->rank - 1; ++i) {
    const int64_t s = source(index[i] - p.begin[i], p.x->dims[i], p.mode);
    if (s < 0) return -1;
    offset = offset * p.x->dims[i] + s;
  }
  return offset * p.x->dims[p.x->rank - 1];
}

template <typename T>
void pad(const Pad& p, T value) {
  const int last = p.y->rank - 1;
  const int64_t n = p.y->dims[last], dim = p.x->dims[last], begin = p.begin[last];
  const T* x = static_cast<const T*>(p.x->data);
  T* y = static_cast<T*>(p.y->data);
  const int64_t first =
      std::clamp<int64_t>(begin, 0, n);  // positions [first, end) are a plain copy
  const int64_t end = std::clamp<int64_t>(begin + dim, first, n);
  int64_t index[kMaxRank] = {};
  for (int64_t row = 0, rows = product(*p.y, 0, last); row < rows; ++row, y += n) {
    const int64_t offset = row_offset(p, index);
    for (int d = last - 1; d >= 0 && ++index[d] == p.y->dims[d]; --d) index[d] = 0;
    if (offset < 0) {
      std::fill(y, y + n, value);
      continue;
    }
    for (int64_t i = 0; i < n; ++i) {
      if (i == first && end > first) {
        std::memcpy(y + first, x + offset + first - begin,
                    static_cast<size_t>(end - first) * sizeof(T));
        i = end;
        if (i == n) break;
      }
      const int64_t s = source(i - begin, dim, p.mode);
      y[i] = s < 0 ? value : x[offset + s];
    }
  }
}

}  // namespace

Status run_pad(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 1, 1 + 2 * kMaxRank, 0, 1, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(
      same_types(call) && x.rank == y.rank && call.ints.size() == size_t{1} + size_t{2} * x.rank,
      "types, ranks or number of pads differ");
  const int64_t mode = call.ints[0];
  PLAIN_REQUIRE(mode >= kConstant && mode <= kEdge, "mode");
  const int64_t* begin = call.ints.data() + 1;
  for (int i = 0; i < x.rank; ++i) {
    const int64_t before = begin[i], after = begin[x.rank + i];
    PLAIN_REQUIRE(before >= -kMaxElements && before <= kMaxElements && after >= -kMaxElements &&
                      after <= kMaxElements && x.dims[i] + before + after == y.dims[i],
                  "pads do not match the output");
    PLAIN_REQUIRE(mode == kConstant || x.dims[i] > 0 || y.dims[i] == 0, "nothing to repeat");
  }
  if (count(y) == 0) return ok_status();
  const float value = call.floats.empty() ? 0.0f : call.floats[0];
  if (x.rank == 0) {
    std::memcpy(y.data, x.data, element_bytes(x));
  } else if (x.type == PlainType::kF32) {
    pad<float>({&x, &y, mode, begin}, value);
  } else {
    PLAIN_REQUIRE(value >= -9.0e18f && value <= 9.0e18f, "value");
    pad<int64_t>({&x, &y, mode, begin}, static_cast<int64_t>(value));
  }
  return ok_status();
}

}  // namespace carrel::plain
