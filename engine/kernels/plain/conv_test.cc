// Conv, ConvTranspose and pools of one to three spatial dimensions against nested loops in double.
#include "engine/kernels/plain/test_util.h"

namespace carrel::plain_test {
namespace {

struct Spatial {
  Dims in, kernel, stride, begin, end, dilation, out;
  size_t s() const { return in.size(); }
};

Spatial random_spatial(size_t s) {
  for (;;) {
    Spatial w;
    bool fits = true;
    for (size_t i = 0; i < s; ++i) {
      w.in.push_back(random_int(1, s == 1 ? 40 : 9));
      w.kernel.push_back(random_int(1, 4));
      w.stride.push_back(random_int(1, 3));
      w.dilation.push_back(random_int(1, 2));
      w.begin.push_back(random_int(0, 3));
      w.end.push_back(random_int(0, 3));
      const int64_t room =
          w.in[i] + w.begin[i] + w.end[i] - ((w.kernel[i] - 1) * w.dilation[i] + 1);
      fits = fits && room >= 0;
      w.out.push_back(room / w.stride[i] + 1);
    }
    if (fits) return w;
  }
}

std::vector<int64_t> joined(std::initializer_list<Dims> lists) {
  std::vector<int64_t> all;
  for (const Dims& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}
Dims with(int64_t n, int64_t c, const Dims& spatial) { return joined({{n, c}, spatial}); }

// f(tap, position) for every tap of output position `o`; false in the second: outside the input.
void for_each_tap(const Spatial& w, const Dims& o,
                  const std::function<void(const Dims&, const Dims&, bool)>& f) {
  for_each_index(w.kernel, [&](const Dims& tap) {
    Dims position;
    bool inside = true;
    for (size_t i = 0; i < w.s(); ++i) {
      position.push_back(o[2 + i] * w.stride[i] - w.begin[i] + tap[i] * w.dilation[i]);
      inside = inside && position[i] >= 0 && position[i] < w.in[i];
    }
    f(tap, position, inside);
  });
}

TEST(PlainConv, MatchesReference) {
  for (int round = 0; round < 60; ++round) {
    const Spatial w = random_spatial(static_cast<size_t>(1 + round % 3));
    const int64_t group = random_int(1, 3), in = random_int(1, 9), out = random_int(1, 3),
                  n = random_int(1, 2);
    const F x = random_f32(with(n, in * group, w.in)),
            weights = random_f32(with(out * group, in, w.kernel));
    const F bias = random_f32({out * group});
    Call call = {PlainOp::kConv,
                 {x.view(), weights.view()},
                 joined({{group}, w.stride, w.begin, w.end, w.dilation}),
                 {},
                 {}};
    const bool biased = round % 2 == 0;
    if (biased) call.inputs.push_back(bias.view());
    expect_f32(call, with(n, out * group, w.out), 2e-5, [&](const Dims& o) {
      double sum = biased ? bias.at({o[1]}) : 0;
      for_each_tap(w, o, [&](const Dims& tap, const Dims& position, bool inside) {
        for (int64_t c = 0; inside && c < in; ++c) {
          sum += double{x.at(with(o[0], o[1] / out * in + c, position))} *
                 weights.at(with(o[1], c, tap));
        }
      });
      return sum;
    });
  }
}

TEST(PlainConv, PointwiseAndFusedActivation) {
  const F x = random_f32({2, 6, 5, 7}), weights = random_f32({4, 3, 1, 1}), bias = random_f32({4});
  const Call call = {PlainOp::kConv,
                     {x.view(), weights.view(), bias.view()},
                     {2, 1, 1, 0, 0, 0, 0, 1, 1},
                     {},
                     {UnaryFn::kRelu, 0, 0}};
  expect_f32(call, {2, 4, 5, 7}, 1e-6, [&](const Dims& o) {
    double sum = bias.at({o[1]});
    for (int64_t c = 0; c < 3; ++c) {
      sum += double{x.at({o[0], o[1] / 2 * 3 + c, o[2], o[3]})} * weights.at({o[1], c, 0, 0});
    }
    return std::max(sum, 0.0);
  });
}

TEST(PlainConvTranspose, MatchesReference) {
  for (int round = 0; round < 60; ++round) {
    Spatial w = random_spatial(static_cast<size_t>(1 + round % 3));
    Dims padding;
    bool positive = true;
    for (size_t i = 0; i < w.s(); ++i) {
      padding.push_back(random_int(0, std::max(w.stride[i], w.dilation[i]) - 1));
      w.begin[i] -=
          round % 2;  // now and then negative: the output is larger than what the windows cover
      w.out[i] = (w.in[i] - 1) * w.stride[i] + (w.kernel[i] - 1) * w.dilation[i] + 1 - w.begin[i] -
                 w.end[i] + padding[i];
      positive = positive && w.out[i] > 0;
    }
    if (!positive) continue;
    const int64_t group = random_int(1, 2), in = random_int(1, 4), out = random_int(1, 3);
    const F x = random_f32(with(2, in * group, w.in)),
            weights = random_f32(with(in * group, out, w.kernel));
    const F bias = random_f32({out * group});
    std::vector<double> want(static_cast<size_t>(count(with(2, out * group, w.out))));
    for_each_index(joined({{2, group, in, out}, w.in, w.kernel}), [&](const Dims& i) {
      Dims position, source, tap;
      int64_t offset = (i[0] * group + i[1]) * out + i[3];
      for (size_t k = 0; k < w.s(); ++k) {
        source.push_back(i[4 + k]);
        tap.push_back(i[4 + w.s() + k]);
        position.push_back(source[k] * w.stride[k] - w.begin[k] + tap[k] * w.dilation[k]);
        if (position[k] < 0 || position[k] >= w.out[k]) return;
        offset = offset * w.out[k] + position[k];
      }
      want[static_cast<size_t>(offset)] += double{x.at(with(i[0], i[1] * in + i[2], source))} *
                                           weights.at(with(i[1] * in + i[2], i[3], tap));
    });
    size_t next = 0;
    expect_f32({PlainOp::kConvTranspose,
                {x.view(), weights.view(), bias.view()},
                joined({{group}, w.stride, w.begin, w.end, w.dilation, padding}),
                {},
                {}},
               with(2, out * group, w.out), 2e-5,
               [&](const Dims& o) { return want[next++] + bias.at({o[1]}); });
  }
}

TEST(PlainPool, MatchesReference) {
  for (int round = 0; round < 90; ++round) {
    const Spatial w = random_spatial(static_cast<size_t>(1 + round % 3));
    const F x = random_f32(with(2, 3, w.in));
    const std::vector<int64_t> ints = joined({w.kernel, w.stride, w.begin, w.end, w.dilation});
    expect_f32({PlainOp::kMaxPool, {x.view()}, ints, {}, {}}, with(2, 3, w.out), 0,
               [&](const Dims& o) {
                 double highest = -INFINITY;
                 for_each_tap(w, o, [&](const Dims&, const Dims& position, bool inside) {
                   if (inside)
                     highest = std::max(highest, double{x.at(with(o[0], o[1], position))});
                 });
                 return highest;
               });
    // Count all begin pads and one less at the end, as ceil_mode does.
    const bool include = round % 2 == 0;
    Dims counted_end = w.end;
    for (int64_t& e : counted_end) e = std::max<int64_t>(0, e - 1);
    expect_f32({PlainOp::kAveragePool,
                {x.view()},
                joined({ints, {include}, w.begin, counted_end}),
                {},
                {}},
               with(2, 3, w.out), 1e-6, [&](const Dims& o) {
                 double sum = 0, taps = 0;
                 for_each_tap(w, o, [&](const Dims&, const Dims& position, bool inside) {
                   bool counts = inside || include;
                   for (size_t i = 0; i < w.s(); ++i)
                     counts = counts && position[i] < w.in[i] + counted_end[i];
                   taps += counts;
                   if (inside) sum += x.at(with(o[0], o[1], position));
                 });
                 return taps == 0 ? 0 : sum / taps;
               });
  }
}

}  // namespace
}  // namespace carrel::plain_test
