#include "he/server/evaluator.h"

#include <algorithm>

#include "he/ring/parallel.h"
#include "he/server/weights.h"

namespace carrel::he {

struct Evaluator::Weights {
  PackedWeights conv;
  std::vector<int32_t> added;  // [channel]: 1, then the addend's factor
};

// Both polynomials of every pixel: packed for kConv; for kDepthwise plain a, and b where it is pinned.
struct Evaluator::InputRow {
  uint32_t y = 0;
  Buffer a, b;
  const std::byte* pinned_b = nullptr;
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

Evaluator::Evaluator(const Network& network, const Scaling& scaling, const StreamKey& seed, CpuMask cpu, uint32_t threads)
    : net_(network), scaling_(scaling), kernels_(product_kernels(cpu)), first_ids_(first_ids(network)),
      polynomial_bytes_(scaling.ring.polynomial_bytes()) {
  for (uint32_t i = 0; i < std::max(1u, threads); ++i) threads_.push_back(std::make_unique<Thread>(seed));
}

Evaluator::~Evaluator() = default;

void Evaluator::start_layer(size_t index) {
  const Layer& layer = net_.layers[index];
  const MapShape& in = net_.tensors[static_cast<size_t>(layer.input)].shape;
  layer_ = index;
  rows_.clear();
  weights_ = std::make_unique<Weights>();
  const LayerScales& scales = scaling_.layers[index];
  if (layer.kind == LayerKind::kConv) weights_->conv = pack_weights(layer, scales, scaling_.ring);
  else weights_->conv.constants = pack_bias(scales, scaling_.ring);
  for (int32_t factor : scales.addend) weights_->added.insert(weights_->added.end(), {1, factor});
  const uint32_t most = std::max(in.channels, layer.out.channels);
  for (const auto& t : threads_) {
    t->expanded = make_buffer(most * polynomial_bytes_);
    t->out = make_buffer(2 * layer.out.channels * polynomial_bytes_);
  }
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

void Evaluator::bring_pixel(InputRow* row, const std::byte* b, uint32_t x, Thread* thread) {
  const Layer& layer = net_.layers[layer_];
  const uint32_t channels = net_.tensors[static_cast<size_t>(layer.input)].shape.channels, degree = scaling_.ring.degree;
  const size_t plain_bytes = channels * polynomial_bytes_;
  if (layer.kind == LayerKind::kDepthwise) return expand(layer.input, row->y, x, thread, row->a.get() + x * plain_bytes);
  expand(layer.input, row->y, x, thread, thread->expanded.get());
  const bool narrow = scaling_.ring.modulus_bits == 32;
  const size_t packed = narrow ? packed_bytes32(degree, channels) : packed_bytes52(degree, channels);
  const auto pack = [&](const std::byte* from, std::byte* to) {
    thread->in.resize(channels);
    for (uint32_t c = 0; c < channels; ++c) thread->in[c] = from + c * polynomial_bytes_;
    if (narrow) kernels_.pack32(reinterpret_cast<const uint32_t* const*>(thread->in.data()), channels, degree, to);
    else kernels_.pack52(reinterpret_cast<const uint64_t* const*>(thread->in.data()), channels, degree, to);
  };
  pack(thread->expanded.get(), row->a.get() + x * packed);
  pack(b + x * plain_bytes, row->b.get() + x * packed);
}

// Rows below `begin` are done with; their memory.
std::vector<Evaluator::InputRow> Evaluator::let_go(uint32_t begin, RowSource* rows) {
  std::vector<InputRow> free;
  while (!rows_.empty() && rows_.front().y < begin) {
    if (rows_.front().pinned_b != nullptr) rows->unpin(net_.layers[layer_].input, rows_.front().y);
    free.push_back(std::move(rows_.front()));
    rows_.erase(rows_.begin());
  }
  return free;
}

// Rows [begin, end) of the input; those below are let go, and their memory serves the new ones.
Status Evaluator::bring_rows(uint32_t begin, uint32_t end, RowSource* rows) {
  const Layer& layer = net_.layers[layer_];
  const MapShape& in = net_.tensors[static_cast<size_t>(layer.input)].shape;
  const bool conv = layer.kind == LayerKind::kConv, narrow = scaling_.ring.modulus_bits == 32;
  const uint32_t degree = scaling_.ring.degree;
  const size_t pixel_bytes = !conv ? in.channels * polynomial_bytes_
                                   : narrow ? packed_bytes32(degree, in.channels) : packed_bytes52(degree, in.channels);
  std::vector<InputRow> free = let_go(begin, rows);
  for (uint32_t y = rows_.empty() ? begin : rows_.back().y + 1; y < end; ++y) {
    InputRow row;
    if (!free.empty()) {
      row = std::move(free.back());
      free.pop_back();
    } else {
      row.a = make_buffer(in.width * pixel_bytes);
      if (conv) row.b = make_buffer(in.width * pixel_bytes);
    }
    row.y = y;
    CARREL_ASSIGN(const std::byte* const b, rows->pin(layer.input, y));
    CARREL_RETURN_IF_ERROR(in_parallel(threads(), in.width, [&](uint32_t x, uint32_t thread) -> Status {
      bring_pixel(&row, b, x, threads_[thread].get());
      return ok_status();
    }));
    if (conv) rows->unpin(layer.input, y);
    row.pinned_b = conv ? nullptr : b;
    rows_.push_back(std::move(row));
  }
  return ok_status();
}

// One pixel of the output, in thread->out.
void Evaluator::make_pixel(uint32_t y, uint32_t x, Thread* thread) {
  const Layer& layer = net_.layers[layer_];
  const MapShape& in = net_.tensors[static_cast<size_t>(layer.input)].shape;
  const Window& w = layer.window;
  const bool conv = layer.kind == LayerKind::kConv, narrow = scaling_.ring.modulus_bits == 32;
  const uint32_t degree = scaling_.ring.degree, channels = in.channels;
  const size_t pixel_bytes = !conv ? channels * polynomial_bytes_
                                   : narrow ? packed_bytes32(degree, channels) : packed_bytes52(degree, channels);
  for (const bool second : {false, true}) {
    thread->taps.clear();
    thread->pixels.clear();
    thread->tap_index.clear();
    for (uint32_t kh = 0; kh < w.kernel_h; ++kh) {
      const int64_t iy = int64_t{y} * w.stride_h + kh * w.dilation_h - w.pad_top;
      if (iy < 0 || iy >= in.height) continue;
      const InputRow& row = rows_[static_cast<size_t>(iy) - rows_.front().y];
      const std::byte* base = !second ? row.a.get() : conv ? row.b.get() : row.pinned_b;
      for (uint32_t kw = 0; kw < w.kernel_w; ++kw) {
        const int64_t ix = int64_t{x} * w.stride_w + kw * w.dilation_w - w.pad_left;
        if (ix < 0 || ix >= in.width) continue;
        const uint32_t tap = kh * w.kernel_w + kw;
        const std::byte* pixel = base + static_cast<size_t>(ix) * pixel_bytes;
        thread->taps.push_back({pixel, tap * weights_->conv.tap_pairs});
        thread->pixels.push_back(pixel);
        thread->tap_index.push_back(tap);
      }
    }
    std::byte* out = thread->out.get() + (second ? layer.out.channels * polynomial_bytes_ : 0);
    const uint64_t* constants = second ? weights_->conv.constants.data() : nullptr;
    const uint32_t taps = static_cast<uint32_t>(thread->taps.size());
    if (conv) {
      thread->outs.resize(layer.out.channels);
      for (uint32_t o = 0; o < layer.out.channels; ++o) thread->outs[o] = out + o * polynomial_bytes_;
      const ProductCall call{thread->taps.data(), taps, weights_->conv.tap_pairs, weights_->conv.data(), weights_->conv.block_pairs,
                             layer.out.channels, constants, thread->outs.data(), degree};
      narrow ? kernels_.product32(call) : kernels_.product52(call);
    } else {
      const DepthwiseCall call{thread->pixels.data(), taps, scaling_.layers[layer_].weights.data(), thread->tap_index.data(),
                               uint32_t{w.kernel_h} * w.kernel_w, channels, constants, out, degree};
      narrow ? kernels_.depthwise32(call) : kernels_.depthwise52(call);
    }
  }
}

// out = out + factor addend, for both polynomials.
Status Evaluator::add_map(uint32_t y, uint32_t x, const std::byte* addend_row, Thread* thread) {
  const Layer& layer = net_.layers[layer_];
  const uint32_t channels = layer.out.channels;
  const size_t bytes = channels * polynomial_bytes_;
  expand(layer.addend, y, x, thread, thread->expanded.get());
  constexpr uint32_t kIndex[2] = {0, 1};
  for (const bool second : {false, true}) {
    std::byte* out = thread->out.get() + (second ? bytes : 0);
    const void* pixels[2] = {out, second ? addend_row + x * bytes : thread->expanded.get()};
    const DepthwiseCall call{pixels, 2, weights_->added.data(), kIndex, 2, channels, nullptr, out, scaling_.ring.degree};
    scaling_.ring.modulus_bits == 32 ? kernels_.depthwise32(call) : kernels_.depthwise52(call);
  }
  return ok_status();
}

Status Evaluator::row(size_t index, uint32_t y, RowSource* rows, const Sink& sink) {
  if (index != layer_) start_layer(index);
  const Layer& layer = net_.layers[index];
  const MapShape& in = net_.tensors[static_cast<size_t>(layer.input)].shape;
  const int64_t height = in.height;
  const uint32_t begin = static_cast<uint32_t>(std::clamp<int64_t>(layer.window.first_row(y), 0, height));
  const uint32_t end = static_cast<uint32_t>(std::clamp<int64_t>(layer.window.end_row(y), begin, height));
  CARREL_RETURN_IF_ERROR(bring_rows(begin, end, rows));
  const std::byte* addend = nullptr;
  if (layer.addend != kNoTensor) {
    CARREL_ASSIGN(addend, rows->pin(layer.addend, y));
  }
  const Status status = in_parallel(threads(), layer.out.width, [&](uint32_t x, uint32_t index_of_thread) -> Status {
    Thread* const thread = threads_[index_of_thread].get();
    make_pixel(y, x, thread);
    if (addend != nullptr) CARREL_RETURN_IF_ERROR(add_map(y, x, addend, thread));
    return sink(x, thread->out.get(), thread->out.get() + layer.out.channels * polynomial_bytes_, index_of_thread);
  });
  if (addend != nullptr) rows->unpin(layer.addend, y);
  if (y + 1 == layer.out.height) let_go(in.height, rows);
  return status;
}

}  // namespace carrel::he
