#include "he/server/evaluator.h"

#include <algorithm>

#include "he/ring/parallel.h"
#include "he/server/weights.h"

namespace carrel::he {

namespace {

// Of packed rows that wait to serve again.
constexpr size_t kPoolBytes = size_t{512} << 20;

}  // namespace

// Both polynomials of every pixel: packed for kConv; for kDepthwise a, and b where the source has it.
struct Evaluator::InputRow {
  uint32_t y = 0;
  Buffer a, b;
  const std::byte* plain_b = nullptr;
  const std::byte* second() const { return plain_b != nullptr ? plain_b : b.get(); }
};

struct Evaluator::LayerState {
  size_t index = 0;
  const Layer* layer = nullptr;
  const LayerScales* scales = nullptr;
  PackedWeights weights;
  std::vector<int32_t> added;   // [channel]: 1, then the addend's factor
  std::vector<InputRow> rows;   // that the window needs, ascending
};

struct Evaluator::Thread {
  Thread(const StreamKey& seed) : streams(seed) {}
  Streams streams;
  Buffer expanded;  // a of one pixel
  Buffer out;       // a, then b
  std::vector<const void*> in;
  std::vector<void*> outs;
  std::vector<Tap> taps;
  std::vector<const void*> pixels;
  std::vector<uint32_t> tap_index;
};

Rows input_rows(const Network& network, size_t index, uint32_t y) {
  const Layer& layer = network.layers[index];
  const int64_t height = network.tensors[static_cast<size_t>(layer.input)].shape.height;
  const int64_t begin = std::clamp<int64_t>(layer.window.first_row(y), 0, height);
  return {static_cast<uint32_t>(begin), static_cast<uint32_t>(std::clamp<int64_t>(layer.window.end_row(y), begin, height))};
}

Evaluator::Evaluator(const Network& network, const Scaling& scaling, const StreamKey& seed, CpuMask cpu, uint32_t threads)
    : net_(network), scaling_(scaling), kernels_(product_kernels(cpu)), first_ids_(first_ids(network)),
      polynomial_bytes_(scaling.ring.polynomial_bytes()), pool_(kPoolBytes), states_(network.layers.size()) {
  uint32_t most = 0, most_out = 0;
  for (const Layer& layer : network.layers) {
    most = std::max({most, input_shape(layer).channels, layer.out.channels});
    most_out = std::max(most_out, layer.out.channels);
  }
  for (uint32_t i = 0; i < std::max(1u, threads); ++i) {
    threads_.push_back(std::make_unique<Thread>(seed));
    threads_.back()->expanded = make_buffer(most * polynomial_bytes_);
    threads_.back()->out = make_buffer(2 * most_out * polynomial_bytes_);
  }
}

Evaluator::~Evaluator() = default;

Evaluator::LayerState& Evaluator::state_of(size_t index) {
  std::unique_ptr<LayerState>& state = states_[index];
  if (state != nullptr) return *state;
  state = std::make_unique<LayerState>();
  state->index = index;
  state->layer = &net_.layers[index];
  state->scales = &scaling_.layers[index];
  if (state->layer->kind == LayerKind::kConv) state->weights = pack_weights(*state->layer, *state->scales, scaling_.ring);
  else state->weights.constants = pack_bias(*state->scales, scaling_.ring);
  for (int32_t factor : state->scales->addend) state->added.insert(state->added.end(), {1, factor});
  return *state;
}

// Of one polynomial of every channel, as the layer's kernel reads it.
size_t Evaluator::pixel_bytes(const Layer& layer) const {
  const uint32_t channels = input_shape(layer).channels, degree = scaling_.ring.degree;
  if (layer.kind == LayerKind::kDepthwise) return channels * polynomial_bytes_;
  return scaling_.ring.modulus_bits == 32 ? packed_bytes32(degree, channels) : packed_bytes52(degree, channels);
}

void Evaluator::expand(TensorId tensor, uint32_t y, uint32_t x, Thread* thread, std::byte* a) {
  const MapShape& shape = net_.tensors[static_cast<size_t>(tensor)].shape;
  const uint64_t id = cipher_id(first_ids_[static_cast<size_t>(tensor)], shape, y, x, 0);
  const uint32_t degree = scaling_.ring.degree;
  for (uint32_t c = 0; c < shape.channels; ++c) {
    std::byte* out = a + c * polynomial_bytes_;
    if (scaling_.ring.modulus_bits == 32) thread->streams.uniform(id + c, {reinterpret_cast<uint32_t*>(out), degree});
    else thread->streams.uniform52(id + c, {reinterpret_cast<uint64_t*>(out), degree});
  }
}

void Evaluator::bring_pixel(const Layer& layer, InputRow* row, const std::byte* b, uint32_t x, Thread* thread) {
  const uint32_t channels = input_shape(layer).channels, degree = scaling_.ring.degree;
  const size_t plain_bytes = channels * polynomial_bytes_, packed = pixel_bytes(layer);
  if (layer.kind == LayerKind::kDepthwise) return expand(layer.input, row->y, x, thread, row->a.get() + x * plain_bytes);
  expand(layer.input, row->y, x, thread, thread->expanded.get());
  const auto pack = [&](const std::byte* from, std::byte* to) {
    thread->in.resize(channels);
    for (uint32_t c = 0; c < channels; ++c) thread->in[c] = from + c * polynomial_bytes_;
    if (scaling_.ring.modulus_bits == 32) kernels_.pack32(reinterpret_cast<const uint32_t* const*>(thread->in.data()), channels, degree, to);
    else kernels_.pack52(reinterpret_cast<const uint64_t* const*>(thread->in.data()), channels, degree, to);
  };
  pack(thread->expanded.get(), row->a.get() + x * packed);
  pack(b + x * plain_bytes, row->b.get() + x * packed);
}

void Evaluator::let_go(LayerState* state, uint32_t below) {
  auto first = state->rows.begin();
  for (; first != state->rows.end() && first->y < below; ++first) {
    pool_.give(std::move(first->a));
    if (first->b != nullptr) pool_.give(std::move(first->b));
  }
  state->rows.erase(state->rows.begin(), first);
}

Status Evaluator::bring_rows(LayerState* state, const Rows& wanted, RowSource* rows) {
  const Layer& layer = *state->layer;
  const MapShape& in = input_shape(layer);
  const size_t row_bytes = in.width * pixel_bytes(layer);
  const bool conv = layer.kind == LayerKind::kConv;
  for (uint32_t y = state->rows.empty() ? wanted.begin : state->rows.back().y + 1; y < wanted.end; ++y) {
    InputRow row;
    row.y = y;
    row.a = pool_.take(row_bytes);
    if (conv) row.b = pool_.take(row_bytes);
    CARREL_ASSIGN(const std::byte* const b, rows->row(layer.input, y));
    CARREL_RETURN_IF_ERROR(in_parallel(threads(), in.width, [&](uint32_t x, uint32_t thread) -> Status {
      bring_pixel(layer, &row, b, x, threads_[thread].get());
      return ok_status();
    }));
    if (!conv) row.plain_b = b;
    state->rows.push_back(std::move(row));
  }
  // Packed rows need their source no more.
  if (conv) rows->done({state->index, false}, wanted.end);
  return ok_status();
}

// One pixel of the output, in thread->out.
void Evaluator::make_pixel(const LayerState& state, uint32_t y, uint32_t x, Thread* thread) {
  const Layer& layer = *state.layer;
  const MapShape& in = input_shape(layer);
  const Window& w = layer.window;
  const bool conv = layer.kind == LayerKind::kConv, narrow = scaling_.ring.modulus_bits == 32;
  const uint32_t degree = scaling_.ring.degree;
  const size_t bytes = pixel_bytes(layer);
  for (const bool second : {false, true}) {
    thread->taps.clear();
    thread->pixels.clear();
    thread->tap_index.clear();
    for (uint32_t kh = 0; kh < w.kernel_h; ++kh) {
      const int64_t iy = int64_t{y} * w.stride_h + kh * w.dilation_h - w.pad_top;
      if (iy < 0 || iy >= in.height) continue;
      const InputRow& row = state.rows[static_cast<size_t>(iy) - state.rows.front().y];
      const std::byte* base = second ? row.second() : row.a.get();
      for (uint32_t kw = 0; kw < w.kernel_w; ++kw) {
        const int64_t ix = int64_t{x} * w.stride_w + kw * w.dilation_w - w.pad_left;
        if (ix < 0 || ix >= in.width) continue;
        const uint32_t tap = kh * w.kernel_w + kw;
        const std::byte* pixel = base + static_cast<size_t>(ix) * bytes;
        thread->taps.push_back({pixel, tap * state.weights.tap_pairs});
        thread->pixels.push_back(pixel);
        thread->tap_index.push_back(tap);
      }
    }
    std::byte* out = thread->out.get() + (second ? layer.out.channels * polynomial_bytes_ : 0);
    const uint64_t* constants = second ? state.weights.constants.data() : nullptr;
    const uint32_t taps = static_cast<uint32_t>(thread->taps.size());
    if (conv) {
      thread->outs.resize(layer.out.channels);
      for (uint32_t o = 0; o < layer.out.channels; ++o) thread->outs[o] = out + o * polynomial_bytes_;
      const ProductCall call{thread->taps.data(), taps, state.weights.tap_pairs, state.weights.data(), state.weights.block_pairs,
                             layer.out.channels, constants, thread->outs.data(), degree};
      narrow ? kernels_.product32(call) : kernels_.product52(call);
    } else {
      const DepthwiseCall call{thread->pixels.data(), taps, state.scales->weights.data(), thread->tap_index.data(),
                               uint32_t{w.kernel_h} * w.kernel_w, in.channels, constants, out, degree};
      narrow ? kernels_.depthwise32(call) : kernels_.depthwise52(call);
    }
  }
}

// out = out + factor addend, for both polynomials.
void Evaluator::add_map(const LayerState& state, uint32_t y, uint32_t x, const std::byte* addend_row, Thread* thread) {
  const uint32_t channels = state.layer->out.channels;
  const size_t bytes = channels * polynomial_bytes_;
  expand(state.layer->addend, y, x, thread, thread->expanded.get());
  constexpr uint32_t kIndex[2] = {0, 1};
  for (const bool second : {false, true}) {
    std::byte* out = thread->out.get() + (second ? bytes : 0);
    const void* pixels[2] = {out, second ? addend_row + x * bytes : thread->expanded.get()};
    const DepthwiseCall call{pixels, 2, state.added.data(), kIndex, 2, channels, nullptr, out, scaling_.ring.degree};
    scaling_.ring.modulus_bits == 32 ? kernels_.depthwise32(call) : kernels_.depthwise52(call);
  }
}

Status Evaluator::row(size_t index, uint32_t y, RowSource* rows, const Sink& sink) {
  LayerState& state = state_of(index);
  const Layer& layer = *state.layer;
  CARREL_RETURN_IF_ERROR(bring_rows(&state, input_rows(net_, index, y), rows));
  const std::byte* addend = nullptr;
  if (layer.addend != kNoTensor) {
    CARREL_ASSIGN(addend, rows->row(layer.addend, y));
  }
  CARREL_RETURN_IF_ERROR(in_parallel(threads(), layer.out.width, [&](uint32_t x, uint32_t thread_index) -> Status {
    Thread* const thread = threads_[thread_index].get();
    make_pixel(state, y, x, thread);
    if (addend != nullptr) add_map(state, y, x, addend, thread);
    return sink(x, thread->out.get(), thread->out.get() + layer.out.channels * polynomial_bytes_, thread_index);
  }));
  const bool last = y + 1 == layer.out.height;
  const uint32_t below = last ? input_shape(layer).height : input_rows(net_, index, y + 1).begin;
  let_go(&state, below);
  if (layer.kind == LayerKind::kDepthwise || last) rows->done({index, false}, below);
  if (addend != nullptr) rows->done({index, true}, y + 1);
  if (last) states_[index].reset();
  return ok_status();
}

}  // namespace carrel::he
