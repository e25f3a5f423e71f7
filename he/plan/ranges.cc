#include <algorithm>
#include <cmath>

#include "compiler/eval/eval.h"
#include "he/plan/scales.h"

namespace carrel::he {
namespace {

class Observer {
 public:
  Observer(const Network& network, Ranges* ranges) : watches_(network.graph.values.size()) {
    ranges->tensors.resize(network.tensors.size());
    ranges->layers.resize(network.layers.size());
    for (size_t l = 0; l < network.layers.size(); ++l) watch(network.layers[l].value, &ranges->layers[l]);
    for (size_t t = 0; t < network.tensors.size(); ++t) {
      for (ValueId v : network.tensors[t].values) watch(v, &ranges->tensors[t]);
    }
  }

  void see(ValueId id, const Tensor& t) {
    const std::vector<size_t>& watches = watches_[static_cast<size_t>(id)];
    if (watches.empty()) return;
    const std::span<const float> x = t.f32();
    double square = 0;
    float most = 0;
    for (float v : x) {
      most = std::max(most, std::abs(v));
      square += static_cast<double>(v) * v;
    }
    for (size_t i : watches) {
      Sum& sum = sums_[i];
      sum.values->most = std::max(sum.values->most, most);
      sum.square += square;
      sum.count += static_cast<double>(x.size());
    }
  }

  void finish() {
    for (const Sum& sum : sums_) sum.values->mean_square = sum.square / std::max(1.0, sum.count);
  }

 private:
  struct Sum {
    Ranges::Values* values;
    double square = 0, count = 0;
  };
  void watch(ValueId id, Ranges::Values* values) {
    if (sums_.empty() || sums_.back().values != values) sums_.push_back({values});
    watches_[static_cast<size_t>(id)].push_back(sums_.size() - 1);
  }

  std::vector<std::vector<size_t>> watches_;  // by value of the cut graph
  std::vector<Sum> sums_;
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
