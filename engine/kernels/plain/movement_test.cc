// Operators that move elements: each against index arithmetic, f32 and i64.
#include "engine/kernels/plain/test_util.h"

namespace carrel::plain_test {
namespace {

Dims random_dims(int64_t rank, int64_t low = 1) {
  Dims dims;
  for (int64_t i = 0; i < rank; ++i) dims.push_back(random_int(low, 6));
  return dims;
}

// Runs on f32 and i64 data of the same dims; source(index) is the input index or empty for `fill`.
void expect_moved(PlainOp op, const Dims& x_dims, std::vector<int64_t> ints,
                  std::vector<float> floats, const Dims& y_dims,
                  const std::function<Dims(const Dims&)>& source, int64_t fill = 0) {
  const F x = random_f32(x_dims);
  const I n = random_i64(x_dims, -1000000, 1000000);
  expect_f32({op, {x.view()}, ints, floats, {}}, y_dims, 0, [&](const Dims& o) {
    const Dims i = source(o);
    return i.empty() && !x_dims.empty() ? static_cast<double>(fill) : x.at(i);
  });
  expect_i64({op, {n.view()}, ints, floats, {}}, y_dims, [&](const Dims& o) {
    const Dims i = source(o);
    return i.empty() && !x_dims.empty() ? fill : n.at(i);
  });
}

TEST(PlainMovement, Transpose) {
  for (int round = 0; round < 60; ++round) {
    const Dims x = random_dims(random_int(0, 6));
    std::vector<int64_t> perm(x.size());
    for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int64_t>(i);
    std::shuffle(perm.begin(), perm.end(), random_engine());
    Dims y;
    for (int64_t p : perm) y.push_back(x[static_cast<size_t>(p)]);
    expect_moved(PlainOp::kTranspose, x, perm, {}, y, [&](const Dims& o) {
      Dims i(o.size());
      for (size_t k = 0; k < o.size(); ++k) i[static_cast<size_t>(perm[k])] = o[k];
      return i;
    });
  }
}

TEST(PlainMovement, Slice) {
  for (int round = 0; round < 80; ++round) {
    const Dims x = random_dims(random_int(1, 5));
    std::vector<int64_t> starts, steps;
    Dims y;
    for (int64_t d : x) {
      starts.push_back(random_int(0, d - 1));
      steps.push_back(random_int(0, 1) ? random_int(1, 3) : -random_int(1, 3));
      const int64_t room = steps.back() > 0 ? d - 1 - starts.back() : starts.back();
      y.push_back(random_int(round % 10 == 0 ? 0 : 1, room / std::abs(steps.back()) + 1));
    }
    std::vector<int64_t> ints = starts;
    ints.insert(ints.end(), steps.begin(), steps.end());
    expect_moved(PlainOp::kSlice, x, ints, {}, y, [&](const Dims& o) {
      Dims i;
      for (size_t k = 0; k < o.size(); ++k) i.push_back(starts[k] + o[k] * steps[k]);
      return i;
    });
  }
}

int64_t padded_source(int64_t p, int64_t dim, int64_t mode) {
  if (mode == 2) return std::min(std::max<int64_t>(p, 0), dim - 1);
  while (mode == 1 && (p < 0 || p >= dim)) p = dim == 1 ? 0 : p < 0 ? -p : 2 * (dim - 1) - p;
  return p;
}

TEST(PlainMovement, Pad) {
  for (int round = 0; round < 90; ++round) {
    const int64_t mode = round % 3;
    const Dims x = random_dims(random_int(1, 4), 2);
    std::vector<int64_t> ints = {mode}, end;
    Dims y;
    for (int64_t d : x) {
      ints.push_back(random_int(-1, 8));
      end.push_back(random_int(-1, 8));
      y.push_back(d + ints.back() + end.back());
    }
    ints.insert(ints.end(), end.begin(), end.end());
    expect_moved(
        PlainOp::kPad, x, ints, {7.0f}, y,
        [&](const Dims& o) {
          Dims i;
          for (size_t k = 0; k < o.size(); ++k) {
            i.push_back(padded_source(o[k] - ints[1 + k], x[k], mode));
            if (i.back() < 0 || i.back() >= x[k]) return Dims();
          }
          return i;
        },
        7);
  }
}

TEST(PlainMovement, ExpandReshapeGather) {
  expect_moved(PlainOp::kExpand, {3, 1}, {}, {}, {2, 3, 4}, [](const Dims& o) {
    return Dims{o[1], 0};
  });
  expect_moved(PlainOp::kExpand, {}, {}, {}, {2, 2}, [](const Dims&) { return Dims(); });
  expect_moved(PlainOp::kReshape, {3, 4}, {}, {}, {2, 6}, [](const Dims& o) {
    return Dims{(o[0] * 6 + o[1]) / 4, (o[0] * 6 + o[1]) % 4};
  });
  const std::vector<int64_t> ints = {1, 3, 0, 0, 2, 3, 1};  // axis 1, indices as 2 x 3
  expect_moved(PlainOp::kGather, {2, 4, 3}, ints, {}, {2, 2, 3, 3}, [&](const Dims& o) {
    return Dims{o[0], ints[static_cast<size_t>(1 + o[1] * 3 + o[2])], o[3]};
  });
  const F x = random_f32({5, 2});
  const I indices({3}, {4, 0, 4});
  expect_f32({PlainOp::kGather, {x.view(), indices.view()}, {0}, {}, {}}, {3, 2}, 0,
             [&](const Dims& o) {
               return x.at({indices.at({o[0]}), o[1]});
             });
}

TEST(PlainMovement, ConcatUndoesSplit) {
  for (int64_t axis = 0; axis < 4; ++axis) {
    Dims dims = {2, 3, 4, 5};
    const Dims sizes = {1, 0, 3, 2};
    dims[static_cast<size_t>(axis)] = 6;
    const F whole = random_f32(dims);
    std::vector<F> parts;
    std::vector<PlainTensor> views;
    for (int64_t size : sizes) {
      Dims part = dims;
      part[static_cast<size_t>(axis)] = size;
      parts.emplace_back(part);
    }
    for (const F& part : parts) views.push_back(part.view());
    ASSERT_TRUE(run({PlainOp::kSplit, {whole.view()}, {axis}, {}, {}}, views).ok());
    int64_t begin = 0;
    for (const F& part : parts) {
      size_t next = 0;
      for_each_index(part.dims, [&](Dims o) {
        o[static_cast<size_t>(axis)] += begin;
        EXPECT_EQ(part.data[next++], whole.at(o));
      });
      begin += part.dims[static_cast<size_t>(axis)];
    }
    expect_f32({PlainOp::kConcat, views, {axis}, {}, {}}, dims, 0,
               [&](const Dims& o) { return whole.at(o); });
  }
}

TEST(PlainMovement, DepthAndSpace) {
  const int64_t b = 2, c = 3;
  const Dims deep = {2, c * b * b, 3, 5}, wide = {2, c, 3 * b, 5 * b};
  for (int64_t mode = 0; mode < 2; ++mode) {
    expect_moved(PlainOp::kDepthToSpace, deep, {b, mode}, {}, wide, [&](const Dims& o) {
      const int64_t block = o[2] % b * b + o[3] % b;
      return Dims{o[0], mode == 0 ? block * c + o[1] : o[1] * b * b + block, o[2] / b, o[3] / b};
    });
  }
  expect_moved(PlainOp::kSpaceToDepth, wide, {b}, {}, deep, [&](const Dims& o) {
    const int64_t block = o[1] / c;
    return Dims{o[0], o[1] % c, o[2] * b + block / b, o[3] * b + block % b};
  });
}

// The interpolation rule of the ONNX specification, in double.
double resized(const F& x, const Dims& y, const std::vector<float>& scales,
               std::vector<int64_t> mode, const Dims& o) {
  double sum = 0;
  Dims corners(x.dims.size(), 2);
  for_each_index(corners, [&](const Dims& corner) {
    double weight = 1;
    Dims index;
    for (size_t i = 0; i < o.size(); ++i) {
      const double p = static_cast<double>(o[i]), in = static_cast<double>(x.dims[i]);
      double at = (p + 0.5) / scales[i] - 0.5;
      if (mode[1] == 1) at = p / scales[i];
      if (mode[1] == 2) at = y[i] == 1 ? 0 : p * (in - 1) / static_cast<double>(y[i] - 1);
      if (mode[1] == 3 && y[i] == 1) at = 0;
      if (mode[0] == 0) {
        const double half = at - std::floor(at);
        const bool up[] = {half > 0.5, false, half > 0, half >= 0.5};
        at = std::floor(at) + (up[mode[2]] ? 1 : 0);
      }
      at = std::min(std::max(at, 0.0), in - 1);
      const double low = std::floor(at);
      weight *= corner[i] ? at - low : 1 - (at - low);
      index.push_back(std::min(static_cast<int64_t>(low) + corner[i], x.dims[i] - 1));
    }
    sum += weight * x.at(index);
  });
  return sum;
}

TEST(PlainResize, EveryRule) {
  // Scales whose coordinates are exact in float, so that ties fall alike.
  for (const std::vector<float>& s :
       {std::vector<float>{1, 1, 2, 0.5f}, {1, 1, 0.25f, 4}, {1, 1, 1, 2}}) {
    const F x = random_f32({2, 3, 8, 12});
    Dims y;
    for (size_t i = 0; i < 4; ++i)
      y.push_back(static_cast<int64_t>(static_cast<float>(x.dims[i]) * s[i]));
    for (int64_t mode = 0; mode < 2; ++mode) {
      for (int64_t coordinate = 0; coordinate < 4; ++coordinate) {
        for (int64_t nearest = 0; nearest < 4; ++nearest) {
          if (mode == 0 && coordinate == 2)
            continue;  // inexact coordinates: rounding may differ from double
          const std::vector<int64_t> ints = {mode, coordinate, nearest};
          expect_f32({PlainOp::kResize, {x.view()}, ints, s, {}}, y, 2e-6,
                     [&](const Dims& o) { return resized(x, y, s, ints, o); });
        }
      }
    }
  }
  const F volume = random_f32({1, 1, 3, 4, 5});
  expect_f32({PlainOp::kResize, {volume.view()}, {1, 0, 0}, {1, 1, 2, 2, 2}, {}}, {1, 1, 6, 8, 10},
             2e-6, [&](const Dims& o) {
               return resized(volume, {1, 1, 6, 8, 10}, {1, 1, 2, 2, 2}, {1, 0, 0}, o);
             });
}

}  // namespace
}  // namespace carrel::plain_test
