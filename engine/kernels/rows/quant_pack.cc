#include <cstring>

#include "engine/kernels/rows/rows.h"

namespace carrel {
namespace {

class QuantWriter {
 public:
  QuantWriter(const QuantWeights& weights, size_t channels, std::span<std::byte> stream)
      : weights_(weights), channels_(channels), stream_(stream) {}

  // [bias][multipliers] of channels [begin, begin + width); zero beyond the last.
  void put_head(size_t begin, size_t width) {
    for (size_t c = begin; c < begin + width; ++c) put(c < channels_ ? weights_.bias[c] : 0);
    for (size_t c = begin; c < begin + width; ++c) put(c < channels_ ? weights_.multipliers[c] : 0.0f);
  }
  // The weights of channel `c` at `first`, `first + step`, ...: `count` of them, then zeros.
  void put_quad(size_t c, size_t first, size_t step, size_t count) {
    int8_t quad[4] = {};
    for (size_t i = 0; i < count && c < channels_; ++i) quad[i] = weights_.weights[first + i * step];
    put(quad);
  }
  bool full() const { return used_ == stream_.size(); }

 private:
  template <typename T>
  void put(const T& value) {
    CARREL_CHECK(sizeof(T) <= stream_.size() - used_);
    std::memcpy(stream_.data() + used_, &value, sizeof(T));
    used_ += sizeof(T);
  }

  const QuantWeights& weights_;
  size_t channels_;
  std::span<std::byte> stream_;
  size_t used_ = 0;
};

void pack_conv(const WeightsShape& shape, QuantWriter& out) {
  const size_t ins = shape.in_channels, area = size_t{shape.kernel_h} * shape.kernel_w;
  for (size_t begin = 0; begin < shape.out_channels; begin += kPanelWidth) {
    const size_t width = panel_width(shape, static_cast<uint32_t>(begin / kPanelWidth));
    out.put_head(begin, width);
    for (size_t block = 0; block < ins; block += kLanes) {
      const size_t end = ins - block < kLanes ? ins : block + kLanes;
      for (size_t position = 0; position < area; ++position) {
        for (size_t i = block; i < end; i += 4) {
          const size_t count = end - i < 4 ? end - i : 4;
          for (size_t c = begin; c < begin + width; ++c) {
            out.put_quad(c, (c * ins + i) * area + position, area, count);
          }
        }
      }
    }
  }
}

void pack_depthwise(const WeightsShape& shape, QuantWriter& out) {
  const size_t width = shape.kernel_w;
  for (size_t block = 0; block < shape.out_channels; block += kLanes) {
    out.put_head(block, kLanes);
    for (size_t h = 0; h < shape.kernel_h; ++h) {
      for (size_t w = 0; w < width; w += 4) {
        const size_t count = width - w < 4 ? width - w : 4;
        for (size_t c = block; c < block + kLanes; ++c) {
          out.put_quad(c, (c * shape.kernel_h + h) * width + w, 1, count);
        }
      }
    }
  }
}

}  // namespace

void pack_quant_weights(const TileGrid& grid, const QuantWeights& weights, std::span<std::byte> stream) {
  const WeightsShape& shape = grid.shape;
  const bool conv = shape.kind == WeightsKind::kQuantConv;
  CARREL_CHECK(conv || shape.kind == WeightsKind::kQuantDepthwise);
  const size_t ins = conv ? shape.in_channels : 1;
  CARREL_CHECK(weights.weights.size() == shape.out_channels * ins * shape.kernel_h * shape.kernel_w);
  CARREL_CHECK(weights.bias.size() == shape.out_channels && weights.multipliers.size() == shape.out_channels);
  CARREL_CHECK(stream.size() == grid.stored_bytes);
  QuantWriter out(weights, shape.out_channels, stream);
  conv ? pack_conv(shape, out) : pack_depthwise(shape, out);
  CARREL_CHECK(out.full());
}

}  // namespace carrel
