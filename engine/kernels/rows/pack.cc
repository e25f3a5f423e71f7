#include <cstring>

#include "base/half.h"
#include "engine/kernels/rows/pack_dense.h"
#include "engine/kernels/rows/rows.h"

namespace carrel {
namespace {

class StreamWriter {
 public:
  explicit StreamWriter(std::span<std::byte> stream) : stream_(stream) {}

  void put_float(float value) { put(&value, sizeof(value)); }
  void put_stored(float value, StoredType type) {
    if (type == StoredType::kF32) return put_float(value);
    const uint16_t half = f16_from_f32(value);
    put(&half, sizeof(half));
  }
  void pad_to_end() { std::memset(stream_.data() + used_, 0, stream_.size() - used_); }

 private:
  void put(const void* data, size_t bytes) {
    CARREL_CHECK(bytes <= stream_.size() - used_);
    std::memcpy(stream_.data() + used_, data, bytes);
    used_ += bytes;
  }
  std::span<std::byte> stream_;
  size_t used_ = 0;
};

void put_bias(StreamWriter& out, std::span<const float> bias, size_t begin, size_t width,
              size_t channels) {
  for (size_t c = begin; c < begin + width; ++c) {
    out.put_float(c < channels && !bias.empty() ? bias[c] : 0.0f);
  }
}

void pack_conv(const WeightsShape& shape, std::span<const float> weights,
               std::span<const float> bias, StreamWriter& out) {
  const size_t in = shape.in_channels, channels = shape.out_channels;
  const size_t area = size_t{shape.kernel_h} * shape.kernel_w;
  for (size_t begin = 0; begin < channels; begin += kPanelWidth) {
    const size_t width = panel_width(shape, static_cast<uint32_t>(begin / kPanelWidth));
    put_bias(out, bias, begin, width, channels);
    for (size_t block = 0; block < in; block += 16) {
      for (size_t position = 0; position < area; ++position) {
        for (size_t i = block; i < in && i < block + 16; ++i) {
          for (size_t c = begin; c < begin + width; ++c) {
            out.put_stored(c < channels ? weights[(c * in + i) * area + position] : 0.0f,
                           shape.stored);
          }
        }
      }
    }
  }
}

void pack_depthwise(const WeightsShape& shape, std::span<const float> weights,
                    std::span<const float> bias, StreamWriter& out) {
  const size_t channels = shape.out_channels, area = size_t{shape.kernel_h} * shape.kernel_w;
  for (size_t block = 0; block < channels; block += 16) {
    put_bias(out, bias, block, 16, channels);
    for (size_t position = 0; position < area; ++position) {
      for (size_t c = block; c < block + 16; ++c) {
        out.put_stored(c < channels ? weights[c * area + position] : 0.0f, shape.stored);
      }
    }
  }
}

void pack_vectors(const WeightsShape& shape, std::span<const float> weights, StreamWriter& out) {
  const size_t channels = shape.out_channels, rows = size_t{shape.kernel_h} * shape.kernel_w;
  for (size_t block = 0; block < channels; block += 16) {
    for (size_t row = 0; row < rows; ++row) {
      for (size_t c = block; c < block + 16; ++c) {
        out.put_float(c < channels ? weights[row * channels + c] : 0.0f);
      }
    }
  }
}

size_t expected_weights(const WeightsShape& shape) {
  const size_t area = size_t{shape.kernel_h} * shape.kernel_w;
  switch (shape.kind) {
    case WeightsKind::kConv:
    case WeightsKind::kDense:
      return shape.out_channels * size_t{shape.in_channels} * area;
    case WeightsKind::kDepthwise:
    case WeightsKind::kVectors:
      return shape.out_channels * area;
    case WeightsKind::kPlain:
      return shape.element_count;
    case WeightsKind::kNone:
    case WeightsKind::kQuantConv:  // pack_quant_weights
    case WeightsKind::kQuantDepthwise:
      break;
  }
  return 0;
}

}  // namespace

void pack_weights(const TileGrid& grid, std::span<const float> weights, std::span<const float> bias,
                  std::span<std::byte> stream) {
  const WeightsShape& shape = grid.shape;
  CARREL_CHECK(weights.size() == expected_weights(shape));
  CARREL_CHECK(bias.empty() || bias.size() == shape.out_channels);
  CARREL_CHECK(stream.size() == grid.stored_bytes);
  if (shape.kind == WeightsKind::kDense) return pack_dense_floats(grid, weights, bias, stream);
  StreamWriter out(stream);
  // Tiles follow one another and panels lie whole and in order, so the stream does not show where
  // it is cut.
  switch (shape.kind) {
    case WeightsKind::kConv:
      pack_conv(shape, weights, bias, out);
      break;
    case WeightsKind::kDepthwise:
      pack_depthwise(shape, weights, bias, out);
      break;
    case WeightsKind::kVectors:
      pack_vectors(shape, weights, out);
      break;
    case WeightsKind::kPlain:
      for (float w : weights) out.put_stored(w, shape.stored);
      break;
    case WeightsKind::kDense:
    case WeightsKind::kNone:
    case WeightsKind::kQuantConv:
    case WeightsKind::kQuantDepthwise:
      break;
  }
  out.pad_to_end();
}

}  // namespace carrel
