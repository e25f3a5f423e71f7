// Reductions over any set of axes.
#include <limits>

#include "base/vector_math.h"
#include "engine/kernels/plain/internal.h"

namespace carrel::plain {
namespace {

struct Sum {
  static constexpr float kF32 = 0;
  static constexpr int64_t kI64 = 0;
  static float apply(float a, float b) { return a + b; }
  static int64_t apply(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
};
struct Product {
  static constexpr float kF32 = 1;
  static constexpr int64_t kI64 = 1;
  static float apply(float a, float b) { return a * b; }
  static int64_t apply(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
};
struct Max {
  static constexpr float kF32 = -std::numeric_limits<float>::infinity();
  static constexpr int64_t kI64 = std::numeric_limits<int64_t>::min();
  static float apply(float a, float b) { return select_f32((b > a) | (b != b), b, a); }
  static int64_t apply(int64_t a, int64_t b) { return std::max(a, b); }
};
struct Min {
  static constexpr float kF32 = std::numeric_limits<float>::infinity();
  static constexpr int64_t kI64 = std::numeric_limits<int64_t>::max();
  static float apply(float a, float b) { return select_f32((b < a) | (b != b), b, a); }
  static int64_t apply(int64_t a, int64_t b) { return std::min(a, b); }
};

template <typename Fn, typename T>
constexpr T identity() {
  if constexpr (std::is_same_v<T, float>)
    return Fn::kF32;
  else
    return Fn::kI64;
}

// A whole row to one number: 16 partial results, so that the loop is vectorised.
template <typename Fn, typename T>
T reduce_row(const T* x, int64_t n) {
  constexpr int64_t kLanes = 16;
  T lanes[kLanes];
  std::fill(lanes, lanes + kLanes, identity<Fn, T>());
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] = Fn::apply(lanes[j], x[i + j]);
  }
  for (int64_t j = 0; i < n; ++i, ++j) lanes[j] = Fn::apply(lanes[j], x[i]);
  T result = identity<Fn, T>();
  for (T lane : lanes) result = Fn::apply(result, lane);
  return result;
}

// Operand 0 is the input, operand 1 the output with stride 0 where an axis is reduced.
template <typename Fn, typename T>
void reduce(const Walk<2>& walk, const PlainCall& call) {
  const T* x = static_cast<const T*>(call.inputs[0].data);
  T* y = static_cast<T*>(call.outputs[0].data);
  std::fill(y, y + count(call.outputs[0]), identity<Fn, T>());
  const int last = walk.rank - 1;
  const int64_t n = walk.dims[last];
  const bool kept = walk.strides[1][last] != 0;
  for_each_row(walk, [&](const int64_t* offsets) {
    const T* in = x + offsets[0];
    T* out = y + offsets[1];
    if (!kept) {
      *out = Fn::apply(*out, reduce_row<Fn>(in, n));
      return;
    }
    for (int64_t i = 0; i < n; ++i) out[i] = Fn::apply(out[i], in[i]);
  });
}

template <typename Fn>
void reduce_any(const Walk<2>& walk, const PlainCall& call) {
  if (call.inputs[0].type == PlainType::kF32)
    reduce<Fn, float>(walk, call);
  else
    reduce<Fn, int64_t>(walk, call);
}

void divide(const PlainTensor& y, int64_t n) {
  for (int64_t i = 0, end = count(y); i < end; ++i) {
    if (y.type == PlainType::kF32)
      f32(y)[i] /= static_cast<float>(n);
    else
      i64(y)[i] = n == 0 ? 0 : i64(y)[i] / n;
  }
}

// Marks the axes and checks the output's dims against them.
Status read_axes(const PlainCall& call, bool (&reduced)[kMaxRank]) {
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  for (size_t i = 1; i < call.ints.size(); ++i) {
    PLAIN_REQUIRE(
        call.ints[i] >= 0 && call.ints[i] < x.rank && (i == 1 || call.ints[i] > call.ints[i - 1]),
        "axes");
    reduced[call.ints[i]] = true;
  }
  int rank = 0;
  for (int i = 0; i < x.rank; ++i) {
    if (reduced[i] && call.ints[0] == 0) continue;
    PLAIN_REQUIRE(rank < y.rank && y.dims[rank] == (reduced[i] ? 1 : x.dims[i]), "output dims");
    ++rank;
  }
  PLAIN_REQUIRE(rank == y.rank, "output rank");
  return ok_status();
}

}  // namespace

Status run_reduce(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 1, 1 + kMaxRank, 0, 0, true}));
  PLAIN_REQUIRE(same_types(call), "types differ");
  const PlainTensor& x = call.inputs[0];
  bool reduced[kMaxRank] = {};
  CARREL_RETURN_IF_ERROR(read_axes(call, reduced));
  int64_t in_stride[kMaxRank], out_stride[kMaxRank];
  int64_t in = 1, out = 1, reduced_count = 1;
  for (int i = x.rank - 1; i >= 0; --i) {
    in_stride[i] = in;
    out_stride[i] = reduced[i] ? 0 : out;
    in *= x.dims[i];
    (reduced[i] ? reduced_count : out) *= x.dims[i];
  }
  Walk<2> walk;
  for (int i = 0; i < x.rank; ++i) walk.push(x.dims[i], {in_stride[i], out_stride[i]});
  walk.coalesce();
  switch (call.op) {
    case PlainOp::kReduceMax:
      reduce_any<Max>(walk, call);
      break;
    case PlainOp::kReduceMin:
      reduce_any<Min>(walk, call);
      break;
    case PlainOp::kReduceProd:
      reduce_any<Product>(walk, call);
      break;
    default:
      reduce_any<Sum>(walk, call);
      break;
  }
  if (call.op == PlainOp::kReduceMean) divide(call.outputs[0], reduced_count);
  return ok_status();
}

}  // namespace carrel::plain
