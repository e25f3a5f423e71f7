#include "tests/he/local.h"

#include <chrono>
#include <cstring>

#include "he/client/client.h"
#include "he/server/evaluator.h"

namespace carrel::he {
namespace {

class MemoryRows final : public RowSource {
 public:
  MemoryRows(const Network& network, const RingParams& ring) : network_(network), bytes_(ring.polynomial_bytes()) {
    for (const TensorInfo& t : network.tensors) rows_.emplace_back(t.shape.height);
  }
  Result<const std::byte*> row(TensorId tensor, uint32_t y) override {
    const Buffer& row = rows_[static_cast<size_t>(tensor)][y];
    if (row == nullptr) return Error(ErrorCode::kIo, "row %u of tensor %d is not there yet", y, tensor);
    return row.get();
  }
  void done(const Reader&, uint32_t) override {}

  void prepare(TensorId tensor) {
    const MapShape& shape = network_.tensors[static_cast<size_t>(tensor)].shape;
    for (Buffer& row : rows_[static_cast<size_t>(tensor)]) {
      if (row == nullptr) row = make_buffer(size_t{shape.width} * shape.channels * bytes_);
    }
  }
  Status put(TensorId tensor, uint32_t y, uint32_t x, uint32_t channel, uint32_t count, const std::byte* b) {
    const MapShape& shape = network_.tensors[static_cast<size_t>(tensor)].shape;
    std::memcpy(rows_[static_cast<size_t>(tensor)][y].get() + (size_t{x} * shape.channels + channel) * bytes_, b, count * bytes_);
    return ok_status();
  }
  void drop(TensorId tensor) {
    for (Buffer& row : rows_[static_cast<size_t>(tensor)]) row.reset();
  }

 private:
  const Network& network_;
  size_t bytes_;
  std::vector<std::vector<Buffer>> rows_;
};

Tensor first_images(const Tensor& t, int64_t count) {
  Shape shape = t.shape;
  const int64_t each = t.count() / shape[0];
  shape[0] = std::min(count, shape[0]);
  return Tensor::from_f32(shape, t.f32().first(static_cast<size_t>(each * shape[0])));
}

Status run_layers(const Network& net, const Scaling& scaling, const std::vector<Tensor>& inputs, CpuMask cpu, uint32_t threads,
                  std::vector<std::vector<float>>* outputs) {
  const uint32_t images = static_cast<uint32_t>(inputs[0].shape[0]);
  CARREL_ASSIGN(const auto client, Client::make(net, scaling, images, cpu, threads));
  Evaluator evaluator(net, scaling, client->seed(), cpu, threads);
  MemoryRows rows(net, scaling.ring);
  const Client::Send send = [&](TensorId t, uint32_t y, uint32_t x, uint32_t c, uint32_t n, const std::byte* b) { return rows.put(t, y, x, c, n, b); };
  for (size_t t = 0; t < net.tensors.size(); ++t) {
    if (net.tensors[t].input < 0) continue;
    rows.prepare(static_cast<TensorId>(t));
    for (uint32_t y = 0; y < net.tensors[t].shape.height; ++y) {
      CARREL_RETURN_IF_ERROR(client->send_input(net.tensors[t].input, inputs[static_cast<size_t>(net.tensors[t].input)].f32(), y, send));
    }
  }
  std::vector<size_t> last_use(net.tensors.size());
  for (size_t l = 0; l < net.layers.size(); ++l) {
    last_use[static_cast<size_t>(net.layers[l].input)] = l;
    if (net.layers[l].addend != kNoTensor) last_use[static_cast<size_t>(net.layers[l].addend)] = l;
  }
  for (size_t l = 0; l < net.layers.size(); ++l) {
    const Layer& layer = net.layers[l];
    if (layer.target != kNoTensor) rows.prepare(layer.target);
    for (uint32_t y = 0; y < layer.out.height; ++y) {
      CARREL_RETURN_IF_ERROR(evaluator.row(l, y, &rows, [&](uint32_t x, const std::byte* a, const std::byte* b, uint32_t thread) {
        return client->take(l, {y, x, 0, layer.out.channels}, a, b, thread, send);
      }));
      CARREL_RETURN_IF_ERROR(client->finish_row(l, y, send));
    }
    for (size_t t = 0; t < last_use.size(); ++t) {
      if (last_use[t] == l) rows.drop(static_cast<TensorId>(t));
    }
  }
  for (size_t i = 0; i < net.output_names.size(); ++i) outputs->push_back(client->output(static_cast<int>(i)));
  return ok_status();
}

}  // namespace

Result<LocalRun> run_locally(const Graph& graph, const std::vector<Tensor>& inputs, const RingParams& ring, int64_t calibration,
                             CpuMask cpu, uint32_t threads) {
  LocalRun run;
  CARREL_ASSIGN(run.network, cut_network(graph));
  std::vector<Tensor> sample;
  for (const Tensor& t : inputs) sample.push_back(first_images(t, calibration));
  CARREL_ASSIGN(const Ranges ranges, measure_ranges(run.network, sample));
  CARREL_ASSIGN(run.scaling, choose_scales(run.network, ranges, ring));
  const auto start = std::chrono::steady_clock::now();
  CARREL_RETURN_IF_ERROR(run_layers(run.network, run.scaling, inputs, cpu, threads, &run.outputs));
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return run;
}

}  // namespace carrel::he
