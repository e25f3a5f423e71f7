#include "baseline/executor.h"

#include <dnnl.h>
#include <omp.h>

#include <algorithm>
#include <vector>

#include "engine/kernels/plain/plain.h"

namespace carrel::unmodified {
namespace {

// Elements of one share of an elementwise loop: large enough that sharing costs nothing.
constexpr int64_t kShare = 16 * 1024;

// C (m x n) = A (m x k) B (k x n); B transposed: (n x k). Row-major and contiguous.
struct Gemm {
  int64_t m, n, k;
  const float* a;
  const float* b;
  float* c;
  bool transposed_b = false;
};

Status gemm(const Gemm& g) {
  const dnnl_status_t status = dnnl_sgemm('N', g.transposed_b ? 'T' : 'N', g.m, g.n, g.k, 1.0f, g.a,
                                          g.k, g.b, g.transposed_b ? g.k : g.n, 0.0f, g.c, g.n);
  if (status == dnnl_success) return ok_status();
  return Error(ErrorCode::kIo, "oneDNN could not multiply matrices (status %d)",
               static_cast<int>(status));
}

PlainTensor view(const Operand& operand, float* data) {
  static float empty;  // a tensor without elements is not an omitted one
  PlainTensor t;
  if (operand.place < 0) return t;
  t.rank = static_cast<uint8_t>(operand.shape.rank());
  for (int i = 0; i < operand.shape.rank(); ++i) t.dims[i] = operand.shape[i];
  t.data = operand.shape.count() == 0 ? &empty : data;
  return t;
}

}  // namespace

Executor::Executor(const Network& network, std::span<std::byte> region, uint32_t threads)
    : network_(network),
      region_(region),
      threads_(static_cast<int>(threads)),
      loops_(plane_loops(detect_cpu())) {
  CARREL_CHECK(region.size() >= network.bytes);
}

Status Executor::run_layer(size_t index) {
  omp_set_num_threads(threads_);  // of this thread's teams, oneDNN's too
  const Layer& layer = network_.layers[index];
  switch (layer.kind) {
    case LayerKind::kConv:
      return run_conv(layer);
    case LayerKind::kDepthwise:
      return run_depthwise(layer);
    case LayerKind::kDense:
      return run_dense(layer);
    case LayerKind::kAffine:
      return run_affine(layer);
    case LayerKind::kAdd:
      return run_add(layer);
    case LayerKind::kUnary:
      return run_unary(layer);
    case LayerKind::kMaxPool:
      return run_max_pool(layer);
    case LayerKind::kAveragePool:
      return run_average_pool(layer);
    case LayerKind::kLrn:
      return run_lrn(layer);
    case LayerKind::kPlain:
      break;
  }
  return run_plain_layer(layer);
}

Status Executor::run_conv(const Layer& layer) {
  const PlaneWindow& w = layer.window;
  const float* x = data(layer.inputs[0]);
  const int64_t channels = layer.inputs[0].shape[1], column_count = w.taps() * w.out_count();
  const float* columns = x;
  if (!w.pointwise()) {
    float* out = place_data(network_.workspace);
#pragma omp parallel for
    for (int64_t c = 0; c < channels; ++c)
      loops_.im2col(w, x + c * w.in_count(), out + c * column_count);
    columns = out;
  }
  Gemm g;
  g.m = layer.outputs[0].shape[1] / layer.groups;
  g.n = w.out_count();
  g.k = channels / layer.groups * w.taps();
  for (int64_t group = 0; group < layer.groups; ++group) {
    g.a = data(layer.inputs[1]) + group * g.m * g.k;
    g.b = columns + group * g.k * g.n;
    g.c = data(layer.outputs[0]) + group * g.m * g.n;
    CARREL_RETURN_IF_ERROR(gemm(g));
  }
  return finish_channels(layer);
}

Status Executor::finish_channels(const Layer& layer) {
  const Operand& out = layer.outputs[0];
  const bool biased = layer.inputs.size() > 2;
  Clamp clamp;
  const bool clamps = as_clamp(layer.activation, &clamp);
  if (biased || (clamps && layer.activation.fn != UnaryFn::kNone)) {
    const float* bias = biased ? data(layer.inputs[2]) : nullptr;
    float* y = data(out);
    const int64_t count = layer.window.out_count();
#pragma omp parallel for
    for (int64_t c = 0; c < out.shape[1]; ++c) {
      float* plane = y + c * count;
      loops_.affine(plane, plane, count, 1.0f, biased ? bias[c] : 0.0f, clamp);
    }
  }
  return activate(layer, out);
}

Status Executor::run_depthwise(const Layer& layer) {
  const PlaneWindow& w = layer.window;
  const PlanePhases phases(w);
  const Operand& out = layer.outputs[0];
  const float* x = data(layer.inputs[0]);
  const float* weights = data(layer.inputs[1]);
  const float* bias = layer.inputs.size() > 2 ? data(layer.inputs[2]) : nullptr;
  float* y = data(out);
  const int64_t per_input = out.shape[1] / layer.inputs[0].shape[1];
  Clamp clamp;
  as_clamp(layer.activation, &clamp);
#pragma omp parallel for
  for (int64_t c = 0; c < out.shape[1]; ++c) {
    loops_.depthwise(w, phases, x + c / per_input * w.in_count(), weights + c * w.taps(),
                     bias != nullptr ? bias[c] : 0.0f, clamp, scratch(phases),
                     y + c * w.out_count());
  }
  return activate(layer, out);
}

Status Executor::run_dense(const Layer& layer) {
  const Shape& weights = layer.inputs[1].shape;
  float* y = data(layer.outputs[0]);
  CARREL_RETURN_IF_ERROR(
      gemm({1, weights[0], weights[1], data(layer.inputs[0]), data(layer.inputs[1]), y, true}));
  Clamp clamp;
  const bool clamps = as_clamp(layer.activation, &clamp);
  if (layer.inputs.size() > 2) {
    loops_.add(y, data(layer.inputs[2]), y, weights[0], clamp);
  } else if (clamps) {
    loops_.affine(y, y, weights[0], 1.0f, 0.0f, clamp);
  }
  return activate(layer, layer.outputs[0]);
}

Status Executor::run_affine(const Layer& layer) {
  const Operand& out = layer.outputs[0];
  const int64_t channels = layer.inputs[1].shape[1], count = out.shape.count() / channels;
  const float* x = data(layer.inputs[0]);
  const float* scale = data(layer.inputs[1]);
  float* y = data(out);
  Clamp clamp;
  as_clamp(layer.activation, &clamp);
#pragma omp parallel for
  for (int64_t c = 0; c < channels; ++c)
    loops_.affine(x + c * count, y + c * count, count, scale[c], scale[channels + c], clamp);
  return activate(layer, out);
}

Status Executor::run_add(const Layer& layer) {
  const Operand& out = layer.outputs[0];
  const int64_t count = out.shape.count();
  const float* a = data(layer.inputs[0]);
  const float* b = data(layer.inputs[1]);
  float* y = data(out);
  Clamp clamp;
  as_clamp(layer.activation, &clamp);
#pragma omp parallel for
  for (int64_t i = 0; i < count; i += kShare)
    loops_.add(a + i, b + i, y + i, std::min(kShare, count - i), clamp);
  return activate(layer, out);
}

Status Executor::run_unary(const Layer& layer) {
  Clamp clamp;
  if (!as_clamp(layer.activation, &clamp)) return run_plain_layer(layer);
  const int64_t count = layer.outputs[0].shape.count();
  const float* x = data(layer.inputs[0]);
  float* y = data(layer.outputs[0]);
#pragma omp parallel for
  for (int64_t i = 0; i < count; i += kShare)
    loops_.affine(x + i, y + i, std::min(kShare, count - i), 1.0f, 0.0f, clamp);
  return ok_status();
}

Status Executor::run_max_pool(const Layer& layer) {
  const PlaneWindow& w = layer.window;
  const PlanePhases phases(w);
  const Shape& shape = layer.outputs[0].shape;
  const float* x = data(layer.inputs[0]);
  float* y = data(layer.outputs[0]);
#pragma omp parallel for
  for (int64_t c = 0; c < shape[0] * shape[1]; ++c)
    loops_.max_pool(w, phases, x + c * w.in_count(), scratch(phases), y + c * w.out_count());
  return activate(layer, layer.outputs[0]);
}

// Every window lies inside the input, so each output is the same multiple of a sum.
Status Executor::run_average_pool(const Layer& layer) {
  const PlaneWindow& w = layer.window;
  const PlanePhases phases(w);
  const Shape& shape = layer.outputs[0].shape;
  const float* x = data(layer.inputs[0]);
  float* y = data(layer.outputs[0]);
  const std::vector<float> weights(static_cast<size_t>(w.taps()),
                                   1.0f / static_cast<float>(w.taps()));
  Clamp none;
  as_clamp({}, &none);
#pragma omp parallel for
  for (int64_t c = 0; c < shape[0] * shape[1]; ++c) {
    loops_.depthwise(w, phases, x + c * w.in_count(), weights.data(), 0.0f, none, scratch(phases),
                     y + c * w.out_count());
  }
  return activate(layer, layer.outputs[0]);
}

Status Executor::run_lrn(const Layer& layer) {
  const Shape& shape = layer.outputs[0].shape;
  Lrn lrn;
  lrn.channels = shape[1];
  lrn.count = shape[2] * shape[3];
  lrn.size = layer.plain.ints[0];
  lrn.alpha = layer.plain.floats[0] / static_cast<float>(lrn.size);
  lrn.beta = layer.plain.floats[1];
  lrn.bias = layer.plain.floats[2];
  const float* x = data(layer.inputs[0]);
  float* y = data(layer.outputs[0]);
#pragma omp parallel for
  for (int64_t c = 0; c < lrn.channels; ++c) loops_.lrn(lrn, x, c, y);
  return activate(layer, layer.outputs[0]);
}

Status Executor::run_plain_layer(const Layer& layer) {
  std::vector<PlainTensor> inputs, outputs;
  for (const Operand& in : layer.inputs) inputs.push_back(view(in, data(in)));
  for (const Operand& out : layer.outputs) outputs.push_back(view(out, data(out)));
  const PlainEncoding& code = layer.plain;
  const Status status =
      run_plain({code.op, inputs, outputs, code.ints, code.floats, layer.activation});
  if (status.ok()) return status;
  return Error(status.error().code(), "%s: %s", layer.name.c_str(), status.error().message());
}

Status Executor::activate(const Layer& layer, const Operand& operand) {
  Clamp clamp;
  if (as_clamp(layer.activation, &clamp)) return ok_status();
  const PlainTensor y = view(operand, data(operand));
  return run_plain({PlainOp::kUnary, {&y, 1}, {&y, 1}, {}, {}, layer.activation});
}

float* Executor::scratch(const PlanePhases& phases) const {
  return place_data(network_.workspace) + omp_get_thread_num() * phases.scratch_count();
}

float* Executor::place_data(int place) const {
  const Place& p = network_.places[static_cast<size_t>(place)];
  return reinterpret_cast<float*>(region_.data() + p.offset);
}

float* Executor::data(const Operand& operand) const {
  return operand.place < 0 ? nullptr : place_data(operand.place);
}

}  // namespace carrel::unmodified
