// Quantized convolutions of every ISA against sums in 64 bits, to the bit.
#include "engine/kernels/rows/quant_testing.h"

namespace carrel::testing_rows {
namespace {

struct QuantCase {
  uint32_t in_channels, out_channels, height, width;
  Window window;
  uint32_t in_block = 0, out_block = 0;
  uint8_t x_zero = 131, y_zero = 7, low = 0, high = 255;
};

uint32_t out_size(uint32_t in, int32_t pads, int32_t span, uint32_t stride) {
  return static_cast<uint32_t>(static_cast<int32_t>(in) + pads - span) / stride + 1;
}

// A layer with its numbers and the expected result.
class QuantLayer {
 public:
  QuantLayer(const QuantCase& c, bool depthwise, uint32_t seed) : case_(c), depthwise_(depthwise) {
    const Window& w = c.window;
    oh_ = out_size(c.height, w.pad_top + w.pad_bottom, w.span_h(), w.stride_h);
    ow_ = out_size(c.width, w.pad_left + w.pad_right, w.span_w(), w.stride_w);
    Random random(seed);
    in_ = random_bytes(size_t{c.in_channels} * c.height * c.width, random);
    weights_.resize(size_t{c.out_channels} * inputs() * area());
    for (int8_t& v : weights_) v = static_cast<int8_t>(random.below(256));
    for (uint32_t o = 0; o < c.out_channels; ++o) {
      real_bias_.push_back(static_cast<int32_t>(random.below(20001)) - 10000);
      multipliers_.push_back((0.5f + random.value() / 4) / std::sqrt(static_cast<float>(inputs() * area())) / 64);
    }
    shape_ = {depthwise ? WeightsKind::kQuantDepthwise : WeightsKind::kQuantConv, StoredType::kF32,
              depthwise ? 1 : c.in_channels, c.out_channels, w.kernel_h, w.kernel_w, 0};
    compute();
  }

  const ByteTensor& expected() const { return expected_; }
  uint32_t out_height() const { return oh_; }
  TileGrid grid() const { return *make_tile_grid(shape_); }
  AlignedBytes packed() const {
    const TileGrid g = grid();
    AlignedBytes stream(g.stored_bytes);
    std::vector<int32_t> bias = real_bias_;
    const size_t row = weights_.size() / bias.size();
    for (size_t i = 0; i < weights_.size(); ++i) bias[i / row] -= int32_t{case_.x_zero} * weights_[i];
    pack_quant_weights(g, {weights_, bias, multipliers_}, {stream.data(), stream.size});
    return stream;
  }
  MapShape in_shape() const {
    const Window& w = case_.window;
    const int32_t end = static_cast<int32_t>((ow_ - 1) * w.stride_w) + w.span_w() - w.pad_left;
    const uint32_t right = static_cast<uint32_t>(std::max(0, end - static_cast<int32_t>(case_.width)));
    return byte_shape(case_.in_block * kLanes + case_.in_channels, case_.height, case_.width, w.pad_left, right,
                      case_.x_zero);
  }
  MapShape out_shape() const {
    return byte_shape(case_.out_block * kLanes + case_.out_channels, oh_, ow_, 1, 2, case_.y_zero);
  }
  void fill_input_row(const ByteMap& in, uint32_t y) const {
    for (uint32_t c = 0; c < case_.in_channels; ++c) {
      for (uint32_t x = 0; x < case_.width; ++x) {
        in.at(case_.in_block * kLanes + c, y, x) = in_[(size_t{c} * case_.height + y) * case_.width + x];
      }
    }
  }
  // The layer's own channels of the output.
  ByteTensor result(const ByteMap& out) const {
    const ByteTensor all = out.dense();
    return {all.begin() + static_cast<std::ptrdiff_t>(size_t{case_.out_block} * kLanes * oh_ * ow_), all.end()};
  }

 private:
  uint32_t area() const { return uint32_t{case_.window.kernel_h} * case_.window.kernel_w; }
  uint32_t inputs() const { return depthwise_ ? 1 : case_.in_channels; }

  int64_t sum_at(uint32_t o, uint32_t y, uint32_t x) const {
    const Window& w = case_.window;
    int64_t sum = real_bias_[o];
    for (uint32_t i = 0; i < inputs(); ++i) {
      for (uint32_t t = 0; t < area(); ++t) {
        const int64_t iy = int64_t{y} * w.stride_h - w.pad_top + int64_t{t / w.kernel_w} * w.dilation_h;
        const int64_t ix = int64_t{x} * w.stride_w - w.pad_left + int64_t{t % w.kernel_w} * w.dilation_w;
        if (iy < 0 || ix < 0 || iy >= case_.height || ix >= case_.width) continue;
        const size_t channel = depthwise_ ? o : i;
        const size_t at = (channel * case_.height + static_cast<size_t>(iy)) * case_.width + static_cast<size_t>(ix);
        sum += (int64_t{in_[at]} - case_.x_zero) * weights_[(size_t{o} * inputs() + i) * area() + t];
      }
    }
    return sum;
  }
  void compute() {
    for (uint32_t o = 0; o < case_.out_channels; ++o) {
      for (uint32_t y = 0; y < oh_; ++y) {
        for (uint32_t x = 0; x < ow_; ++x) {
          const float real = static_cast<float>(static_cast<int32_t>(sum_at(o, y, x))) * multipliers_[o];
          expected_.push_back(to_byte(real, case_.y_zero, case_.low, case_.high));
        }
      }
    }
  }

  QuantCase case_;
  bool depthwise_;
  uint32_t oh_ = 0, ow_ = 0;
  WeightsShape shape_;
  ByteTensor in_, expected_;
  std::vector<int8_t> weights_;
  std::vector<int32_t> real_bias_;
  std::vector<float> multipliers_;
};

// How a run is cut into calls; 0: not at all.
struct QuantCut {
  uint32_t taps = 0, panels = 0, rows = 0, ring_rows = 0;
};

uint32_t quads_before(const QuantCase& c, uint32_t tap) {
  uint32_t quads = 0;
  for (uint32_t t = 0; t < tap; ++t) {
    const uint32_t block = t / (uint32_t{c.window.kernel_h} * c.window.kernel_w);
    quads += (std::min(kLanes, c.in_channels - block * kLanes) + 3) / 4;
  }
  return quads;
}

void run_rows(const QuantCase& c, const QuantLayer& layer, const AlignedBytes& stream, const ByteMap& in,
              const ByteMap& out, const QuantCut& cut, RowRange rows, const RowKernels& kernels) {
  const TileGrid grid = layer.grid();
  const uint32_t taps = grid.taps, step = cut.taps ? cut.taps : taps;
  const uint32_t panels = cut.panels ? cut.panels : step < taps ? 1 : grid.panels;
  const AlignedBytes sums(quant_sums_bytes(rows.end - rows.begin, out.ring().shape.width));
  size_t offset = 0;
  for (uint32_t p = 0; p < grid.panels; p += panels) {
    const uint32_t count = std::min(panels, grid.panels - p);
    const size_t width = panel_width(grid.shape, p);
    for (uint32_t t = 0; t < taps; t += step) {
      const size_t before = t == 0 ? 0 : width * 8 + quads_before(c, t) * width * 4;
      kernels.quant_conv({in.ring(), out.ring(), c.in_block, c.out_block, c.in_channels, c.out_channels, p, count, t,
                          std::min(taps, t + step), taps, stream.data() + offset + before,
                          step < taps ? sums.data() : nullptr, c.window, c.low, c.high, rows});
    }
    for (uint32_t i = 0; i < count; ++i) {
      offset += size_t{panel_width(grid.shape, p + i)} * (8 + 4 * quads_before(c, taps));
    }
  }
}

ByteTensor run_conv(const QuantCase& c, const QuantLayer& layer, const QuantCut& cut, const RowKernels& kernels) {
  const AlignedBytes stream = layer.packed();
  const ByteMap in(layer.in_shape(), cut.ring_rows), out(layer.out_shape());
  uint32_t filled = 0;
  const uint32_t height = layer.out_height(), step = cut.rows ? cut.rows : height;
  for (uint32_t y = 0; y < height; y += step) {
    const RowRange rows = {y, std::min(height, y + step)};
    const int32_t wanted = std::min<int32_t>(static_cast<int32_t>(c.height), c.window.end_row(rows.end - 1));
    for (; static_cast<int32_t>(filled) < wanted; ++filled) layer.fill_input_row(in, filled);
    run_rows(c, layer, stream, in, out, cut, rows, kernels);
  }
  return layer.result(out);
}

const QuantCase kCases[] = {
    {1, 1, 1, 1, {}},
    {16, 32, 3, 14, {}},
    {17, 33, 4, 15, {}},
    {64, 70, 5, 29, {}},
    {3, 20, 11, 13, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}},
    {3, 40, 23, 31, {7, 7, 2, 2, 1, 1, 3, 3, 3, 3}},
    {20, 48, 7, 7, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}},
    {33, 17, 9, 5, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}},
    {16, 16, 12, 12, {3, 3, 1, 1, 2, 2, 2, 2, 2, 2}},
    {5, 37, 9, 30, {1, 5, 3, 3, 1, 2, 0, 3, 0, 4}},
    {8, 64, 19, 23, {5, 4, 4, 4, 1, 1, 2, 1, 2, 2}},
    {40, 35, 2, 3, {2, 3, 1, 1, 1, 1, 0, 0, 0, 0}},  // a fully-connected layer over a map
    {301, 47, 1, 1, {}},
    {18, 32, 3, 4, {3, 3, 1, 1, 1, 1, 4, 1, 4, 1}},  // rows whose window lies outside
    {32, 50, 6, 17, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 2, 0, 128, 100, 200},
    {32, 32, 6, 2, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 0, 255, 255, 0, 250},
};

std::string describe(const QuantCase& c) {
  return std::to_string(c.in_channels) + " -> " + std::to_string(c.out_channels) + ", " + std::to_string(c.height) +
         " x " + std::to_string(c.width) + ", kernel " + std::to_string(c.window.kernel_h) + " x " +
         std::to_string(c.window.kernel_w);
}

class QuantConvTest : public ::testing::TestWithParam<CpuMask> {};
INSTANTIATE_TEST_SUITE_P(Masks, QuantConvTest, ::testing::ValuesIn(quant_masks()), quant_mask_name);

TEST_P(QuantConvTest, EqualsIntegerSums) {
  for (const QuantCase& c : kCases) {
    SCOPED_TRACE(describe(c));
    const QuantLayer layer(c, false, 1);
    ASSERT_EQ(run_conv(c, layer, {}, row_kernels(GetParam())), layer.expected());
  }
}

TEST_P(QuantConvTest, CutsDoNotMatter) {
  for (const QuantCase& c : kCases) {
    SCOPED_TRACE(describe(c));
    const QuantLayer layer(c, false, 2);
    const uint32_t rows = 2, span = static_cast<uint32_t>(c.window.span_h());
    const uint32_t ring = std::min(c.height, (rows - 1) * c.window.stride_h + span + 1);
    for (const QuantCut& cut : {QuantCut{1, 0, 0, 0}, QuantCut{7, 0, 3, 0}, QuantCut{0, 1, 0, 0},
                                QuantCut{0, 0, rows, ring}, QuantCut{2, 1, rows, ring}}) {
      ASSERT_EQ(run_conv(c, layer, cut, row_kernels(GetParam())), layer.expected())
          << "taps " << cut.taps << ", panels " << cut.panels << ", rows " << cut.rows;
    }
  }
}

// Sums far beyond a byte, in both directions, and beyond 2^24.
TEST_P(QuantConvTest, LargeSumsSaturate) {
  QuantCase c = {6000, 33, 1, 3, {}};
  c.x_zero = 0;
  const QuantLayer layer(c, false, 3);
  ASSERT_EQ(run_conv(c, layer, {100, 0, 0, 0}, row_kernels(GetParam())), layer.expected());
}

const QuantCase kDepthwiseCases[] = {
    {1, 1, 5, 6, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}},
    {40, 40, 9, 15, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}},
    {33, 33, 14, 14, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, 0, 0, 3, 0, 0, 255},
    {17, 17, 7, 7, {5, 5, 1, 1, 1, 1, 2, 2, 2, 2}, 0, 0, 255, 99, 99, 180},
    {16, 16, 9, 23, {4, 7, 3, 3, 1, 1, 1, 3, 1, 3}},
    {20, 20, 11, 13, {3, 3, 1, 1, 2, 2, 2, 2, 2, 2}},
    {20, 20, 11, 19, {2, 6, 1, 1, 1, 3, 0, 7, 1, 8}},
    {18, 18, 4, 9, {1, 8, 1, 1, 1, 1, 0, 4, 0, 3}},
    {35, 35, 3, 16, {}, 0, 0, 9, 0, 0, 255},
    {16, 16, 5, 11, {3, 1, 1, 1, 1, 1, 1, 0, 1, 0}},
    {19, 19, 9, 29, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}},
    {16, 16, 5, 9, {9, 3, 1, 1, 1, 1, 4, 1, 4, 1}},
};

TEST_P(QuantConvTest, DepthwiseEqualsIntegerSums) {
  for (const QuantCase& c : kDepthwiseCases) {
    SCOPED_TRACE(describe(c));
    const QuantLayer layer(c, true, 4);
    const AlignedBytes stream = layer.packed();
    const TileGrid grid = layer.grid();
    for (const uint32_t blocks_at_once : {1u, 100u}) {
      const ByteMap in(layer.in_shape()), out(layer.out_shape());
      for (uint32_t y = 0; y < c.height; ++y) layer.fill_input_row(in, y);
      const uint32_t blocks = out.ring().shape.blocks();
      for (uint32_t b = 0; b < blocks; b += blocks_at_once) {
        const size_t offset = grid.stored_bytes / blocks * b;
        for (uint32_t y = 0; y < layer.out_height(); y += 4) {
          row_kernels(GetParam())
              .quant_depthwise({in.ring(), out.ring(), b, std::min(blocks_at_once, blocks - b), stream.data() + offset,
                                c.window, c.low, c.high, {y, std::min(layer.out_height(), y + 4)}});
        }
      }
      ASSERT_EQ(layer.result(out), layer.expected()) << blocks_at_once << " blocks at once";
    }
  }
}

}  // namespace
}  // namespace carrel::testing_rows
