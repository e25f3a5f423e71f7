// The quantized operators against integers and std::nearbyint.
#include "engine/kernels/plain/test_util.h"

namespace carrel::plain_test {
namespace {

F random_levels(Dims dims, int64_t low, int64_t high) {
  F t(std::move(dims));
  for (float& v : t.data) v = static_cast<float>(random_int(low, high));
  return t;
}

double level(float v, int64_t zero, int64_t low = 0, int64_t high = 255) {
  const double rounded = std::nearbyint(static_cast<double>(v)) + static_cast<double>(zero);
  return std::min(std::max(rounded, static_cast<double>(low)), static_cast<double>(high));
}

TEST(Quantize, RoundsHalvesToEvenAndSaturates) {
  const F x({9}, {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 1e30f, -1e30f, 254.5f, -10.25f});
  const std::vector<double> want = {10, 12, 12, 10, 8, 255, 0, 255, 0};
  expect_f32({PlainOp::kQuantize, {x.view()}, {10}, {1}, {}}, {9}, 0,
             [&](const Dims& o) { return want[static_cast<size_t>(o[0])]; });
  const F nan({1}, {std::nanf("")});
  expect_f32({PlainOp::kQuantize, {nan.view()}, {10}, {1}, {}}, {1}, 0,
             [](const Dims&) { return 0; });
}

TEST(Quantize, DividesAsOnnxDoes) {
  const F x = random_f32({997}, -3, 3);
  const float scale = 0.0123f;
  expect_f32({PlainOp::kQuantize, {x.view()}, {128}, {scale}, {}}, {997}, 0,
             [&](const Dims& o) { return level(x.data[static_cast<size_t>(o[0])] / scale, 128); });
}

TEST(Dequantize, IsAffine) {
  const F x = random_levels({5, 7}, 0, 255);
  expect_f32({PlainOp::kDequantize, {x.view()}, {7}, {0.1f}, {}}, {5, 7}, 0,
             [&](const Dims& o) { return (x.at(o) - 7) * 0.1f; });
}

struct ConvCase {
  int64_t channels, outputs, group, height, width, kernel, stride, pad, dilation;
};

void expect_conv(const ConvCase& c) {
  const F x = random_levels({1, c.channels, c.height, c.width}, 0, 255);
  const F w = random_levels({c.outputs, c.channels / c.group, c.kernel, c.kernel}, -127, 127);
  const F scale = random_f32({c.outputs}, 0.001f, 0.002f);
  const I bias = random_i64({c.outputs}, -70000, 70000);
  const int64_t x_zero = 37, y_zero = 20, low = 20, high = 200;
  const float x_scale = 0.05f, y_scale = 0.5f;
  const int64_t span = (c.kernel - 1) * c.dilation + 1;
  const Dims out = {1, c.outputs, (c.height + 2 * c.pad - span) / c.stride + 1,
                    (c.width + 2 * c.pad - span) / c.stride + 1};
  const std::vector<int64_t> ints = {c.group,    c.stride,   c.stride, c.pad,  c.pad, c.pad, c.pad,
                                     c.dilation, c.dilation, x_zero,   y_zero, low,   high};
  const auto reference = [&](const Dims& o) {
    int64_t acc = bias.data[static_cast<size_t>(o[1])];
    const int64_t per_group = c.channels / c.group;
    const int64_t first = o[1] / (c.outputs / c.group) * per_group;
    for (int64_t k = 0; k < per_group * c.kernel * c.kernel; ++k) {
      const int64_t channel = k / (c.kernel * c.kernel);
      const int64_t kh = k / c.kernel % c.kernel, kw = k % c.kernel;
      const int64_t h = o[2] * c.stride - c.pad + kh * c.dilation;
      const int64_t v = o[3] * c.stride - c.pad + kw * c.dilation;
      if (h < 0 || h >= c.height || v < 0 || v >= c.width) continue;
      acc += (static_cast<int64_t>(x.at({0, first + channel, h, v})) - x_zero) *
             static_cast<int64_t>(w.at({o[1], channel, kh, kw}));
    }
    const float factor = x_scale * scale.data[static_cast<size_t>(o[1])] / y_scale;
    return level(static_cast<float>(acc) * factor, y_zero, low, high);
  };
  expect_f32({PlainOp::kQConv,
              {x.view(), w.view(), scale.view(), bias.view()},
              ints,
              {x_scale, y_scale},
              {}},
             out, 0, reference);
}

TEST(QConv, AwkwardSizes) {
  expect_conv({1, 1, 1, 1, 1, 1, 1, 0, 1});
  expect_conv({3, 5, 1, 7, 11, 3, 2, 1, 1});
  expect_conv({16, 17, 1, 13, 13, 1, 1, 0, 1});
  expect_conv({6, 6, 6, 9, 9, 3, 1, 1, 2});
  expect_conv({8, 4, 2, 5, 7, 5, 1, 2, 1});
  expect_conv({2, 3, 1, 3, 517, 3, 1, 1, 1});  // wider than a block of sums
}

TEST(QGemm, FarSumsAreExact) {
  const int64_t inner = 25088;  // sums far beyond 2^24
  const F x = random_levels({2, inner}, 200, 255);
  const F w = random_levels({3, inner}, 100, 127);
  const F scale = random_f32({3}, 0.001f, 0.002f);
  const float x_scale = 0.01f, y_scale = 100.0f;
  expect_f32(
      {PlainOp::kQGemm, {x.view(), w.view(), scale.view()}, {3, 0, 0, 255}, {x_scale, y_scale}, {}},
      {2, 3}, 0, [&](const Dims& o) {
        int64_t acc = 0;
        for (int64_t k = 0; k < inner; ++k) {
          acc +=
              (static_cast<int64_t>(x.at({o[0], k})) - 3) * static_cast<int64_t>(w.at({o[1], k}));
        }
        const float factor = x_scale * scale.data[static_cast<size_t>(o[1])] / y_scale;
        return level(static_cast<float>(acc) * factor, 0);
      });
}

TEST(QAdd, RescalesBoth) {
  const F a = random_levels({3, 101}, 0, 255), b = random_levels({3, 101}, 0, 255);
  const float a_scale = 0.03f, b_scale = 0.07f, y_scale = 0.09f;
  expect_f32({PlainOp::kQAdd,
              {a.view(), b.view()},
              {11, 90, 60, 60, 250},
              {a_scale, b_scale, y_scale},
              {}},
             {3, 101}, 0, [&](const Dims& o) {
               const float sum =
                   (a.at(o) - 11) * (a_scale / y_scale) + (b.at(o) - 90) * (b_scale / y_scale);
               return level(sum, 60, 60, 250);
             });
}

TEST(QAveragePool, CountsAsAveragePool) {
  const F x = random_levels({1, 3, 7, 9}, 0, 255);
  const float x_scale = 0.4f, y_scale = 0.3f;
  for (int64_t include : {0, 1}) {
    expect_f32({PlainOp::kQAveragePool,
                {x.view()},
                {3, 3, 2, 2, 1, 1, 1, 1, 1, 1, include, 1, 1, 1, 1, 30, 40},
                {x_scale, y_scale},
                {}},
               {1, 3, 4, 5}, 0, [&](const Dims& o) {
                 int64_t sum = 0, taps = 0;
                 for (int64_t h = o[2] * 2 - 1; h < o[2] * 2 + 2; ++h) {
                   for (int64_t w = o[3] * 2 - 1; w < o[3] * 2 + 2; ++w) {
                     if (h < 0 || h >= 7 || w < 0 || w >= 9) continue;
                     sum += static_cast<int64_t>(x.at({0, o[1], h, w})) - 30;
                     ++taps;
                   }
                 }
                 const auto count = static_cast<float>(include != 0 ? 9 : taps);
                 return level(static_cast<float>(sum) * (x_scale / y_scale / count), 40);
               });
  }
}

TEST(QConcat, CopiesEqualAndRescalesOthers) {
  const F a = random_levels({2, 3, 5}, 0, 255), b = random_levels({2, 4, 5}, 0, 255);
  expect_f32({PlainOp::kQConcat, {a.view(), b.view()}, {1, 9, 9, 100}, {0.5f, 0.5f, 0.7f}, {}},
             {2, 7, 5}, 0, [&](const Dims& o) {
               if (o[1] < 3) return static_cast<double>(a.at(o));
               return level((b.at({o[0], o[1] - 3, o[2]}) - 100) * (0.7f / 0.5f), 9);
             });
}

}  // namespace
}  // namespace carrel::plain_test
