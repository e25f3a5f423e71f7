#include "he/plan/scales.h"

#include <algorithm>
#include <cmath>

#include "he/ring/sampler.h"

namespace carrel::he {
namespace {

constexpr double kRounding = 0.28867513459481287;  // deviation of what rounding to integers does: 1 / sqrt(12)

double noise_and_rounding() { return std::hypot(kNoiseDeviation, kRounding); }

class Chooser {
 public:
  Chooser(const Network& network, const Ranges& ranges, const RingParams& ring)
      : net_(network), ranges_(ranges), half_(std::ldexp(1.0, static_cast<int>(ring.modulus_bits) - 1)),
        most_weight_(ring.modulus_bits == 32 ? 32767.0 : std::ldexp(1.0, 25)) {
    out_.ring = ring;
  }

  Result<Scaling> run() {
    for (size_t t = 0; t < net_.tensors.size(); ++t) out_.tensors.push_back(tensor_scale(static_cast<TensorId>(t)));
    for (size_t l = 0; l < net_.layers.size(); ++l) {
      CARREL_ASSIGN(LayerScales scales, layer_scales(l));
      out_.layers.push_back(std::move(scales));
    }
    return std::move(out_);
  }

 private:
  static size_t taps(const Layer& layer) { return layer.weights.size() / layer.out.channels; }  // of one output
  double rms(TensorId t) const { return std::sqrt(ranges_.tensors[static_cast<size_t>(t)].mean_square); }
  double weight_norm(const Layer& layer, size_t output) const {
    double square = 0;
    for (size_t i = 0; i < taps(layer); ++i) {
      const double w = layer.weights[output * taps(layer) + i];
      square += w * w;
    }
    return std::sqrt(square);
  }
  // What the scale of its outputs may be at most: s S_o. One for all channels: few images say little of the range of one.
  double most_scale(size_t l) const { return half_ / (kHeadroom * std::max(ranges_.layers[l].most, 1e-9f)); }

  float tensor_scale(TensorId t) const {
    double logs = 0;
    int readers = 0;
    for (size_t l = 0; l < net_.layers.size(); ++l) {
      const Layer& layer = net_.layers[l];
      if (layer.input != t) continue;
      double norm = 0;
      for (size_t o = 0; o < layer.out.channels; ++o) norm += weight_norm(layer, o) / layer.out.channels;
      const double from_tensor = noise_and_rounding() * std::max(norm, 1e-9);
      const double from_weights = kRounding * std::max(rms(t), 1e-9) * std::sqrt(static_cast<double>(taps(layer)));
      logs += 0.5 * (std::log2(most_scale(l)) + std::log2(from_tensor / from_weights));
      ++readers;
    }
    const double wanted = readers > 0 ? logs / readers : std::log2(half_) / 2;
    const double most = std::log2(half_ / 2 / (kHeadroom * std::max(ranges_.tensors[static_cast<size_t>(t)].most, 1e-9f)));
    return static_cast<float>(std::ldexp(1.0, static_cast<int>(std::floor(std::min(wanted, most)))));
  }

  Result<LayerScales> layer_scales(size_t l) const {
    const Layer& layer = net_.layers[l];
    const double in_scale = out_.tensors[static_cast<size_t>(layer.input)];
    LayerScales s;
    s.weights.resize(layer.weights.size());
    s.margin_bits = 64;
    double noise = 0, error = 0;
    for (size_t o = 0; o < layer.out.channels; ++o) {
      const float* w = &layer.weights[o * taps(layer)];
      double largest = 1e-30;
      for (size_t i = 0; i < taps(layer); ++i) largest = std::max(largest, std::abs(static_cast<double>(w[i])));
      double weight_scale = std::min(most_scale(l) / in_scale, most_weight_ / largest);
      if (layer.addend != kNoTensor) {
        const double other = out_.tensors[static_cast<size_t>(layer.addend)];
        const double factor = std::floor(in_scale * weight_scale / other);
        if (factor < 1) return no_room(layer);
        s.addend.push_back(static_cast<int32_t>(std::min(factor, 2147483647.0)));
        weight_scale = s.addend.back() * other / in_scale;
      }
      if (weight_scale * largest < 1) return no_room(layer);
      for (size_t i = 0; i < taps(layer); ++i) s.weights[o * taps(layer) + i] = static_cast<int32_t>(std::lround(w[i] * weight_scale));
      const double scale = in_scale * weight_scale;
      s.out.push_back(scale);
      s.bias.push_back(std::llround(layer.bias[o] * scale));
      s.margin_bits = std::min(s.margin_bits, std::log2(half_ / std::max(1.0, scale * ranges_.layers[l].most)));
      const double sums = sum_deviation(s, layer, o, kNoiseDeviation) / scale;
      const double all = std::hypot(sum_deviation(s, layer, o, noise_and_rounding()) / scale,
                                    kRounding * rms(layer.input) * std::sqrt(static_cast<double>(taps(layer))) / weight_scale);
      noise += sums * sums / layer.out.channels;
      error += all * all / layer.out.channels;
    }
    s.noise = std::sqrt(noise);
    s.error = std::sqrt(error);
    return s;
  }

  // Of output `o`, in integers, where every ciphertext has noise of that deviation.
  static double sum_deviation(const LayerScales& s, const Layer& layer, size_t o, double deviation) {
    double square = 0;
    for (size_t i = 0; i < taps(layer); ++i) {
      const double w = s.weights[o * taps(layer) + i];
      square += w * w;
    }
    if (!s.addend.empty()) square += static_cast<double>(s.addend[o]) * s.addend[o];
    return deviation * std::sqrt(square);
  }

  Error no_room(const Layer& layer) const {
    return Error(ErrorCode::kUnsupported, "%s: a modulus of 2^%u is too small for its values; choose a wider one", layer.name.c_str(),
                 out_.ring.modulus_bits);
  }

  const Network& net_;
  const Ranges& ranges_;
  double half_, most_weight_;
  Scaling out_;
};

}  // namespace

Result<Scaling> choose_scales(const Network& network, const Ranges& ranges, const RingParams& ring) {
  CARREL_RETURN_IF_ERROR(check_ring(ring));
  return Chooser(network, ranges, ring).run();
}

}  // namespace carrel::he
