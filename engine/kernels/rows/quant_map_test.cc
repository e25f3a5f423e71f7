// Every kernel on quantized maps but the convolutions, at every ISA, against scalar arithmetic, to the bit.
#include <functional>

#include "engine/kernels/rows/quant_testing.h"

namespace carrel::testing_rows {
namespace {

const uint32_t kWidths[] = {1, 2, 7, 15, 16, 17, 33};
const uint32_t kChannels[] = {1, 3, 15, 16, 17, 33, 48};
constexpr uint32_t kHeight = 5;

// Calls f(channels, width) for every pair.
template <class F>
void each_size(F f) {
  for (uint32_t channels : kChannels) {
    for (uint32_t width : kWidths) {
      SCOPED_TRACE(std::to_string(channels) + " channels, width " + std::to_string(width));
      f(channels, width);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

ByteMap random_map(const MapShape& shape, uint32_t seed) {
  Random random(seed);
  ByteMap map(shape);
  map.fill(random_bytes(size_t{shape.channels} * shape.height * shape.width, random));
  return map;
}

using Reference = std::function<uint8_t(uint32_t c, uint32_t y, uint32_t x)>;
void expect_bytes(const ByteMap& map, const Reference& reference) {
  const MapShape& s = map.ring().shape;
  for (uint32_t c = 0; c < s.channels; ++c) {
    for (uint32_t y = 0; y < s.height; ++y) {
      for (uint32_t x = 0; x < s.width; ++x) {
        ASSERT_EQ(map.at(c, y, x), reference(c, y, x)) << "channel " << c << ", row " << y << ", column " << x;
      }
    }
  }
}

void test_quant_conv(const RowKernels& kernels) {  // quant_conv_test.cc
  EXPECT_NE(kernels.quant_conv, nullptr);
}
void test_quant_depthwise(const RowKernels& kernels) { EXPECT_NE(kernels.quant_depthwise, nullptr); }

// The taps of a window: their sum of (byte - zero), their maximum, and how many an average counts.
struct Taps {
  int32_t sum = 0;
  uint8_t most = 0;
  uint32_t counted = 0;
};
Taps taps_at(const QuantPoolCall& call, const ByteMap& in, uint32_t c, uint32_t y, uint32_t x) {
  const Window& w = call.window;
  const MapShape& s = in.ring().shape;
  Taps taps;
  for (int32_t h = 0; h < w.kernel_h; ++h) {
    for (int32_t v = 0; v < w.kernel_w; ++v) {
      const int32_t iy = w.first_row(y) + h * w.dilation_h;
      const int32_t ix = static_cast<int32_t>(x * w.stride_w) - w.pad_left + v * w.dilation_w;
      const int32_t height = static_cast<int32_t>(s.height), width = static_cast<int32_t>(s.width);
      taps.counted += call.count_include_pad && iy < height + call.counted_bottom && ix < width + call.counted_right;
      if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue;
      const uint8_t b = in.at(c, static_cast<uint32_t>(iy), static_cast<uint32_t>(ix));
      taps.sum += b - s.zero;
      taps.most = std::max(taps.most, b);
      taps.counted += !call.count_include_pad;
    }
  }
  return taps;
}

void test_quant_pool(const RowKernels& kernels) {
  const Window windows[] = {{2, 2, 2, 2, 1, 1, 0, 0, 0, 0},
                            {3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
                            {3, 2, 1, 2, 1, 1, 1, 0, 1, 1},
                            {5, 5, 1, 1, 1, 1, 0, 0, 0, 0}};
  each_size([&](uint32_t channels, uint32_t width) {
    for (const Window& w : windows) {
      const int32_t columns = static_cast<int32_t>(width) + w.pad_left + w.pad_right - w.span_w();
      const int32_t rows = static_cast<int32_t>(kHeight) + w.pad_top + w.pad_bottom - w.span_h();
      if (columns < 0 || rows < 0) continue;
      const ByteMap in = random_map(byte_shape(channels, kHeight, width, 0, 0, 77), 1);
      for (const auto& [kind, include] : {std::pair{PoolKind::kMax, false}, std::pair{PoolKind::kAverage, false},
                                          std::pair{PoolKind::kAverage, true}}) {
        const ByteMap out(byte_shape(channels, static_cast<uint32_t>(rows) / w.stride_h + 1,
                                     static_cast<uint32_t>(columns) / w.stride_w + 1, 1, 0, 30));
        const QuantPoolCall call = {in.ring(), out.ring(), 0, in.ring().shape.blocks(), kind, include, w.pad_bottom,
                                    w.pad_right, w, 0.731f, {0, out.ring().shape.height}};
        kernels.quant_pool(call);
        expect_bytes(out, [&](uint32_t c, uint32_t y, uint32_t x) -> uint8_t {
          const Taps taps = taps_at(call, in, c, y, x);
          if (call.kind == PoolKind::kMax) return taps.most;
          const float scale = call.scale / static_cast<float>(std::max(1u, taps.counted));
          return to_byte(static_cast<float>(taps.sum) * scale, 30);
        });
      }
    }
  });
}

void test_quant_add(const RowKernels& kernels) {
  each_size([&](uint32_t channels, uint32_t width) {
    const ByteMap a = random_map(byte_shape(channels, kHeight, width, 1, 1, 3), 1);
    const ByteMap b = random_map(byte_shape(channels, kHeight, width, 0, 2, 200), 2);
    const ByteMap out(byte_shape(channels, kHeight, width, 1, 1, 120));
    const ByteMap in_place = random_map(byte_shape(channels, kHeight, width, 1, 1, 3), 1);
    const QuantAddCall call = {a.ring(), b.ring(), out.ring(), 0, a.ring().shape.blocks(), 0.37f, 1.25f, 120, 240,
                               {0, kHeight}};
    kernels.quant_add(call);
    expect_bytes(out, [&](uint32_t c, uint32_t y, uint32_t x) {
      const float x_a = static_cast<float>(a.at(c, y, x) - 3) * call.a_scale;
      const float x_b = static_cast<float>(b.at(c, y, x) - 200) * call.b_scale;
      return to_byte(x_a + x_b, 120, 120, 240);
    });
    kernels.quant_add({in_place.ring(), in_place.ring(), in_place.ring(), 0, a.ring().shape.blocks(), 0.5f, 0.5f, 0,
                       255, {0, kHeight}});
    expect_bytes(in_place, [&](uint32_t c, uint32_t y, uint32_t x) { return a.at(c, y, x); });
  });
}

void test_quant_copy(const RowKernels& kernels) {
  each_size([&](uint32_t channels, uint32_t width) {
    for (const uint32_t begin : {0u, 5u, 16u, 23u, 32u}) {
      for (const bool requantize : {false, true}) {
        const auto moved = [&](uint8_t b) {
          return requantize ? to_byte(static_cast<float>(b - 9) * 1.7f, 50) : b;
        };
        const ByteMap part = random_map(byte_shape(channels, kHeight, width, 0, 1, 9), 1);
        const ByteMap all = random_map(byte_shape(channels + begin + 7, kHeight, width, 2, 0, 50), 2);
        const ByteTensor before = all.dense();
        kernels.quant_copy({part.ring(), all.ring(), begin, false, requantize, 1.7f, {0, kHeight}});
        expect_bytes(all, [&](uint32_t c, uint32_t y, uint32_t x) {
          const bool inside = c >= begin && c < begin + channels;
          return inside ? moved(part.at(c - begin, y, x)) : before[(size_t{c} * kHeight + y) * width + x];
        });
        const ByteMap from = random_map(byte_shape(channels + begin + 7, kHeight, width, 0, 0, 9), 3);
        const ByteMap to(byte_shape(channels, kHeight, width, 0, 0, 50));
        kernels.quant_copy({from.ring(), to.ring(), begin, true, requantize, 1.7f, {0, kHeight}});
        expect_bytes(to, [&](uint32_t c, uint32_t y, uint32_t x) { return moved(from.at(c + begin, y, x)); });
      }
    }
  });
}

void test_quantize(const RowKernels& kernels) {
  each_size([&](uint32_t channels, uint32_t width) {
    Random random(5);
    const Map in({channels, kHeight, width, 1, 2});
    std::vector<float> values = random.values(size_t{channels} * kHeight * width);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] *= 4;
      if (i % 5 == 0) values[i] = (static_cast<float>(random.below(64)) + 0.5f) * 0.0625f;  // ties
      if (i % 97 == 1) values[i] = 1e30f;
      if (i % 97 == 2) values[i] = -std::numeric_limits<float>::infinity();
    }
    in.fill(values);
    const ByteMap out(byte_shape(channels, kHeight, width, 1, 2, 100));
    kernels.quantize({in.ring(), out.ring(), 0, in.shape().blocks(), 0.0625f, 100, {0, kHeight}});
    const auto level = [&](uint32_t c, uint32_t y, uint32_t x) { return to_byte(in.at(c, y, x) / 0.0625f, 100); };
    expect_bytes(out, level);
    if (channels > kMaxPlanarChannels) return;
    const Map planar({channels, kHeight, width, 2, 1, ElementType::kPlanarF32});
    planar.fill(values);
    const ByteMap from_planar(byte_shape(channels, kHeight, width, 0, 1, 100));
    kernels.quantize({planar.ring(), from_planar.ring(), 0, 1, 0.0625f, 100, {0, kHeight}});
    expect_bytes(from_planar, level);
  });
}

void test_dequantize(const RowKernels& kernels) {
  each_size([&](uint32_t channels, uint32_t width) {
    const ByteMap in = random_map(byte_shape(channels, kHeight, width, 1, 2, 100), 4);
    const Map out({channels, kHeight, width, 2, 1});
    kernels.dequantize({in.ring(), out.ring(), 0, out.shape().blocks(), 0.123f, 100, {0, kHeight}});
    for (uint32_t c = 0; c < channels; ++c) {
      for (uint32_t y = 0; y < kHeight; ++y) {
        for (uint32_t x = 0; x < width; ++x) {
          ASSERT_EQ(out.at(c, y, x), static_cast<float>(in.at(c, y, x) - 100) * 0.123f);
        }
      }
    }
    EXPECT_TRUE(out.pads_are_zero());
  });
}

void test_fill_pads(const RowKernels& kernels) {
  const ByteMap map = random_map(byte_shape(20, 4, 9, 2, 3, 0), 6);
  ByteRing ring = map.ring();
  const ByteTensor before = map.dense();
  ring.shape.zero = 55;
  kernels.fill_pads(ring, {1, 3});
  EXPECT_EQ(map.dense(), before);
  for (uint32_t y = 0; y < 4; ++y) {
    for (const int32_t x : {-2, -1, 9, 10, 11}) {
      for (uint32_t c = 0; c < 32; ++c) {
        ASSERT_EQ(ring.pixel(y, x, c / kLanes)[c % kLanes], y == 1 || y == 2 ? 55 : 0);
      }
    }
  }
}

class QuantMapTest : public ::testing::TestWithParam<CpuMask> {};
INSTANTIATE_TEST_SUITE_P(Masks, QuantMapTest, ::testing::ValuesIn(quant_masks()), quant_mask_name);

#define CARREL_ROW_KERNEL(name, ...) \
  TEST_P(QuantMapTest, name) { test_##name(row_kernels(GetParam())); }
#include "engine/kernels/rows/quant_kernels.inc"
#undef CARREL_ROW_KERNEL

}  // namespace
}  // namespace carrel::testing_rows
