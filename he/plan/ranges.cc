#include <algorithm>
#include <cmath>

#include "compiler/eval/eval.h"
#include "he/plan/scales.h"

namespace carrel::he {
namespace {

// By value of the cut graph: who wants to know.
struct Watch {
  std::vector<int> layers, tensors;
};

class Observer {
 public:
  Observer(const Network& network, Ranges* ranges) : ranges_(*ranges), watches_(network.graph.values.size()) {
    for (size_t l = 0; l < network.layers.size(); ++l) {
      const Layer& layer = network.layers[l];
      watches_[static_cast<size_t>(layer.value)].layers.push_back(static_cast<int>(l));
      ranges_.layers.emplace_back(layer.out.channels, 0.0f);
    }
    for (size_t t = 0; t < network.tensors.size(); ++t) {
      for (ValueId v : network.tensors[t].values) watches_[static_cast<size_t>(v)].tensors.push_back(static_cast<int>(t));
    }
    ranges_.tensors.resize(network.tensors.size());
    ranges_.layer_mean_square.resize(network.layers.size());
    tensor_count_.resize(network.tensors.size());
    layer_count_.resize(network.layers.size());
  }

  void see(ValueId id, const Tensor& t) {
    const Watch& watch = watches_[static_cast<size_t>(id)];
    if (watch.layers.empty() && watch.tensors.empty()) return;
    const std::span<const float> x = t.f32();
    double square = 0;
    float most = 0;
    for (float v : x) {
      most = std::max(most, std::abs(v));
      square += static_cast<double>(v) * v;
    }
    for (int i : watch.tensors) {
      Ranges::Tensor& range = ranges_.tensors[static_cast<size_t>(i)];
      range.most = std::max(range.most, most);
      range.mean_square += square;
      tensor_count_[static_cast<size_t>(i)] += static_cast<double>(x.size());
    }
    for (int i : watch.layers) see_layer(static_cast<size_t>(i), x, square);
  }

  void finish() {
    for (size_t i = 0; i < tensor_count_.size(); ++i) ranges_.tensors[i].mean_square /= std::max(1.0, tensor_count_[i]);
    for (size_t i = 0; i < layer_count_.size(); ++i) ranges_.layer_mean_square[i] /= std::max(1.0, layer_count_[i]);
  }

 private:
  void see_layer(size_t l, std::span<const float> x, double square) {
    std::vector<float>& channels = ranges_.layers[l];
    const size_t plane = x.size() / channels.size();
    for (size_t c = 0; c < channels.size(); ++c) {
      for (size_t i = 0; i < plane; ++i) channels[c] = std::max(channels[c], std::abs(x[c * plane + i]));
    }
    ranges_.layer_mean_square[l] += square;
    layer_count_[l] += static_cast<double>(x.size());
  }

  Ranges& ranges_;
  std::vector<Watch> watches_;
  std::vector<double> tensor_count_, layer_count_;
};

}  // namespace

Result<Ranges> measure_ranges(const Network& network, const std::vector<Tensor>& inputs) {
  const Graph& g = network.graph;
  if (inputs.size() != g.inputs.size()) return Error(ErrorCode::kInvalidInput, "calibration: %zu inputs, the network has %zu", inputs.size(), g.inputs.size());
  Ranges ranges;
  ranges.images = inputs[0].shape[0] / std::max<int64_t>(1, g.value(g.inputs[0]).shape[0]);
  if (ranges.images < 1) return Error(ErrorCode::kInvalidInput, "calibration needs at least one input");
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& one = g.value(g.inputs[i]).shape;
    if (inputs[i].type != DType::kF32 || inputs[i].count() != one.count() * ranges.images) {
      return Error(ErrorCode::kInvalidInput, "calibration: input %zu has another shape or type", i);
    }
  }
  Observer observer(network, &ranges);
  for (int64_t image = 0; image < ranges.images; ++image) {
    std::vector<Tensor> one;
    for (size_t i = 0; i < inputs.size(); ++i) one.push_back(image_of(inputs[i], g.value(g.inputs[i]).shape, static_cast<size_t>(image)));
    for (size_t i = 0; i < one.size(); ++i) observer.see(g.inputs[i], one[i]);
    CARREL_ASSIGN(const std::vector<Tensor> outputs, eval_graph(g, one, [&](ValueId id, const Tensor& t) {
                    if (std::find(g.inputs.begin(), g.inputs.end(), id) == g.inputs.end()) observer.see(id, t);
                  }));
    (void)outputs;
  }
  observer.finish();
  return ranges;
}

}  // namespace carrel::he
