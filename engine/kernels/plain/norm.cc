// Normalisations: batch, instance, layer, local response.
#include "base/vector_math.h"
#include "engine/kernels/plain/internal.h"

namespace carrel::plain {
namespace {

struct Moments {
  float mean;
  float inverse_deviation;
};

// Two passes, sums in eight double lanes: no cancellation, and the loops are vectorised.
Moments moments(const float* x, int64_t n, float epsilon) {
  constexpr int64_t kLanes = 8;
  const auto sum = [&](double shift, bool square) {
    double lanes[kLanes] = {}, total = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double d = x[i] - shift;
      lanes[i % kLanes] += square ? d * d : d;
    }
    for (double lane : lanes) total += lane;
    return total / static_cast<double>(std::max<int64_t>(n, 1));
  };
  const double mean = sum(0.0, false);
  const float variance = static_cast<float>(sum(mean, true));
  return {static_cast<float>(mean), 1.0f / sqrt_f32(variance + epsilon)};
}

}  // namespace

Status run_batch_norm(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {5, 5, 0, 0, 1, 1, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(x.rank >= 2 && same_dims(x, y), "input and output differ");
  const int64_t channels = x.dims[1], inner = product(x, 2, x.rank);
  for (size_t i = 1; i < 5; ++i) {
    PLAIN_REQUIRE(is_vector(call.inputs[i], channels), "a parameter does not match the channels");
  }
  for (int64_t nc = 0; nc < x.dims[0] * channels; ++nc) {
    const int64_t c = nc % channels;
    const float scale = f32(call.inputs[1])[c] / sqrt_f32(f32(call.inputs[4])[c] + call.floats[0]);
    const float bias = f32(call.inputs[2])[c], mean = f32(call.inputs[3])[c];
    const float* in = f32(x) + nc * inner;
    float* out = f32(y) + nc * inner;
    for (int64_t i = 0; i < inner; ++i) out[i] = (in[i] - mean) * scale + bias;
  }
  return ok_status();
}

Status run_instance_norm(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {3, 3, 0, 0, 1, 1, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(x.rank >= 2 && same_dims(x, y), "input and output differ");
  const int64_t channels = x.dims[1], inner = product(x, 2, x.rank);
  PLAIN_REQUIRE(is_vector(call.inputs[1], channels) && is_vector(call.inputs[2], channels),
                "scale or bias does not match the channels");
  for (int64_t nc = 0; nc < x.dims[0] * channels; ++nc) {
    const float* in = f32(x) + nc * inner;
    float* out = f32(y) + nc * inner;
    const Moments m = moments(in, inner, call.floats[0]);
    const float scale = f32(call.inputs[1])[nc % channels] * m.inverse_deviation;
    const float bias = f32(call.inputs[2])[nc % channels];
    for (int64_t i = 0; i < inner; ++i) out[i] = (in[i] - m.mean) * scale + bias;
  }
  return ok_status();
}

Status run_layer_norm(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {2, 3, 1, 1, 1, 1, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  const PlainTensor& scale = call.inputs[1];
  const PlainTensor* bias = optional_input(call, 2);
  PLAIN_REQUIRE(same_dims(x, y), "input and output differ");
  PLAIN_REQUIRE(call.ints[0] >= 0 && call.ints[0] < x.rank, "axis");
  const int axis = static_cast<int>(call.ints[0]);
  PlainTensor tail = x;  // the dims that are normalised together
  tail.rank = static_cast<uint8_t>(x.rank - axis);
  std::copy(x.dims + axis, x.dims + x.rank, tail.dims);
  PLAIN_REQUIRE(broadcasts_to(scale, tail) && (bias == nullptr || broadcasts_to(*bias, tail)),
                "scale or bias does not broadcast to the normalised dims");
  const int64_t outer = product(x, 0, axis), inner = count(tail);
  int64_t own[kMaxRank], s_strides[kMaxRank], b_strides[kMaxRank] = {};
  broadcast_strides(tail, tail.rank, own);
  broadcast_strides(scale, tail.rank, s_strides);
  if (bias != nullptr) broadcast_strides(*bias, tail.rank, b_strides);
  Walk<3> walk;
  for (int i = 0; i < tail.rank; ++i) walk.push(tail.dims[i], {own[i], s_strides[i], b_strides[i]});
  walk.coalesce();
  const int last = walk.rank - 1;
  const int64_t s_step = walk.strides[1][last], b_step = walk.strides[2][last];
  const float zero = 0;
  for (int64_t o = 0; o < outer; ++o) {
    const Moments m = moments(f32(x) + o * inner, inner, call.floats[0]);
    for_each_row(walk, [&](const int64_t* offsets) {
      const float* in = f32(x) + o * inner + offsets[0];
      float* out = f32(y) + o * inner + offsets[0];
      const float* s = f32(scale) + offsets[1];
      const float* b = bias != nullptr ? f32(*bias) + offsets[2] : &zero;
      const int64_t step = bias != nullptr ? b_step : 0;
      for (int64_t i = 0; i < walk.dims[last]; ++i) {
        out[i] = (in[i] - m.mean) * m.inverse_deviation * s[i * s_step] + b[i * step];
      }
    });
  }
  return ok_status();
}

Status run_lrn(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 1, 1, 3, 3, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(x.rank >= 2 && same_dims(x, y), "input and output differ");
  const int64_t size = call.ints[0], channels = x.dims[1], inner = product(x, 2, x.rank);
  PLAIN_REQUIRE(size >= 1 && size <= kMaxElements, "size");
  const float alpha = call.floats[0] / static_cast<float>(size), beta = call.floats[1],
              bias = call.floats[2];
  constexpr int64_t kChunk = 128;  // positions at a time
  for (int64_t nc = 0; nc < x.dims[0] * channels; ++nc) {
    const int64_t c = nc % channels;
    const int64_t first = std::max<int64_t>(0, c - (size - 1) / 2),
                  end = std::min(channels, c + size / 2 + 1);
    for (int64_t begin = 0; begin < inner; begin += kChunk) {
      const int64_t n = std::min(kChunk, inner - begin);
      float squares[kChunk] = {};
      for (int64_t k = first; k < end; ++k) {
        const float* in = f32(x) + (nc - c + k) * inner + begin;
        for (int64_t i = 0; i < n; ++i) squares[i] += in[i] * in[i];
      }
      const float* in = f32(x) + nc * inner + begin;
      float* out = f32(y) + nc * inner + begin;
      for (int64_t i = 0; i < n; ++i) out[i] = in[i] * pow_f32(bias + alpha * squares[i], -beta);
    }
  }
  return ok_status();
}

Status run_softmax(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 1, 1, 0, 0, false}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(same_dims(x, y), "input and output differ");
  PLAIN_REQUIRE(call.ints[0] >= 0 && call.ints[0] < x.rank, "axis");
  const int axis = static_cast<int>(call.ints[0]);
  const bool log = call.op == PlainOp::kLogSoftmax;
  const int64_t n = x.dims[axis], inner = product(x, axis + 1, x.rank), outer = product(x, 0, axis);
  if (n == 0 || inner == 0) return ok_status();
  constexpr int64_t kChunk = 128;  // columns at a time
  for (int64_t job = 0, chunks = (inner + kChunk - 1) / kChunk; job < outer * chunks; ++job) {
    const int64_t begin = job % chunks * kChunk, columns = std::min(kChunk, inner - begin);
    const float* in = f32(x) + job / chunks * n * inner + begin;
    float* out = f32(y) + job / chunks * n * inner + begin;
    float highest[kChunk], sum[kChunk] = {};
    std::copy(in, in + columns, highest);
    for (int64_t k = 1; k < n; ++k) {
      for (int64_t i = 0; i < columns; ++i) {
        highest[i] = select_f32(in[k * inner + i] > highest[i], in[k * inner + i], highest[i]);
      }
    }
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t i = 0; i < columns; ++i) {
        const float shifted = in[k * inner + i] - highest[i], e = exp_f32(shifted);
        sum[i] += e;
        out[k * inner + i] = log ? shifted : e;
      }
    }
    for (int64_t i = 0; i < columns; ++i) sum[i] = log ? log_f32(sum[i]) : 1.0f / sum[i];
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t i = 0; i < columns; ++i) {
        const float v = out[k * inner + i];
        out[k * inner + i] = log ? v - sum[i] : v * sum[i];
      }
    }
  }
  return ok_status();
}

}  // namespace carrel::plain
