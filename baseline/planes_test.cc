#include "baseline/planes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace carrel::unmodified {
namespace {

// Every instruction set of this machine.
std::vector<CpuMask> masks() {
  std::vector<CpuMask> all = {kCpuGeneric};
  for (CpuMask mask : {CpuMask{kCpuAvx2}, CpuMask{kCpuAvx2 | kCpuAvx512}})
    if ((detect_cpu() & mask) == mask) all.push_back(mask);
  return all;
}

std::vector<float> noise(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = normal(random);
  return out;
}

std::vector<PlaneWindow> windows() {
  std::vector<PlaneWindow> all;
  for (int64_t side : {1, 2, 7, 14, 33}) {
    for (int64_t kernel : {1, 2, 3, 5}) {
      for (int64_t stride : {1, 2, 3}) {
        for (int64_t dilation : {1, 2}) {
          for (int64_t pad : {0, 1, 2, 9}) {
            PlaneWindow w;
            w.in_h = side + 1, w.in_w = side;
            w.kernel_h = kernel, w.kernel_w = 3;
            w.stride_h = stride, w.stride_w = stride == 3 ? 2 : stride;
            w.dilation_h = dilation, w.dilation_w = dilation;
            w.pad_top = pad, w.pad_left = 1;
            w.out_h = (w.in_h + 2 * pad - dilation * (kernel - 1) - 1) / w.stride_h + 1;
            w.out_w = (w.in_w + 3 - dilation * 2 - 1) / w.stride_w + 1;
            if (w.in_h + 2 * pad <= dilation * (kernel - 1)) continue;
            if (w.in_w + 3 <= dilation * 2) continue;
            all.push_back(w);
          }
        }
      }
    }
  }
  return all;
}

// The input that tap (kh, kw) reads at output (oh, ow), or `outside`.
float tap(const PlaneWindow& w, const std::vector<float>& x, int64_t kh, int64_t kw, int64_t oh,
          int64_t ow, float outside) {
  const int64_t ih = oh * w.stride_h + kh * w.dilation_h - w.pad_top;
  const int64_t iw = ow * w.stride_w + kw * w.dilation_w - w.pad_left;
  const bool inside = ih >= 0 && ih < w.in_h && iw >= 0 && iw < w.in_w;
  return inside ? x[static_cast<size_t>(ih * w.in_w + iw)] : outside;
}

template <typename Visit>
void for_each_output(const PlaneWindow& w, Visit visit) {
  for (int64_t oh = 0; oh < w.out_h; ++oh)
    for (int64_t ow = 0; ow < w.out_w; ++ow) visit(oh, ow);
}

TEST(Planes, Im2col) {
  for (CpuMask mask : masks()) {
    for (const PlaneWindow& w : windows()) {
      const std::vector<float> x = noise(w.in_count(), 1);
      std::vector<float> columns(static_cast<size_t>(w.taps() * w.out_count()));
      plane_loops(mask).im2col(w, x.data(), columns.data());
      const float* at = columns.data();
      for (int64_t kh = 0; kh < w.kernel_h; ++kh) {
        for (int64_t kw = 0; kw < w.kernel_w; ++kw) {
          for_each_output(w, [&](int64_t oh, int64_t ow) {
            ASSERT_EQ(*at++, tap(w, x, kh, kw, oh, ow, 0.0f));
          });
        }
      }
    }
  }
}

TEST(Planes, DepthwiseAndMaxPool) {
  for (CpuMask mask : masks()) {
    for (const PlaneWindow& w : windows()) {
      const std::vector<float> x = noise(w.in_count(), 2), weights = noise(w.taps(), 3);
      const PlanePhases p(w);
      std::vector<float> scratch(static_cast<size_t>(p.scratch_count()), NAN);
      std::vector<float> y(static_cast<size_t>(w.out_count())), top = y;
      plane_loops(mask).depthwise(w, p, x.data(), weights.data(), 0.5f, {0.0f, 1.0f},
                                  scratch.data(), y.data());
      plane_loops(mask).max_pool(w, p, x.data(), scratch.data(), top.data());
      size_t i = 0;
      for_each_output(w, [&](int64_t oh, int64_t ow) {
        double sum = 0.5;
        float most = -std::numeric_limits<float>::infinity();
        for (int64_t k = 0; k < w.taps(); ++k) {
          const int64_t kh = k / w.kernel_w, kw = k % w.kernel_w;
          sum += double{weights[static_cast<size_t>(k)]} * tap(w, x, kh, kw, oh, ow, 0.0f);
          most = std::max(most, tap(w, x, kh, kw, oh, ow, most));
        }
        ASSERT_NEAR(y[i], std::min(std::max(sum, 0.0), 1.0), 1e-5);
        ASSERT_EQ(top[i], most);
        ++i;
      });
    }
  }
}

TEST(Planes, Lrn) {
  for (CpuMask mask : masks()) {
    for (int64_t size : {1, 2, 3, 5, 40}) {
      const Lrn lrn = {7, 75, size, 0.3f, 0.75f, 1.5f};
      const std::vector<float> x = noise(lrn.channels * lrn.count, 4);
      std::vector<float> y(x.size());
      for (int64_t c = 0; c < lrn.channels; ++c) plane_loops(mask).lrn(lrn, x.data(), c, y.data());
      for (int64_t c = 0; c < lrn.channels; ++c) {
        for (int64_t i = 0; i < lrn.count; ++i) {
          double sum = 0;
          for (int64_t k = c - (size - 1) / 2; k <= c + size / 2; ++k) {
            if (k < 0 || k >= lrn.channels) continue;
            sum += std::pow(double{x[static_cast<size_t>(k * lrn.count + i)]}, 2);
          }
          const auto at = static_cast<size_t>(c * lrn.count + i);
          const double want =
              double{x[at]} / std::pow(double{lrn.bias} + double{lrn.alpha} * sum, 0.75);
          ASSERT_NEAR(double{y[at]}, want, 1e-5);
        }
      }
    }
  }
}

TEST(Planes, AffineAndAddInPlace) {
  Clamp relu, none, clip;
  ASSERT_TRUE(as_clamp({UnaryFn::kRelu, 0, 0}, &relu));
  ASSERT_TRUE(as_clamp({UnaryFn::kNone, 0, 0}, &none));
  ASSERT_TRUE(as_clamp({UnaryFn::kClip, -0.5f, 0.25f}, &clip));
  Clamp no_clamp;
  EXPECT_FALSE(as_clamp({UnaryFn::kSigmoid, 0, 0}, &no_clamp));
  for (CpuMask mask : masks()) {
    for (int64_t count : {1, 15, 16, 17, 100}) {
      for (const Clamp& clamp : {relu, none, clip}) {
        const std::vector<float> a = noise(count, 5), b = noise(count, 6);
        std::vector<float> scaled = a, sum = b;
        plane_loops(mask).affine(scaled.data(), scaled.data(), count, 2.0f, -0.25f, clamp);
        plane_loops(mask).add(a.data(), sum.data(), sum.data(), count, clamp);
        for (size_t i = 0; i < a.size(); ++i) {
          EXPECT_EQ(scaled[i], std::min(std::max(a[i] * 2.0f - 0.25f, clamp.low), clamp.high));
          EXPECT_EQ(sum[i], std::min(std::max(a[i] + b[i], clamp.low), clamp.high));
        }
      }
    }
  }
}

}  // namespace
}  // namespace carrel::unmodified
