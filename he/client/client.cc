#include "he/client/client.h"

#include <algorithm>
#include <cmath>

#include "base/wipe.h"
#include "engine/kernels/rows/rows.h"
#include "he/ring/parallel.h"

namespace carrel::he {
namespace {

// What rows of pooled layers may take in all. A stranger states their shapes.
constexpr uint64_t kMostGatheredBytes = uint64_t{8} << 30;

}  // namespace

struct Client::Thread {
  Thread(const ClientKey& key, const RingParams& ring)
      : user(key), decrypted(make_buffer(ring.polynomial_bytes())), values(make_buffer(kArrays * ring.degree * sizeof(float))),
        decrypted_bytes(ring.polynomial_bytes()), degree(ring.degree) {}
  ~Thread() {
    wipe(decrypted.get(), decrypted_bytes);
    wipe(values.get(), kArrays * degree * sizeof(float));
  }
  Thread(const Thread&) = delete;

  static constexpr size_t kArrays = 3;
  KeyUser user;
  std::vector<std::byte> b;  // what goes to the server
  Buffer decrypted;          // one polynomial
  Buffer values;             // of one ciphertext each
  size_t decrypted_bytes, degree;
  float* numbers(size_t array = 0) { return reinterpret_cast<float*>(values.get()) + array * degree; }
};

// Rows that a layer's operation on windows or channels still needs, after the operations before it.
struct Client::Gather {
  size_t op = 0;  // of Layer::ops
  MapShape in;
  uint32_t ring_rows = 1;
  size_t bytes = 0;
  Buffer rows;
  uint32_t degree = 0;
  uint32_t done = 0;  // rows of the result

  Gather(const Layer& layer, size_t index, uint32_t ring_degree)
      : op(index), in(layer.out), ring_rows(rows_of(layer.ops[index])), bytes(bytes_of(layer.ops[index], in, ring_degree)),
        rows(make_buffer(bytes)), degree(ring_degree) {}
  ~Gather() { wipe(rows.get(), bytes); }
  Gather(const Gather&) = delete;
  static uint32_t rows_of(const ClientOp& op) {
    return static_cast<uint32_t>(std::max(op.window.span_h(), int32_t{op.window.stride_h}));
  }
  static uint64_t bytes_of(const ClientOp& op, const MapShape& in, uint32_t degree) {
    return uint64_t{rows_of(op)} * in.width * in.channels * degree * sizeof(float);
  }
  float* at(uint32_t y, size_t x, uint32_t channel) const {
    const size_t pixel = size_t{y % ring_rows} * in.width + x;
    return reinterpret_cast<float*>(rows.get()) + (pixel * in.channels + channel) * degree;
  }
};

Client::Client(const Network& network, const Scaling& scaling, uint32_t images)
    : net_(network), scaling_(scaling), images_(images) {}

Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::make(const Network& network, const Scaling& scaling, uint32_t images, CpuMask cpu,
                                             uint32_t threads) {
  if (images < 1 || images > scaling.ring.degree) {
    return Error(ErrorCode::kInvalidInput, "a batch of %u images; this plan takes 1 to %u", images, scaling.ring.degree);
  }
  std::unique_ptr<Client> client(new Client(network, scaling, images));
  client->cpu_ = cpu;
  CARREL_ASSIGN(client->key_, ClientKey::make(scaling.ring, cpu));
  client->first_ids_ = first_ids(network);
  for (uint32_t i = 0; i < std::max(1u, threads); ++i) {
    client->threads_.push_back(std::make_unique<Thread>(*client->key_, scaling.ring));
  }
  uint64_t gathered = 0;
  for (const Layer& layer : network.layers) {
    client->taken_.push_back(std::make_unique<std::atomic<uint8_t>[]>(layer.out.count()));
    const auto op = std::find_if(layer.ops.begin(), layer.ops.end(), [](const ClientOp& o) { return !o.elementwise(); });
    client->gathers_.emplace_back();
    if (op == layer.ops.end()) continue;
    gathered += Gather::bytes_of(*op, layer.out, scaling.ring.degree);
    if (gathered > kMostGatheredBytes) return Error(ErrorCode::kUnsupported, "%s: its rows are too large to gather", layer.name.c_str());
    client->gathers_.back() = std::make_unique<Gather>(layer, static_cast<size_t>(op - layer.ops.begin()), scaling.ring.degree);
  }
  for (const Shape& shape : network.output_shapes) client->outputs_.emplace_back(static_cast<size_t>(shape.count()) * images);
  return client;
}

Status Client::send_input(int input, std::span<const float> values, uint32_t y, const Send& send) {
  const auto found = std::find_if(net_.tensors.begin(), net_.tensors.end(), [&](const TensorInfo& t) { return t.input == input; });
  const TensorId tensor = static_cast<TensorId>(found - net_.tensors.begin());
  const MapShape& shape = found->shape;
  if (values.size() != shape.count() * images_ || y >= shape.height) return Error(ErrorCode::kInvalidInput, "input %d has another shape", input);
  const uint32_t degree = scaling_.ring.degree;
  const size_t bytes = scaling_.ring.polynomial_bytes();
  return in_parallel(threads(), shape.width, [&](uint32_t x, uint32_t index) -> Status {
    Thread& thread = *threads_[index];
    thread.b.resize(shape.channels * bytes);
    for (uint32_t c = 0; c < shape.channels; ++c) {
      const size_t element = (size_t{c} * shape.height + y) * shape.width + x;
      float* numbers = thread.numbers();
      for (uint32_t i = 0; i < degree; ++i) numbers[i] = i < images_ ? values[i * shape.count() + element] : 0.0f;
      thread.user.encrypt(cipher_id(first_ids_[static_cast<size_t>(tensor)], shape, y, x, c), numbers,
                          scaling_.tensors[static_cast<size_t>(tensor)], thread.b.data() + c * bytes);
    }
    return send(tensor, y, x, 0, shape.channels, thread.b.data());
  });
}

void Client::apply(const ClientOp& op, float* values) const {
  // One row of one block, as wide as it takes.
  RowRing row;
  row.base = values;
  row.shape.channels = kLanes;
  row.shape.height = 1;
  row.shape.width = scaling_.ring.degree / kLanes;
  row.ring_rows = 1;
  row_kernels(cpu_).unary({row, row, 0, 1, nullptr, false, op.unary, {0, 1}});
}

void Client::keep_output(const Layer& layer, const LayerScales& scales, uint32_t y, uint32_t x, uint32_t channel, const float* values) {
  std::vector<float>& out = outputs_[static_cast<size_t>(layer.output)];
  // Eight deviations: what is left says nothing of the noise, and so nothing of the key.
  const double quantum = std::exp2(std::ceil(std::log2(8 * std::max(scales.noise, 1e-30))));
  const size_t element = (size_t{channel} * layer.result.height + y) * layer.result.width + x;
  for (uint32_t i = 0; i < images_; ++i) {
    out[i * layer.result.count() + element] = static_cast<float>(std::round(values[i] / quantum) * quantum);
  }
}

Status Client::take(size_t index, const Place& place, const std::byte* a, const std::byte* b, uint32_t thread_index, const Send& send) {
  const Layer& layer = net_.layers[index];
  const LayerScales& scales = scaling_.layers[index];
  if (place.y >= layer.out.height || place.x >= layer.out.width || place.count > layer.out.channels ||
      place.channel > layer.out.channels - place.count) {
    return Error(ErrorCode::kInvalidInput, "%s: the server sent what is not part of the layer", layer.name.c_str());
  }
  Thread& thread = *threads_[thread_index];
  const Gather* gather = gathers_[index].get();
  const size_t bytes = scaling_.ring.polynomial_bytes(), ops = gather != nullptr ? gather->op : layer.ops.size();
  thread.b.resize(layer.out.channels * bytes);
  for (uint32_t i = 0; i < place.count; ++i) {
    const uint32_t c = place.channel + i;
    if (taken_[index][(size_t{place.y} * layer.out.width + place.x) * layer.out.channels + c].exchange(1) != 0) {
      return Error(ErrorCode::kInvalidInput, "%s: the server sent row %u, column %u twice", layer.name.c_str(), place.y, place.x);
    }
    float* numbers = gather != nullptr ? gather->at(place.y, place.x, c) : thread.numbers();
    std::copy_n(b + i * bytes, bytes, thread.decrypted.get());
    thread.user.decrypt(a + i * bytes, thread.decrypted.get(), static_cast<float>(scales.out[c]), numbers);
    for (size_t k = 0; k < ops; ++k) apply(layer.ops[k], numbers);
    if (gather == nullptr) pass_on(index, place.y, place.x, c, numbers, &thread);
  }
  if (gather != nullptr || layer.target == kNoTensor) return ok_status();
  return send(layer.target, place.y, place.x, layer.target_channel + place.channel, place.count, thread.b.data() + place.channel * bytes);
}

// To the network's output, and encrypted to thread->b.
void Client::pass_on(size_t index, uint32_t y, uint32_t x, uint32_t channel, const float* values, Thread* thread) {
  const Layer& layer = net_.layers[index];
  if (layer.output >= 0) keep_output(layer, scaling_.layers[index], y, x, channel, values);
  if (layer.target == kNoTensor) return;
  const size_t target = static_cast<size_t>(layer.target);
  const uint64_t id = cipher_id(first_ids_[target], net_.tensors[target].shape, y, x, layer.target_channel + channel);
  thread->user.encrypt(id, values, scaling_.tensors[target], thread->b.data() + channel * scaling_.ring.polynomial_bytes());
}

void Client::pool(const Gather& gather, const Window& w, uint32_t y, uint32_t x, uint32_t channel, float* out) const {
  std::fill_n(out, gather.degree, -INFINITY);
  for (uint32_t kh = 0; kh < w.kernel_h; ++kh) {
    const int64_t iy = int64_t{y} * w.stride_h + kh * w.dilation_h - w.pad_top;
    if (iy < 0 || iy >= gather.in.height) continue;
    for (uint32_t kw = 0; kw < w.kernel_w; ++kw) {
      const int64_t ix = int64_t{x} * w.stride_w + kw * w.dilation_w - w.pad_left;
      if (ix < 0 || ix >= gather.in.width) continue;
      const float* in = gather.at(static_cast<uint32_t>(iy), static_cast<size_t>(ix), channel);
      for (uint32_t i = 0; i < gather.degree; ++i) out[i] = in[i] > out[i] ? in[i] : out[i];
    }
  }
}

// In place, of every channel of a pixel.
void Client::softmax(const Gather& gather, bool logarithm, uint32_t y, uint32_t x, Thread* thread) const {
  float *most = thread->numbers(1), *sum = thread->numbers(2);
  std::fill_n(most, gather.degree, -INFINITY);
  std::fill_n(sum, gather.degree, 0.0f);
  for (uint32_t c = 0; c < gather.in.channels; ++c) {
    const float* in = gather.at(y, x, c);
    for (uint32_t i = 0; i < gather.degree; ++i) most[i] = std::max(most[i], in[i]);
  }
  const ClientOp exponential{ClientOp::Kind::kUnary, {UnaryFn::kExp, 0, 0}, {}};
  float* part = thread->numbers();
  for (uint32_t c = 0; c < gather.in.channels; ++c) {
    float* in = gather.at(y, x, c);
    for (uint32_t i = 0; i < gather.degree; ++i) part[i] = in[i] -= most[i];
    apply(exponential, part);
    for (uint32_t i = 0; i < gather.degree; ++i) sum[i] += part[i];
    if (!logarithm) std::copy_n(part, gather.degree, in);
  }
  if (logarithm) apply({ClientOp::Kind::kUnary, {UnaryFn::kLog, 0, 0}, {}}, sum);
  for (uint32_t c = 0; c < gather.in.channels; ++c) {
    float* in = gather.at(y, x, c);
    for (uint32_t i = 0; i < gather.degree; ++i) in[i] = logarithm ? in[i] - sum[i] : in[i] / sum[i];
  }
}

Status Client::finish_pixel(size_t index, uint32_t y, uint32_t x, Thread* thread, const Send& send) {
  const Layer& layer = net_.layers[index];
  const Gather& gather = *gathers_[index];
  const ClientOp& op = layer.ops[gather.op];
  const bool pooled = op.kind == ClientOp::Kind::kMaxPool;
  thread->b.resize(layer.out.channels * scaling_.ring.polynomial_bytes());
  if (!pooled) softmax(gather, op.kind == ClientOp::Kind::kLogSoftmax, y, x, thread);
  for (uint32_t c = 0; c < layer.out.channels; ++c) {
    float* out = thread->numbers();
    if (pooled) pool(gather, op.window, y, x, c, out);
    else std::copy_n(gather.at(y, x, c), gather.degree, out);
    for (size_t i = gather.op + 1; i < layer.ops.size(); ++i) apply(layer.ops[i], out);
    pass_on(index, y, x, c, out, thread);
  }
  if (layer.target == kNoTensor) return ok_status();
  return send(layer.target, y, x, layer.target_channel, layer.out.channels, thread->b.data());
}

Status Client::finish_row(size_t index, uint32_t y, const Send& send) {
  Gather* gather = gathers_[index].get();
  if (gather == nullptr) return ok_status();
  const Layer& layer = net_.layers[index];
  const Window& w = layer.ops[gather->op].window;
  for (; gather->done < layer.result.height && std::min<int64_t>(w.end_row(gather->done), gather->in.height) <= int64_t{y} + 1; ++gather->done) {
    CARREL_RETURN_IF_ERROR(in_parallel(threads(), layer.result.width, [&](uint32_t x, uint32_t thread) {
      return finish_pixel(index, gather->done, x, threads_[thread].get(), send);
    }));
  }
  return ok_status();
}

}  // namespace carrel::he
