// One test per entry of row_kernels.inc at every ISA, against naive double references. conv_test.cc
// goes deeper into the two convolutions.
#include <algorithm>
#include <functional>

#include "engine/kernels/rows/rows_testing.h"
#include "engine/kernels/rows/winograd_testing.h"
#include "engine/layout/dense.h"

namespace carrel::testing_rows {
namespace {

const uint32_t kWidths[] = {1, 2, 7, 13, 14, 15, 16, 17, 28, 29, 33};
const uint32_t kChannels[] = {1, 3, 15, 16, 17, 31, 32, 33, 48};

using Reference = std::function<Expected(uint32_t c, uint32_t y, uint32_t x)>;
std::vector<Expected> expect_each(const MapShape& shape, const Reference& reference) {
  std::vector<Expected> result;
  for (uint32_t c = 0; c < shape.channels; ++c) {
    for (uint32_t y = 0; y < shape.height; ++y) {
      for (uint32_t x = 0; x < shape.width; ++x) result.push_back(reference(c, y, x));
    }
  }
  return result;
}
double at(const Map& map, uint32_t c, uint32_t y, uint32_t x) {
  return static_cast<double>(map.at(c, y, x));
}
// `ulps` roundings of a value of this size, and of 1.
Expected within(double value, double ulps) {
  return {value, ulps * kEpsilon * std::max(1.0, std::fabs(value))};
}
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

void test_conv(const RowKernels& kernels) {
  // A channel-blocked identity: weight 1 from channel c to channel c.
  each_size([&](uint32_t channels, uint32_t width) {
    Random random(2);
    const TileGrid grid =
        *make_tile_grid({WeightsKind::kConv, StoredType::kF32, channels, channels, 1, 1, 0});
    std::vector<float> weights(size_t{channels} * channels);
    for (uint32_t c = 0; c < channels; ++c) weights[c * channels + c] = 1;
    const Floats stream = packed(grid, weights, {}, kernels);
    Map in({channels, 2, width, 0, 0}), out({channels, 2, width, 1, 1});
    in.fill(random.values(size_t{channels} * 2 * width));
    kernels.conv({in.ring(),
                  out.ring(),
                  0,
                  0,
                  channels,
                  channels,
                  0,
                  grid.panels,
                  0,
                  grid.taps,
                  grid.taps,
                  stream.data(),
                  {},
                  {},
                  {0, 2}});
    EXPECT_EQ(in.dense(), out.dense());
  });
}

// Output o is input o, times what the code for one means.
void test_dense(void (*kernel)(const DenseCall&), StoredType stored) {
  for (uint32_t channels : {1u, 37u, 64u}) {
    Random random(21);
    const TileGrid grid =
        *make_tile_grid({WeightsKind::kDense, stored, channels, channels, 1, 1, 0});
    std::vector<std::byte> stream(grid.stored_bytes);
    const bool four = stored == StoredType::kI4;
    const size_t rows = size_t{grid.taps} * kDenseTapRows;
    std::vector<int8_t> codes(channels * rows, four ? 8 : 0);
    std::vector<float> weights(size_t{channels} * channels);
    for (uint32_t c = 0; c < channels; ++c) {
      codes[c * rows + c] = four ? 9 : 1;
      weights[c * channels + c] = 1;
    }
    const std::vector<float> ones(channels * rows, 1.0f), none;
    if (is_quantized(stored)) {
      pack_dense(grid,
                 {codes, std::span(ones).first(four ? channels * grid.taps : 0),
                  std::span(ones).first(channels)},
                 none, stream);
    } else {
      pack_weights(grid, weights, none, stream);
    }
    Map in({channels, 1, 1, 0, 0}), out({channels, 1, 1, 0, 0});
    in.fill(random.values(channels));
    for (uint32_t t = 0; t < grid.tile_count; ++t) {
      const TileInfo tile = tile_info(grid, t);
      kernel({in.ring(), out.ring(), tile.panel_begin, tile.panel_count, 0, grid.taps, grid.taps,
              stream.data() + tile_stored_offset(grid, t), {}});
    }
    const float one = four ? i4_value(9) : 1.0f;
    for (uint32_t c = 0; c < channels; ++c) EXPECT_EQ(out.at(c, 0, 0), in.at(c, 0, 0) * one);
  }
}
void test_dense_f32(const RowKernels& kernels) { test_dense(kernels.dense_f32, StoredType::kF32); }
void test_dense_f16(const RowKernels& kernels) { test_dense(kernels.dense_f16, StoredType::kF16); }
void test_dense_i8(const RowKernels& kernels) { test_dense(kernels.dense_i8, StoredType::kI8); }
void test_dense_i4(const RowKernels& kernels) { test_dense(kernels.dense_i4, StoredType::kI4); }

void test_depthwise(const RowKernels& kernels) {
  each_size([&](uint32_t channels, uint32_t width) {
    Random random(3);
    const TileGrid grid =
        *make_tile_grid({WeightsKind::kDepthwise, StoredType::kF32, 0, channels, 1, 1, 0});
    const std::vector<float> weights = random.values(channels), bias = random.values(channels);
    const Floats stream = packed(grid, weights, bias, kernels);
    Map in({channels, 2, width, 0, 0}), out({channels, 2, width, 1, 1});
    in.fill(random.values(size_t{channels} * 2 * width));
    kernels.depthwise(
        {in.ring(), out.ring(), 0, in.shape().blocks(), stream.data(), {}, {}, {0, 2}});
    expect_near(
        out.dense(), expect_each(out.shape(), [&](uint32_t c, uint32_t y, uint32_t x) {
          return within(
              at(in, c, y, x) * static_cast<double>(weights[c]) + static_cast<double>(bias[c]), 2);
        }));
  });
}

struct PoolCase {
  PoolKind kind;
  Window window;
  bool count_include_pad;
  uint16_t counted_bottom, counted_right;
};

Expected pool_reference(const PoolCase& c, const Map& in, uint32_t channel, uint32_t y,
                        uint32_t x) {
  const Window& w = c.window;
  const int64_t height = in.shape().height, width = in.shape().width;
  double sum = 0, most = -INFINITY, count = 0;
  for (uint32_t h = 0; h < w.kernel_h; ++h) {
    for (uint32_t v = 0; v < w.kernel_w; ++v) {
      const int64_t iy = int64_t{y} * w.stride_h - w.pad_top + h * w.dilation_h;
      const int64_t ix = int64_t{x} * w.stride_w - w.pad_left + v * w.dilation_w;
      const bool inside = iy >= 0 && ix >= 0 && iy < height && ix < width;
      const bool counted = c.count_include_pad
                               ? iy < height + c.counted_bottom && ix < width + c.counted_right
                               : inside;
      count += counted;
      if (!inside) continue;
      const double value = at(in, channel, static_cast<uint32_t>(iy), static_cast<uint32_t>(ix));
      sum += value;
      most = std::max(most, value);
    }
  }
  if (c.kind == PoolKind::kMax) return {most, 0};
  return within(sum / count, w.kernel_h * w.kernel_w + 1.0);
}

void test_pool(const RowKernels& kernels) {
  const PoolCase cases[] = {
      {PoolKind::kMax, {2, 2, 2, 2, 1, 1, 0, 0, 0, 0}, false, 0, 0},
      {PoolKind::kMax, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, false, 0, 0},
      {PoolKind::kMax, {3, 3, 1, 1, 2, 2, 2, 2, 2, 2}, false, 0, 0},
      {PoolKind::kAverage, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, false, 0, 0},
      {PoolKind::kAverage, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, true, 1, 1},
      {PoolKind::kAverage,
       {3, 2, 2, 3, 1, 2, 1, 0, 2, 1},
       true,
       1,
       0},  // ceil mode: the last pads do not count
  };
  for (const PoolCase& c : cases) {
    for (uint32_t width : kWidths) {
      SCOPED_TRACE("width " + std::to_string(width) + " kernel " +
                   std::to_string(c.window.kernel_w));
      const Window& w = c.window;
      const uint32_t padded = width + w.pad_left + w.pad_right,
                     span = static_cast<uint32_t>(w.span_w());
      const uint32_t padded_h = 6u + w.pad_top + w.pad_bottom;
      if (padded < span) continue;
      Map in({19, 6, width, 3, 3});
      Map out({19, (padded_h - static_cast<uint32_t>(w.span_h())) / w.stride_h + 1,
               (padded - span) / w.stride_w + 1, 1, 2});
      Random random(4);
      in.fill(random.values(19u * 6 * width));
      in.poison_pads();
      for (uint32_t y = 0; y < out.shape().height; ++y) {
        kernels.pool({in.ring(),
                      out.ring(),
                      0,
                      1,
                      c.kind,
                      c.count_include_pad,
                      c.counted_bottom,
                      c.counted_right,
                      w,
                      {y, y + 1}});
        kernels.pool({in.ring(),
                      out.ring(),
                      1,
                      1,
                      c.kind,
                      c.count_include_pad,
                      c.counted_bottom,
                      c.counted_right,
                      w,
                      {y, y + 1}});
      }
      EXPECT_TRUE(out.pads_are_zero());
      expect_near(out.dense(), expect_each(out.shape(), [&](uint32_t ch, uint32_t y, uint32_t x) {
                    return pool_reference(c, in, ch, y, x);
                  }));
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

void test_global_pool(const RowKernels& kernels) {
  each_size([&](uint32_t channels, uint32_t width) {
    Map in({channels, 5, width, 1, 1}), whole({channels, 1, 1, 0, 0}),
        parts({channels, 1, 1, 0, 0});
    Random random(5);
    in.fill(random.values(size_t{channels} * 5 * width));
    const uint32_t blocks = in.shape().blocks();
    for (PoolKind kind : {PoolKind::kMax, PoolKind::kAverage}) {
      kernels.global_pool({in.ring(), whole.ring(), 0, blocks, kind, {0, 5}, true, true});
      kernels.global_pool({in.ring(), parts.ring(), 0, blocks, kind, {0, 2}, true, false});
      kernels.global_pool({in.ring(), parts.ring(), 0, blocks, kind, {2, 5}, false, true});
      EXPECT_EQ(whole.dense(), parts.dense());
      expect_near(whole.dense(),
                  expect_each(whole.shape(), [&](uint32_t c, uint32_t, uint32_t) -> Expected {
                    double sum = 0, most = -INFINITY;
                    for (uint32_t y = 0; y < 5; ++y) {
                      for (uint32_t x = 0; x < width; ++x) {
                        sum += at(in, c, y, x);
                        most = std::max(most, at(in, c, y, x));
                      }
                    }
                    if (kind == PoolKind::kMax) return {most, 0};
                    return within(sum / (5.0 * width), 5.0 * width);
                  }));
    }
  });
}

void test_every_function(const RowKernels& kernels) {
  for (uint32_t f = 0; f < static_cast<uint32_t>(UnaryFn::kCount); ++f) {
    SCOPED_TRACE("function " + std::to_string(f));
    const Unary fn = {static_cast<UnaryFn>(f), 0.25f, 0.75f};
    const bool positive =
        fn.fn == UnaryFn::kSqrt || fn.fn == UnaryFn::kLog || fn.fn == UnaryFn::kReciprocal;
    Map in({19, 2, 17, 1, 1}), out({19, 2, 17, 0, 2});
    Random random(6);
    std::vector<float> values = random.values(19 * 2 * 17);
    for (float& v : values) v = positive ? std::fabs(v) + 0.01f : 8 * v;
    in.fill(values);
    kernels.unary({in.ring(), out.ring(), 0, 2, nullptr, false, fn, {0, 2}});
    expect_near(out.dense(), expect_each(out.shape(), [&](uint32_t c, uint32_t y, uint32_t x) {
                  return within(activate(fn, at(in, c, y, x)),
                                16);  // 4 ulp of the function, times 8 = |x|
                }));
    kernels.unary({in.ring(), in.ring(), 0, 2, nullptr, false, fn, {0, 2}});
    EXPECT_EQ(in.dense(), out.dense()) << "in place";
  }
}

void test_unary(const RowKernels& kernels) {
  test_every_function(kernels);
  each_size([&](uint32_t channels, uint32_t width) {
    Random random(7);
    Map in({channels, 3, width, 1, 1}), out({channels, 3, width, 0, 2});
    in.fill(random.values(size_t{channels} * 3 * width));
    const std::vector<float> v = random.values(size_t{2} * channels);
    const uint32_t blocks = in.shape().blocks();
    for (bool prelu : {false, true}) {
      const uint32_t rows = prelu ? 1 : 2;
      const TileGrid grid =
          *make_tile_grid({WeightsKind::kVectors, StoredType::kF32, 0, channels, rows, 1, 0});
      const Floats stream = packed(grid, {v.begin(), v.begin() + rows * channels}, {}, kernels);
      const Unary fn = {UnaryFn::kRelu};
      const Unary none = {};
      kernels.unary(
          {in.ring(), out.ring(), 0, blocks, stream.data(), prelu, prelu ? none : fn, {0, 3}});
      expect_near(out.dense(), expect_each(out.shape(), [&](uint32_t c, uint32_t y, uint32_t x) {
                    const double value = at(in, c, y, x), first = static_cast<double>(v[c]);
                    if (prelu) return within(value >= 0 ? value : value * first, 2);
                    return within(
                        std::max(0.0, value * first + static_cast<double>(v[channels + c])), 4);
                  }));
    }
  });
}

double binary_reference(BinaryFn fn, double a, double b) {
  switch (fn) {
    case BinaryFn::kAdd:
      return a + b;
    case BinaryFn::kSub:
      return a - b;
    case BinaryFn::kMul:
      return a * b;
    case BinaryFn::kDiv:
      return a / b;
    case BinaryFn::kMax:
      return std::max(a, b);
    case BinaryFn::kMin:
      return std::min(a, b);
    case BinaryFn::kPow:
      return std::pow(a, b);
  }
  return 0;
}

void test_binary_at(const RowKernels& kernels, uint32_t channels, uint32_t width, BinaryFn fn,
                    bool swap, bool broadcast) {
  Random random(8);
  Map a({channels, 3, width, 1, 1}),
      b({channels, broadcast ? 1u : 3u, broadcast ? 1u : width, 2, 0});
  Map out({channels, 3, width, 0, 2});
  const auto positive = [&](size_t n) {
    std::vector<float> v = random.values(n);
    for (float& x : v) x = std::fabs(x) + 0.125f;
    return v;
  };
  a.fill(positive(size_t{channels} * 3 * width));
  b.fill(positive(size_t{channels} * b.shape().height * b.shape().width));
  const uint32_t blocks = a.shape().blocks();
  const Unary clip = {UnaryFn::kClip, 0.0f, 2.0f};
  kernels.binary({a.ring(), b.ring(), out.ring(), 0, blocks, fn, swap, clip, {0, 3}});
  expect_near(out.dense(), expect_each(out.shape(), [&](uint32_t c, uint32_t y, uint32_t x) {
                const double left = at(a, c, y, x),
                             right = at(b, c, broadcast ? 0 : y, broadcast ? 0 : x);
                const double value =
                    swap ? binary_reference(fn, right, left) : binary_reference(fn, left, right);
                return within(activate(clip, value), 6);
              }));
  kernels.binary({a.ring(), b.ring(), a.ring(), 0, blocks, fn, swap, clip, {0, 3}});
  EXPECT_EQ(a.dense(), out.dense()) << "in place";
}

void test_binary(const RowKernels& kernels) {
  for (uint32_t f = 0; f <= static_cast<uint32_t>(BinaryFn::kPow); ++f) {
    for (uint32_t variant = 0; variant < 4; ++variant) {
      test_binary_at(kernels, 19, 7, static_cast<BinaryFn>(f), variant & 1, variant & 2);
    }
  }
  each_size([&](uint32_t channels, uint32_t width) {
    test_binary_at(kernels, channels, width, BinaryFn::kAdd, false, false);
    test_binary_at(kernels, channels, width, BinaryFn::kMul, false, true);
  });
}

void test_lrn(const RowKernels& kernels) {
  for (uint32_t channels : kChannels) {
    for (uint32_t size : {1u, 2u, 3u, 5u, 8u, 17u, 40u}) {
      SCOPED_TRACE(std::to_string(channels) + " channels, size " + std::to_string(size));
      Random random(9);
      Map in({channels, 2, 5, 1, 1}), out({channels, 2, 5, 0, 2});
      in.fill(random.values(size_t{channels} * 2 * 5));
      const float beta = size % 2 ? 0.75f : 0.6f;
      kernels.lrn({in.ring(), out.ring(), size, 0.9f, beta, 1.5f, {0, 2}});
      expect_near(
          out.dense(), expect_each(out.shape(), [&](uint32_t c, uint32_t y, uint32_t x) {
            double sum = 0;
            const int64_t first = int64_t{c} - (size - 1) / 2, last = int64_t{c} + size / 2;
            for (int64_t j = std::max(first, int64_t{0}); j <= last && j < channels; ++j) {
              sum +=
                  at(in, static_cast<uint32_t>(j), y, x) * at(in, static_cast<uint32_t>(j), y, x);
            }
            return within(at(in, c, y, x) * std::pow(1.5 + static_cast<double>(0.9f) / size * sum,
                                                     -static_cast<double>(beta)),
                          size + 8.0);
          }));
    }
  }
}

void test_softmax(const RowKernels& kernels) {
  each_size([&](uint32_t channels, uint32_t width) {
    for (bool log : {false, true}) {
      Random random(10);
      Map in({channels, 2, width, 1, 1}), out({channels, 2, width, 0, 2});
      std::vector<float> values = random.values(size_t{channels} * 2 * width);
      for (float& v : values) v = 100 + 20 * v;  // e^x would overflow
      in.fill(values);
      kernels.softmax({in.ring(), out.ring(), log, {0, 2}});
      expect_near(out.dense(), expect_each(out.shape(), [&](uint32_t c, uint32_t y, uint32_t x) {
                    double most = -INFINITY, sum = 0;
                    for (uint32_t i = 0; i < channels; ++i) most = std::max(most, at(in, i, y, x));
                    for (uint32_t i = 0; i < channels; ++i) sum += std::exp(at(in, i, y, x) - most);
                    const double d = at(in, c, y, x) - most;
                    return within(log ? d - std::log(sum) : std::exp(d) / sum, channels + 8.0);
                  }));
      kernels.softmax({in.ring(), in.ring(), log, {0, 2}});
      EXPECT_EQ(in.dense(), out.dense()) << "in place";
    }
  });
}

void test_copy(const RowKernels& kernels) {
  Random random(11);
  for (uint32_t channels : kChannels) {
    for (uint32_t begin : {0u, 1u, 3u, 15u, 16u, 17u, 32u, 40u}) {
      SCOPED_TRACE(std::to_string(channels) + " channels at " + std::to_string(begin));
      const uint32_t width = 6, total = begin + channels + 5;
      Map part({channels, 2, width, 1, 0}), wide({total, 2, width, 0, 2}),
          back({channels, 2, width, 2, 1});
      part.fill(random.values(size_t{channels} * 2 * width));
      const std::vector<float> before = random.values(size_t{total} * 2 * width);
      wide.fill(before);
      kernels.copy({part.ring(), wide.ring(), begin, false, {0, 2}});
      EXPECT_TRUE(wide.pads_are_zero());
      // The copied channels are the part's, all others are untouched.
      std::vector<float> expected = before;
      const std::vector<float> moved = part.dense();
      std::copy(moved.begin(), moved.end(), expected.begin() + begin * 2 * width);
      EXPECT_EQ(wide.dense(), expected);
      kernels.copy({wide.ring(), back.ring(), begin, true, {0, 2}});
      EXPECT_EQ(back.dense(), moved);
      EXPECT_TRUE(back.pads_are_zero());
    }
  }
}

void test_dense_to_row(const RowKernels& kernels) {
  each_size([&](uint32_t channels, uint32_t width) {
    Random random(12);
    Map map({channels, 3, width, 1, 2}, 2);  // a ring: rows 0 and 2 share a slot
    const size_t pitch = width + 3;
    Floats dense((channels - 1) * pitch + width);
    for (size_t i = 0; i < dense.size(); ++i) dense.data()[i] = random.value();
    kernels.dense_to_row({map.ring(), dense.data(), pitch, 2});
    for (uint32_t c = 0; c < channels; ++c) {
      for (uint32_t x = 0; x < width; ++x) ASSERT_EQ(map.at(c, 0, x), dense.data()[c * pitch + x]);
    }
    EXPECT_TRUE(map.pads_are_zero());
    if (channels > kMaxPlanarChannels) return;
    Map planar({channels, 3, width, 1, 2, ElementType::kPlanarF32}, 2);
    kernels.dense_to_row({planar.ring(), dense.data(), pitch, 2});
    for (uint32_t c = 0; c < channels; ++c) {
      for (uint32_t x = 0; x < width; ++x) ASSERT_EQ(planar.at(c, 0, x), dense.data()[c * pitch + x]);
      ASSERT_EQ(planar.at(c, 1, 0), kPoison) << "wrote another row";
    }
    EXPECT_TRUE(planar.pads_are_zero());
  });
}

void test_row_to_dense(const RowKernels& kernels) {
  each_size([&](uint32_t channels, uint32_t width) {
    Random random(13);
    Map map({channels, 1, width, 1, 2});
    map.fill(random.values(size_t{channels} * width));
    const size_t pitch = width + 1;
    Floats dense((channels - 1) * pitch + width);
    for (size_t i = 0; i < dense.size(); ++i) dense.data()[i] = kPoison;
    kernels.row_to_dense({map.ring(), dense.data(), pitch, 0});
    for (uint32_t c = 0; c < channels; ++c) {
      for (uint32_t x = 0; x < width; ++x) ASSERT_EQ(map.at(c, 0, x), dense.data()[c * pitch + x]);
      if (c + 1 < channels) {
        ASSERT_EQ(dense.data()[c * pitch + width], kPoison) << "wrote between channels";
      }
    }
  });
}

void test_zero_pads(const RowKernels& kernels) {
  Map map({33, 4, 5, 2, 3}, 3);
  for (uint32_t slot = 0; slot < 3; ++slot) {
    float* row = map.ring().block_row(slot, 0);
    for (size_t i = 0; i < map.shape().row_floats(); ++i) row[i] = 7;
  }
  kernels.zero_pads(map.ring(), {2, 4});  // slots 2 and 0
  for (uint32_t slot : {0u, 2u}) {
    for (uint32_t b = 0; b < 3; ++b) {
      for (uint32_t x = 0; x < 10; ++x) {
        const bool pad = x < 2 || x >= 7;
        for (uint32_t l = 0; l < 16; ++l) {
          ASSERT_EQ(map.ring().block_row(slot, b)[x * 16 + l], pad ? 0.0f : 7.0f);
        }
      }
    }
  }
  EXPECT_EQ(map.ring().block_row(1, 0)[0], 7.0f) << "a row outside the range";

  Map planar({3, 4, 5, 2, 3, ElementType::kPlanarF32}, 3);
  for (uint32_t slot = 0; slot < 3; ++slot) planar.fill_row(slot, std::vector<float>(60, 7.0f));
  planar.poison_pads();
  kernels.zero_pads(planar.ring(), {1, 4});
  EXPECT_TRUE(planar.pads_are_zero());
  EXPECT_EQ(planar.at(0, 0, 0), 7.0f);
  EXPECT_EQ(planar.at(2, 2, 4), 7.0f);
}

// What a half with these bits means, by IEEE 754.
float half_value(uint32_t bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return static_cast<float>(sign * INFINITY);
  const double value =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return static_cast<float>(sign * value);
}

// All finite halves survive packing and expansion; other floats become the nearest half.
void test_all_halves(const RowKernels& kernels) {
  std::vector<float> values;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7fff) <= 0x7c00) values.push_back(half_value(bits));
  }
  const TileGrid grid =
      *make_tile_grid({WeightsKind::kPlain, StoredType::kF16, 0, 0, 1, 1, values.size()});
  const Floats expanded = packed(grid, values, {}, kernels);
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(expanded.data()[i], values[i]) << i;
  // Between two neighbours: to the nearer, ties to the even one.
  std::vector<float> between, nearest;
  for (uint32_t bits = 0; bits < 0x7bff; bits += 37) {
    const float low = half_value(bits), high = half_value(bits + 1),
                middle = low + (high - low) / 2;
    between.insert(between.end(),
                   {std::nextafter(middle, 0.0f), middle, std::nextafter(middle, 1e9f)});
    nearest.insert(nearest.end(), {low, bits % 2 ? high : low, high});
  }
  between.push_back(65520.0f);
  nearest.push_back(INFINITY);
  const TileGrid some =
      *make_tile_grid({WeightsKind::kPlain, StoredType::kF16, 0, 0, 1, 1, between.size()});
  const Floats rounded = packed(some, between, {}, kernels);
  for (size_t i = 0; i < between.size(); ++i)
    ASSERT_EQ(rounded.data()[i], nearest[i]) << between[i];
}

void test_expand_f16(const RowKernels& kernels) {
  test_all_halves(kernels);
  Random random(14);
  for (int i = 0; i < 200; ++i) {
    WeightsShape shape;
    shape.kind = static_cast<WeightsKind>(1 + random.below(4));
    shape.in_channels = random.between(1, 150);
    shape.out_channels = random.between(1, 100);
    shape.kernel_h = random.between(1, 5);
    shape.kernel_w = random.between(1, 5);
    shape.element_count = random.between(1, 20000);
    size_t count = size_t{shape.out_channels} * shape.kernel_h * shape.kernel_w;
    if (shape.kind == WeightsKind::kConv) count *= shape.in_channels;
    if (shape.kind == WeightsKind::kPlain) count = shape.element_count;
    std::vector<float> weights(count);
    // Multiples of 1/64 below 16: halves hold them exactly.
    for (float& w : weights)
      w = static_cast<float>(static_cast<int>(random.below(2048)) - 1024) / 64;
    const std::vector<float> bias =
        shape.kind == WeightsKind::kConv || shape.kind == WeightsKind::kDepthwise
            ? random.values(shape.out_channels)
            : std::vector<float>();
    shape.stored = StoredType::kF16;
    const Floats from_halves = packed(*make_tile_grid(shape), weights, bias, kernels);
    shape.stored = StoredType::kF32;
    const Floats from_floats = packed(*make_tile_grid(shape), weights, bias, kernels);
    ASSERT_EQ(from_halves.size(), from_floats.size());
    const size_t meaningful = shape.kind == WeightsKind::kPlain ? count : from_floats.size();
    ASSERT_EQ(std::memcmp(from_halves.data(), from_floats.data(), meaningful * sizeof(float)), 0)
        << i;
  }
}

class RowKernelTest : public ::testing::TestWithParam<CpuMask> {};
INSTANTIATE_TEST_SUITE_P(Masks, RowKernelTest, ::testing::ValuesIn(masks()), mask_name);

#define CARREL_ROW_KERNEL(name, ...)                     \
  TEST_P(RowKernelTest, name) {                          \
    const RowKernels& kernels = row_kernels(GetParam()); \
    ASSERT_NE(kernels.name, nullptr);                    \
    test_##name(kernels);                                \
  }
#include "engine/kernels/rows/row_kernels.inc"
#undef CARREL_ROW_KERNEL

TEST(RowKernels, LevelFollowsTheMask) {
  EXPECT_EQ(row_kernels(kCpuGeneric).level, IsaLevel::kGeneric);
  EXPECT_EQ(row_kernels(kCpuAesNi | kCpuVaes).level, IsaLevel::kGeneric);
  for (CpuMask mask : masks()) EXPECT_EQ(row_kernels(mask).level, isa_level(mask));
}

}  // namespace
}  // namespace carrel::testing_rows
