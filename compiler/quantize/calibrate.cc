#include "compiler/quantize/calibrate.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "compiler/eval/eval.h"

namespace carrel {
namespace {

Result<int64_t> count_images(const Graph& graph, const std::vector<Tensor>& inputs) {
  int64_t images = 0;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const Value& value = graph.value(graph.inputs[i]);
    const bool fits = i < inputs.size() && inputs[i].type == value.type &&
                      inputs[i].shape.rank() == value.shape.rank() && value.shape.count() > 0 &&
                      inputs[i].count() % value.shape.count() == 0;
    const int64_t own = fits ? inputs[i].count() / value.shape.count() : 0;
    if (own < 1 || (i > 0 && own != images)) {
      return Error(ErrorCode::kInvalidInput,
                   "input %s: what is to be calibrated on does not fit it", value.name.c_str());
    }
    images = own;
  }
  if (images == 0) return Error(ErrorCode::kInvalidInput, "the network has no inputs");
  return images;
}

// Takes the images one by one until none is left, together with others.
class Worker {
 public:
  Worker(const Graph& graph, const std::vector<Tensor>& inputs)
      : graph_(graph), inputs_(inputs), histograms_(graph.values.size()) {}

  void run(std::atomic<int64_t>* next, int64_t images, const std::function<void()>& done) {
    for (int64_t n; status_.ok() && (n = next->fetch_add(1)) < images;) {
      status_ = one(static_cast<size_t>(n));
      done();
    }
  }
  const Status& status() const { return status_; }
  std::vector<Histogram>& histograms() { return histograms_; }

 private:
  Status one(size_t n) {
    std::vector<Tensor> image;
    for (size_t i = 0; i < graph_.inputs.size(); ++i) {
      image.push_back(image_of(inputs_[i], graph_.value(graph_.inputs[i]).shape, n));
    }
    ValueId wrong = kNoValue;
    const auto outputs = eval_graph(graph_, image, [&](ValueId id, const Tensor& tensor) {
      if (tensor.type != DType::kF32) return;
      if (!histograms_[static_cast<size_t>(id)].add(tensor.f32())) wrong = id;
    });
    if (!outputs.ok()) return outputs.error();
    if (wrong == kNoValue) return ok_status();
    return Error(ErrorCode::kInvalidInput, "calibration input %zu: %s is not finite", n,
                 graph_.value(wrong).name.c_str());
  }

  const Graph& graph_;
  const std::vector<Tensor>& inputs_;
  std::vector<Histogram> histograms_;
  Status status_ = ok_status();
};

}  // namespace

Result<std::vector<Histogram>> calibrate(const Graph& graph, const std::vector<Tensor>& inputs,
                                         const QuantizeOptions& options, int64_t* images) {
  CARREL_ASSIGN(*images, count_images(graph, inputs));
  std::atomic<int64_t> next = 0;
  uint64_t finished = 0;
  std::mutex mutex;
  const auto done = [&] {
    const std::lock_guard lock(mutex);
    if (options.progress) options.progress(++finished, static_cast<uint64_t>(*images));
  };
  std::vector<Worker> workers(static_cast<size_t>(std::max(1, options.threads)),
                              Worker(graph, inputs));
  {
    std::vector<std::jthread> threads;
    for (size_t t = 1; t < workers.size(); ++t) {
      threads.emplace_back([&, t] { workers[t].run(&next, *images, done); });
    }
    workers[0].run(&next, *images, done);
  }
  for (const Worker& worker : workers) CARREL_RETURN_IF_ERROR(worker.status());
  for (size_t t = 1; t < workers.size(); ++t) {
    for (size_t v = 0; v < graph.values.size(); ++v) {
      if (workers[t].histograms()[v].count() == 0) continue;
      workers[0].histograms()[v].merge(workers[t].histograms()[v]);
    }
  }
  return std::move(workers[0].histograms());
}

}  // namespace carrel
