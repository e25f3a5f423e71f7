// Two operands with NumPy broadcasting.
#include <limits>

#include "base/vector_math.h"
#include "engine/kernels/plain/internal.h"

namespace carrel::plain {
namespace {

struct AddFn {
  static float apply(float a, float b) { return a + b; }
  static int64_t apply(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
};
struct SubFn {
  static float apply(float a, float b) { return a - b; }
  static int64_t apply(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  }
};
struct MulFn {
  static float apply(float a, float b) { return a * b; }
  static int64_t apply(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
};
struct DivFn {
  static float apply(float a, float b) { return a / b; }
  static int64_t apply(int64_t a, int64_t b) {
    if (b == 0) return 0;
    return b == -1 ? SubFn::apply(0, a) : a / b;
  }
};
struct MaxFn {
  static float apply(float a, float b) { return select_f32((a > b) | (a != a), a, b); }
  static int64_t apply(int64_t a, int64_t b) { return std::max(a, b); }
};
struct MinFn {
  static float apply(float a, float b) { return select_f32((a < b) | (a != a), a, b); }
  static int64_t apply(int64_t a, int64_t b) { return std::min(a, b); }
};
struct PowFn {
  static float apply(float a, float b) { return pow_f32(a, b); }
  static float apply(float a, int64_t b) { return pow_f32(a, static_cast<float>(b)); }
  static int64_t apply(int64_t a, int64_t b) {
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    uint64_t result = 1, base = static_cast<uint64_t>(a);
    for (uint64_t e = static_cast<uint64_t>(b); e != 0; e >>= 1, base *= base) {
      if (e & 1) result *= base;
    }
    return static_cast<int64_t>(result);
  }
};

// b_step / a_step are 0 (broadcast along the row) or 1: separate loops, so that each is vectorised.
template <typename Fn, typename A, typename B>
void row(const A* a, int64_t a_step, const B* b, int64_t b_step, A* y, int64_t n) {
  if (a_step == 1 && b_step == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = Fn::apply(a[i], b[i]);
  } else if (a_step == 1) {
    const B value = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = Fn::apply(a[i], value);
  } else if (b_step == 1) {
    const A value = *a;
    for (int64_t i = 0; i < n; ++i) y[i] = Fn::apply(value, b[i]);
  } else {
    const A value = Fn::apply(*a, *b);
    for (int64_t i = 0; i < n; ++i) y[i] = value;
  }
}

template <typename Fn, typename A, typename B>
Status run_typed(const PlainCall& call) {
  const PlainTensor& y = call.outputs[0];
  int64_t strides[3][kMaxRank];
  broadcast_strides(call.inputs[0], y.rank, strides[0]);
  broadcast_strides(call.inputs[1], y.rank, strides[1]);
  broadcast_strides(y, y.rank, strides[2]);
  Walk<3> walk;
  for (int i = 0; i < y.rank; ++i)
    walk.push(y.dims[i], {strides[0][i], strides[1][i], strides[2][i]});
  walk.coalesce();
  const int last = walk.rank - 1;
  for_each_row(walk, [&](const int64_t* offsets) {
    row<Fn>(static_cast<const A*>(call.inputs[0].data) + offsets[0], walk.strides[0][last],
            static_cast<const B*>(call.inputs[1].data) + offsets[1], walk.strides[1][last],
            static_cast<A*>(y.data) + offsets[2], walk.dims[last]);
  });
  return ok_status();
}

template <typename Fn>
Status run_fn(const PlainCall& call) {
  return call.outputs[0].type == PlainType::kF32 ? run_typed<Fn, float, float>(call)
                                                 : run_typed<Fn, int64_t, int64_t>(call);
}

// Each output dimension is the larger of the two, and the smaller is equal to it or 1.
bool broadcast_result(const PlainTensor& a, const PlainTensor& b, const PlainTensor& y) {
  if (y.rank != std::max(a.rank, b.rank)) return false;
  for (int i = 0; i < y.rank; ++i) {
    const int ia = i - (y.rank - a.rank), ib = i - (y.rank - b.rank);
    const int64_t da = ia >= 0 ? a.dims[ia] : 1, db = ib >= 0 ? b.dims[ib] : 1;
    if (da != db && da != 1 && db != 1) return false;
    if (y.dims[i] != (da == 1 ? db : da)) return false;
  }
  return true;
}

}  // namespace

Status run_binary(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {2, 2, 0, 0, 0, 0, true}));
  const PlainTensor& a = call.inputs[0];
  const PlainTensor& b = call.inputs[1];
  PLAIN_REQUIRE(broadcast_result(a, b, call.outputs[0]), "operands do not broadcast to the output");
  if (call.op == PlainOp::kPow && a.type == PlainType::kF32 && b.type == PlainType::kI64 &&
      call.outputs[0].type == PlainType::kF32) {
    return run_typed<PowFn, float, int64_t>(call);
  }
  PLAIN_REQUIRE(same_types(call), "operand types differ");
  switch (call.op) {
    case PlainOp::kAdd:
      return run_fn<AddFn>(call);
    case PlainOp::kSub:
      return run_fn<SubFn>(call);
    case PlainOp::kMul:
      return run_fn<MulFn>(call);
    case PlainOp::kDiv:
      return run_fn<DivFn>(call);
    case PlainOp::kPow:
      return run_fn<PowFn>(call);
    case PlainOp::kMax:
      return run_fn<MaxFn>(call);
    case PlainOp::kMin:
      return run_fn<MinFn>(call);
    default:
      return bad(call, "not a binary operator");
  }
}

}  // namespace carrel::plain
