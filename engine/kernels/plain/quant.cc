// Quantize, Dequantize, QAdd, QConcat.
#include "engine/kernels/plain/quant.h"

namespace carrel::plain {

bool valid_weighted_inputs(const PlainCall& call, int64_t channels) {
  for (size_t i = 0; i < 3; ++i) {
    if (call.inputs[i].type != PlainType::kF32) return false;
  }
  const PlainTensor* bias = optional_input(call, 3);
  return call.outputs[0].type == PlainType::kF32 && is_vector(call.inputs[2], channels) &&
         (bias == nullptr || is_vector(*bias, channels));
}

Status run_quantize(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 1, 1, 1, 1, false}));
  PLAIN_REQUIRE(same_dims(call.inputs[0], call.outputs[0]), "input and output differ");
  PLAIN_REQUIRE(is_level(call.ints[0]), "zero point");
  const float* x = f32(call.inputs[0]);
  float* y = f32(call.outputs[0]);
  const Levels levels = levels_of(call.ints[0]);
  const float scale = call.floats[0];
  for (int64_t i = 0, n = count(call.inputs[0]); i < n; ++i) y[i] = to_level(x[i] / scale, levels);
  return ok_status();
}

Status run_dequantize(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 1, 1, 1, 1, false}));
  PLAIN_REQUIRE(same_dims(call.inputs[0], call.outputs[0]), "input and output differ");
  PLAIN_REQUIRE(is_level(call.ints[0]), "zero point");
  const float* x = f32(call.inputs[0]);
  float* y = f32(call.outputs[0]);
  const auto zero = static_cast<float>(call.ints[0]);
  for (int64_t i = 0, n = count(call.inputs[0]); i < n; ++i) y[i] = (x[i] - zero) * call.floats[0];
  return ok_status();
}

Status run_qadd(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {2, 2, 5, 5, 3, 3, false}));
  PLAIN_REQUIRE(
      same_dims(call.inputs[0], call.outputs[0]) && same_dims(call.inputs[1], call.outputs[0]),
      "inputs and output differ");
  PLAIN_REQUIRE(are_levels(call.ints.data(), 5), "a zero point or bound");
  const float* a = f32(call.inputs[0]);
  const float* b = f32(call.inputs[1]);
  float* y = f32(call.outputs[0]);
  const auto a_zero = static_cast<float>(call.ints[0]);
  const auto b_zero = static_cast<float>(call.ints[1]);
  const Levels levels = levels_of(call.ints[2], call.ints[3], call.ints[4]);
  const float a_factor = call.floats[0] / call.floats[2];
  const float b_factor = call.floats[1] / call.floats[2];
  for (int64_t i = 0, n = count(call.outputs[0]); i < n; ++i) {
    y[i] = to_level((a[i] - a_zero) * a_factor + (b[i] - b_zero) * b_factor, levels);
  }
  return ok_status();
}

namespace {

Status check_concat(const PlainCall& call) {
  const size_t inputs = call.inputs.size();
  CARREL_RETURN_IF_ERROR(check_arity(
      call, {1, kMaxPlainInputs, 2 + inputs, 2 + inputs, 1 + inputs, 1 + inputs, false}));
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(call.ints[0] >= 0 && call.ints[0] < y.rank, "axis");
  PLAIN_REQUIRE(are_levels(call.ints.data() + 1, 1 + inputs), "zero point");
  const int axis = static_cast<int>(call.ints[0]);
  int64_t joined = 0;
  for (const PlainTensor& x : call.inputs) {
    PLAIN_REQUIRE(x.rank == y.rank && (x.data != nullptr || count(x) == 0), "ranks differ");
    for (int i = 0; i < y.rank; ++i) PLAIN_REQUIRE(i == axis || x.dims[i] == y.dims[i], "dims");
    joined += x.dims[axis];
  }
  PLAIN_REQUIRE(joined == y.dims[axis], "sizes do not add up");
  return ok_status();
}

}  // namespace

Status run_qconcat(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_concat(call));
  const PlainTensor& y = call.outputs[0];
  const int axis = static_cast<int>(call.ints[0]);
  const int64_t outer = product(y, 0, axis), pitch = product(y, axis, y.rank);
  float* out = f32(y);
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const int64_t inner = product(call.inputs[i], axis, y.rank);
    const float* x = f32(call.inputs[i]);
    const auto zero = static_cast<float>(call.ints[2 + i]);
    const Levels levels = levels_of(call.ints[1]);
    // Equal parameters give the factor 1: a copy.
    const float factor = call.floats[1 + i] / call.floats[0];
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t k = 0; k < inner; ++k) {
        out[o * pitch + k] = to_level((x[o * inner + k] - zero) * factor, levels);
      }
    }
    out += inner;
  }
  return ok_status();
}

}  // namespace carrel::plain
