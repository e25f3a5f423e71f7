// Unary, Affine, PRelu: one tensor and at most per-channel parameters.
#include "base/vector_math.h"
#include "engine/kernels/plain/internal.h"

namespace carrel::plain {
namespace {

template <UnaryFn kFn>
void unary_loop(const float* x, float* y, int64_t n, float a, float b) {
  for (int64_t i = 0; i < n; ++i) y[i] = unary_f32(kFn, x[i], a, b);
}

using UnaryLoop = void (*)(const float*, float*, int64_t, float, float);

template <size_t... kIndices>
UnaryLoop select_loop(UnaryFn fn, std::index_sequence<kIndices...>) {
  static constexpr UnaryLoop kLoops[] = {unary_loop<static_cast<UnaryFn>(kIndices)>...};
  return kLoops[static_cast<size_t>(fn)];
}

}  // namespace

bool valid_unary(const Unary& unary) { return unary.fn < UnaryFn::kCount; }

void apply_unary(const Unary& unary, const float* x, float* y, int64_t n) {
  constexpr auto kAll = std::make_index_sequence<static_cast<size_t>(UnaryFn::kCount)>();
  select_loop(unary.fn, kAll)(x, y, n, unary.a, unary.b);
}

Status run_unary(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 0, 0, 0, 0, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(same_dims(x, y) && same_types(call), "input and output differ");
  if (x.type == PlainType::kF32) {
    apply_unary(call.activation, f32(x), f32(y), count(x));
    return ok_status();
  }
  const UnaryFn fn = call.activation.fn;
  PLAIN_REQUIRE(fn == UnaryFn::kNone || fn == UnaryFn::kNeg || fn == UnaryFn::kAbs,
                "this function needs float32");
  for (int64_t i = 0, n = count(x); i < n; ++i) {
    const int64_t v = i64(x)[i];
    const bool negate = fn == UnaryFn::kNeg || (fn == UnaryFn::kAbs && v < 0);
    i64(y)[i] = negate ? static_cast<int64_t>(0 - static_cast<uint64_t>(v)) : v;
  }
  return ok_status();
}

Status run_affine(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {3, 3, 0, 0, 0, 0, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(x.rank >= 2 && same_dims(x, y), "input and output differ");
  const int64_t channels = x.dims[1], inner = product(x, 2, x.rank);
  PLAIN_REQUIRE(is_vector(call.inputs[1], channels) && is_vector(call.inputs[2], channels),
                "scale or shift does not match the channels");
  for (int64_t nc = 0; nc < x.dims[0] * channels; ++nc) {
    const float scale = f32(call.inputs[1])[nc % channels];
    const float shift = f32(call.inputs[2])[nc % channels];
    const float* in = f32(x) + nc * inner;
    float* out = f32(y) + nc * inner;
    for (int64_t i = 0; i < inner; ++i) out[i] = in[i] * scale + shift;
  }
  return ok_status();
}

Status run_prelu(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {2, 2, 0, 0, 0, 0, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& slope = call.inputs[1];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(same_dims(x, y) && broadcasts_to(slope, x),
                "slope does not broadcast to the input");
  Walk<2> walk;
  int64_t own[kMaxRank], other[kMaxRank];
  broadcast_strides(x, x.rank, own);
  broadcast_strides(slope, x.rank, other);
  for (int i = 0; i < x.rank; ++i) walk.push(x.dims[i], {own[i], other[i]});
  walk.coalesce();
  const int last = walk.rank - 1;
  const int64_t n = walk.dims[last], step = walk.strides[1][last];
  for_each_row(walk, [&](const int64_t* offsets) {
    const float* in = f32(x) + offsets[0];
    const float* s = f32(slope) + offsets[1];
    float* out = f32(y) + offsets[0];
    for (int64_t i = 0; i < n; ++i) out[i] = select_f32(in[i] < 0.0f, in[i] * s[i * step], in[i]);
  });
  return ok_status();
}

}  // namespace carrel::plain
