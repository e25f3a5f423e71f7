// Gemm, MatMul, normalisations, softmax and reductions.

#include "engine/kernels/plain/test_util.h"

namespace carrel::plain_test {
namespace {

TEST(PlainGemm, EveryTransposition) {
  for (int round = 0; round < 48; ++round) {
    const bool ta = round & 1, tb = round & 2;
    const int64_t m = random_int(1, 20), n = round % 5 == 0 ? 1 : random_int(1, 40),
                  k = random_int(1, 70);
    const F a = random_f32(ta ? Dims{k, m} : Dims{m, k}),
            b = random_f32(tb ? Dims{n, k} : Dims{k, n});
    const Dims c_dims[] = {{}, {1}, {n}, {m, 1}, {1, n}, {m, n}};
    const F c = random_f32(c_dims[round % 6]);
    const bool biased = round >= 6;
    const float alpha = round % 3 == 0 ? 1.0f : 0.5f, beta = 2.0f;
    Call call = {PlainOp::kGemm, {a.view(), b.view()}, {ta, tb}, {alpha, beta}, {}};
    if (biased) call.inputs.push_back(c.view());
    expect_f32(call, {m, n}, 2e-6 * static_cast<double>(k), [&](const Dims& o) {
      double sum = 0;
      for (int64_t i = 0; i < k; ++i) {
        sum += double{a.at(ta ? Dims{i, o[0]} : Dims{o[0], i})} *
               b.at(tb ? Dims{o[1], i} : Dims{i, o[1]});
      }
      return alpha * sum + (biased ? beta * c.at(o) : 0);
    });
  }
}

TEST(PlainMatMul, LikeNumPy) {
  struct Case {
    Dims a, b, y;
  };
  const Case cases[] = {{{3, 4}, {4, 5}, {3, 5}},
                        {{4}, {4}, {}},
                        {{4}, {4, 5}, {5}},
                        {{3, 4}, {4}, {3}},
                        {{2, 3, 4}, {4, 5}, {2, 3, 5}},
                        {{3, 4}, {2, 4, 5}, {2, 3, 5}},
                        {{2, 1, 3, 4}, {6, 4, 5}, {2, 6, 3, 5}},
                        {{4}, {2, 4, 5}, {2, 5}},
                        {{2, 3, 4}, {4}, {2, 3}},
                        {{2, 3, 0}, {0, 5}, {2, 3, 5}},
                        {{1, 37}, {37, 1100}, {1, 1100}}};
  for (const Case& c : cases) {
    const F a = random_f32(c.a), b = random_f32(c.b);
    const int64_t k = c.a.back();
    expect_f32({PlainOp::kMatMul, {a.view(), b.view()}, {}, {}, {}}, c.y, 1e-5, [&](const Dims& o) {
      Dims row = o, column = o;
      if (c.b.size() > 1) row.pop_back();
      if (c.a.size() == 1) row.clear();
      if (c.b.size() == 1)
        column.clear();
      else if (c.a.size() > 1)
        column.erase(column.end() - 2);
      double sum = 0;
      for (int64_t i = 0; i < k; ++i) {
        Dims ia = row, ib = column;
        ia.push_back(i);
        ib.insert(c.b.size() > 1 ? ib.end() - 1 : ib.end(), i);
        sum += double{a.at(ia)} * b.at(ib);
      }
      return sum;
    });
  }
}

struct Stats {
  double mean, variance;
};
Stats stats(const F& x, size_t axis, const Dims& o) {
  const Dims inner(x.dims.begin() + static_cast<std::ptrdiff_t>(axis), x.dims.end());
  Stats s = {0, 0};
  const auto each = [&](const std::function<void(double)>& f) {
    for_each_index(inner, [&](const Dims& i) {
      Dims index(o.begin(), o.begin() + static_cast<std::ptrdiff_t>(axis));
      index.insert(index.end(), i.begin(), i.end());
      f(x.at(index));
    });
  };
  each([&](double v) { s.mean += v / static_cast<double>(count(inner)); });
  each([&](double v) {
    s.variance += (v - s.mean) * (v - s.mean) / static_cast<double>(count(inner));
  });
  return s;
}

TEST(PlainNorm, BatchAndInstance) {
  const F x = random_f32({2, 3, 7, 5}, -1, 3), scale = random_f32({3}), bias = random_f32({3});
  const F mean = random_f32({3}), variance = random_f32({3}, 0.5f, 2);
  expect_f32({PlainOp::kBatchNorm,
              {x.view(), scale.view(), bias.view(), mean.view(), variance.view()},
              {},
              {1e-3f},
              {}},
             x.dims, 2e-6, [&](const Dims& o) {
               const Dims c = {o[1]};
               return (x.at(o) - mean.at(c)) / std::sqrt(variance.at(c) + 1e-3) * scale.at(c) +
                      bias.at(c);
             });
  expect_f32({PlainOp::kInstanceNorm, {x.view(), scale.view(), bias.view()}, {}, {1e-3f}, {}},
             x.dims, 2e-6, [&](const Dims& o) {
               const Stats s = stats(x, 2, o);
               return (x.at(o) - s.mean) / std::sqrt(s.variance + 1e-3) * scale.at({o[1]}) +
                      bias.at({o[1]});
             });
}

TEST(PlainNorm, LayerFromEveryAxis) {
  const F x = random_f32({2, 3, 4, 5}, -1, 3);
  for (int64_t axis = 0; axis < 4; ++axis) {
    const Dims tail(x.dims.begin() + axis, x.dims.end());
    for (const Dims& dims : {tail, Dims{5}, Dims{1}}) {
      const F scale = random_f32(dims), bias = random_f32(tail);
      expect_f32({PlainOp::kLayerNorm, {x.view(), scale.view(), bias.view()}, {axis}, {1e-5f}, {}},
                 x.dims, 3e-6, [&](const Dims& o) {
                   const Stats s = stats(x, static_cast<size_t>(axis), o);
                   const Dims i(o.begin() + axis, o.end());
                   return (x.at(o) - s.mean) / std::sqrt(s.variance + 1e-5) * scale.at(i) +
                          bias.at(i);
                 });
    }
  }
}

TEST(PlainNorm, Lrn) {
  const F x = random_f32({2, 7, 9, 15}, -3, 3);
  for (int64_t size : {1, 2, 3, 5, 20}) {
    expect_f32({PlainOp::kLrn, {x.view()}, {size}, {0.3f, 0.75f, 1.5f}, {}}, x.dims, 1e-6,
               [&](const Dims& o) {
                 double sum = 0;
                 for (int64_t c = std::max<int64_t>(0, o[1] - (size - 1) / 2);
                      c <= std::min<int64_t>(6, o[1] + size / 2); ++c) {
                   sum += std::pow(double{x.at({o[0], c, o[2], o[3]})}, 2);
                 }
                 return x.at(o) *
                        std::pow(1.5f + double{0.3f} / static_cast<double>(size) * sum, -0.75);
               });
  }
}

TEST(PlainSoftmax, EveryAxis) {
  const F x = random_f32({3, 4, 150}, -30, 30);
  for (size_t axis = 0; axis < 3; ++axis) {
    const auto sum = [&](const Dims& o, double highest) {
      double total = 0;
      for (int64_t i = 0; i < x.dims[axis]; ++i) {
        Dims index = o;
        index[axis] = i;
        total += std::exp(x.at(index) - highest);
      }
      return total;
    };
    const std::vector<int64_t> ints = {static_cast<int64_t>(axis)};
    expect_f32({PlainOp::kSoftmax, {x.view()}, ints, {}, {}}, x.dims, 1e-6,
               [&](const Dims& o) { return std::exp(x.at(o) - 30) / sum(o, 30); });
    // x minus the maximum is rounded at a magnitude of up to 60: half an ulp is 2e-6.
    expect_f32({PlainOp::kLogSoftmax, {x.view()}, ints, {}, {}}, x.dims, 4e-6,
               [&](const Dims& o) { return x.at(o) - 30 - std::log(sum(o, 30)); });
  }
}

TEST(PlainReduce, EveryAxisSet) {
  constexpr PlainOp kOps[] = {PlainOp::kReduceMean, PlainOp::kReduceSum, PlainOp::kReduceMax,
                              PlainOp::kReduceMin, PlainOp::kReduceProd};
  const Dims dims = {3, 2, 37, 4};
  const F x = random_f32(dims, 0.9f, 1.1f);
  const I n = random_i64(dims, -2, 3);
  for (int mask = 0; mask < 16; ++mask) {
    for (int keep = 0; keep < 2; ++keep) {
      std::vector<int64_t> ints = {keep};
      Dims kept, out, reduced = {1, 1, 1, 1};
      for (int i = 0; i < 4; ++i) {
        const bool gone = mask >> i & 1;
        if (gone) ints.push_back(i), reduced[static_cast<size_t>(i)] = dims[static_cast<size_t>(i)];
        if (!gone || keep) out.push_back(gone ? 1 : dims[static_cast<size_t>(i)]);
      }
      // All inputs that reduce to output o.
      const auto each = [&](const Dims& o, const std::function<void(const Dims&)>& f) {
        for_each_index(reduced, [&](const Dims& r) {
          Dims index;
          size_t next = 0;
          for (size_t i = 0; i < 4; ++i) {
            const bool gone = mask >> i & 1;
            index.push_back(gone ? r[i] : o[next]);
            next += !gone || keep;
          }
          f(index);
        });
      };
      for (PlainOp op : kOps) {
        const auto fold = [&](auto a, auto b) {
          if (op == PlainOp::kReduceMax) return std::max(a, b);
          if (op == PlainOp::kReduceMin) return std::min(a, b);
          if (op != PlainOp::kReduceProd) return a + b;
          decltype(a) product;
          if constexpr (std::is_same_v<decltype(a), int64_t>) {
            product = static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
          } else {
            product = a * b;
          }
          return product;
        };
        const int64_t total = count(reduced);
        expect_f32({op, {x.view()}, ints, {}, {}}, out, 1e-4, [&](const Dims& o) {
          double result = 0;
          bool first = true;
          each(o, [&](const Dims& i) {
            result = first ? x.at(i) : fold(result, double{x.at(i)}), first = false;
          });
          return op == PlainOp::kReduceMean ? result / static_cast<double>(total) : result;
        });
        expect_i64({op, {n.view()}, ints, {}, {}}, out, [&](const Dims& o) {
          int64_t result = 0;
          bool first = true;
          each(o, [&](const Dims& i) {
            result = first ? n.at(i) : fold(result, n.at(i)), first = false;
          });
          return op == PlainOp::kReduceMean ? result / total : result;
        });
      }
    }
  }
}

}  // namespace
}  // namespace carrel::plain_test
