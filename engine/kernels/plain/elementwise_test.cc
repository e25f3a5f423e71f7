// Unary, binary, PRelu, Affine, Cast, Range, Fill, Shape.
#include "engine/kernels/plain/test_util.h"

namespace carrel::plain_test {
namespace {

double unary_reference(UnaryFn fn, double x, double a, double b) {
  const auto clamp = [](double v, double low, double high) {
    return std::min(std::max(v, low), high);
  };
  const double sigmoid = 1 / (1 + std::exp(-x)), elu = x >= 0 ? x : a * std::expm1(x);
  switch (fn) {
    case UnaryFn::kRelu:
      return std::max(x, 0.0);
    case UnaryFn::kLeakyRelu:
      return x >= 0 ? x : a * x;
    case UnaryFn::kClip:
      return clamp(x, a, b);
    case UnaryFn::kSigmoid:
      return sigmoid;
    case UnaryFn::kHardSigmoid:
      return clamp(a * x + b, 0, 1);
    case UnaryFn::kHardSwish:
      return x * clamp(x / 6 + 0.5, 0, 1);
    case UnaryFn::kSwish:
      return x * sigmoid;
    case UnaryFn::kTanh:
      return std::tanh(x);
    case UnaryFn::kElu:
      return elu;
    case UnaryFn::kSelu:
      return b * elu;
    case UnaryFn::kSoftplus:
      return std::log1p(std::exp(x));
    case UnaryFn::kGelu:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case UnaryFn::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case UnaryFn::kErf:
      return std::erf(x);
    case UnaryFn::kSqrt:
      return std::sqrt(x);
    case UnaryFn::kExp:
      return std::exp(x);
    case UnaryFn::kLog:
      return std::log(x);
    case UnaryFn::kNeg:
      return -x;
    case UnaryFn::kAbs:
      return std::abs(x);
    case UnaryFn::kReciprocal:
      return 1 / x;
    default:
      return x;
  }
}

TEST(PlainUnary, EveryFunction) {
  for (int i = 0; i < static_cast<int>(UnaryFn::kCount); ++i) {
    SCOPED_TRACE(i);
    const Unary f = {static_cast<UnaryFn>(i), 0.3f, 0.7f};
    const F x = random_f32({3, 1, 37}, -6, 6);
    expect_f32({PlainOp::kUnary, {x.view()}, {}, {}, f}, x.dims, 1e-6,
               [&](const Dims& o) { return unary_reference(f.fn, x.at(o), f.a, f.b); });
  }
}

TEST(PlainUnary, InPlace) {
  F x = random_f32({100});
  const F before = x;
  ASSERT_TRUE(run({PlainOp::kUnary, {x.view()}, {}, {}, {UnaryFn::kNeg, 0, 0}}, {x.view()}).ok());
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(x.data[i], -before.data[i]);
}

// Random dims; each operand drops leading dims or has ones.
void random_broadcast(Dims* a, Dims* b, Dims* y) {
  const int64_t rank = random_int(0, 5);
  for (int64_t i = 0; i < rank; ++i) {
    const int64_t d = random_int(1, 5);
    a->push_back(random_int(0, 3) == 0 ? 1 : d);
    b->push_back(random_int(0, 3) == 0 ? 1 : d);
    y->push_back(std::max(a->back(), b->back()));
  }
  Dims& shorter = random_int(0, 1) ? *a : *b;
  const Dims& longer = &shorter == a ? *b : *a;
  const int64_t drop = random_int(0, rank);
  shorter.erase(shorter.begin(), shorter.begin() + drop);
  std::copy(longer.begin(), longer.begin() + drop, y->begin());
}

double binary_reference(PlainOp op, double a, double b) {
  switch (op) {
    case PlainOp::kAdd:
      return a + b;
    case PlainOp::kSub:
      return a - b;
    case PlainOp::kMul:
      return a * b;
    case PlainOp::kDiv:
      return a / b;
    case PlainOp::kPow:
      return std::pow(a, b);
    case PlainOp::kMax:
      return std::max(a, b);
    default:
      return std::min(a, b);
  }
}

constexpr PlainOp kBinary[] = {PlainOp::kAdd, PlainOp::kSub, PlainOp::kMul, PlainOp::kDiv,
                               PlainOp::kPow, PlainOp::kMax, PlainOp::kMin};

TEST(PlainBinary, BroadcastsLikeNumPy) {
  for (int round = 0; round < 200; ++round) {
    Dims a, b, y;
    random_broadcast(&a, &b, &y);
    for (PlainOp op : kBinary) {
      const F fa = random_f32(a, 0.1f, 3), fb = random_f32(b, 0.1f, 3);
      expect_f32({op, {fa.view(), fb.view()}, {}, {}, {}}, y, 1e-6,
                 [&](const Dims& o) { return binary_reference(op, fa.at(o), fb.at(o)); });
      const I ia = random_i64(a, 1, 9), ib = random_i64(b, 1, 9);
      expect_i64({op, {ia.view(), ib.view()}, {}, {}, {}}, y, [&](const Dims& o) {
        return static_cast<int64_t>(
            binary_reference(op, static_cast<double>(ia.at(o)), static_cast<double>(ib.at(o))));
      });
    }
  }
}

TEST(PlainBinary, IntegerCorners) {
  const I a({4}, {7, INT64_MIN, -7, 2}), b({4}, {0, -1, 2, -3});
  const int64_t quotient[] = {0, INT64_MIN, -3, 0}, power[] = {1, 0, 49, 0};
  expect_i64({PlainOp::kDiv, {a.view(), b.view()}, {}, {}, {}}, {4},
             [&](const Dims& o) { return quotient[o[0]]; });
  expect_i64({PlainOp::kPow, {a.view(), b.view()}, {}, {}, {}}, {4},
             [&](const Dims& o) { return power[o[0]]; });
  const F base({4}, {2, 3, -2, 0.5f});
  const double mixed[] = {1, 1.0 / 3, 4, 8};
  expect_f32({PlainOp::kPow, {base.view(), b.view()}, {}, {}, {}}, {4}, 1e-6,
             [&](const Dims& o) { return mixed[o[0]]; });
}

TEST(PlainPRelu, Broadcasts) {
  const F x = random_f32({2, 3, 4, 5});
  for (const Dims& dims : {Dims{3, 1, 1}, Dims{1}, Dims{2, 3, 4, 5}, Dims{5}, Dims{1, 3, 1, 5}}) {
    const F slope = random_f32(dims);
    expect_f32(
        {PlainOp::kPRelu, {x.view(), slope.view()}, {}, {}, {}}, x.dims, 1e-7,
        [&](const Dims& o) { return x.at(o) >= 0 ? x.at(o) : double{x.at(o)} * slope.at(o); });
  }
}

TEST(PlainAffine, PerChannel) {
  for (const Dims& dims : {Dims{2, 5}, Dims{2, 5, 3}, Dims{1, 5, 2, 3}}) {
    const F x = random_f32(dims), scale = random_f32({5}), shift = random_f32({5});
    expect_f32(
        {PlainOp::kAffine, {x.view(), scale.view(), shift.view()}, {}, {}, {}}, dims, 1e-6,
        [&](const Dims& o) { return double{x.at(o)} * scale.at({o[1]}) + shift.at({o[1]}); });
  }
}

}  // namespace
}  // namespace carrel::plain_test
