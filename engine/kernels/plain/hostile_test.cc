// run_plain refuses whatever does not fit together, and never reads or writes outside its tensors:
// run under the address sanitizer, every mutation either fails or stays inside.
#include <limits>

#include "engine/kernels/plain/test_util.h"

namespace carrel::plain_test {
namespace {

// A call that owns its tensors' memory, so that a mutated size shows.
struct Sample {
  PlainOp op;
  std::vector<F> inputs;
  Dims output;
  std::vector<int64_t> ints;
  std::vector<float> floats;
};

std::vector<Sample> samples() {
  const auto x = [](Dims dims) { return random_f32(std::move(dims), 0.5f, 1); };
  return {
      {PlainOp::kUnary, {x({2, 3})}, {2, 3}, {}, {}},
      {PlainOp::kConv,
       {x({1, 4, 5, 6}), x({2, 2, 3, 3}), x({2})},
       {1, 2, 3, 6},
       {2, 2, 1, 1, 1, 1, 1, 1, 1},
       {}},
      {PlainOp::kConv, {x({2, 3, 4}), x({2, 3, 1})}, {2, 2, 4}, {1, 1, 0, 0, 1}, {}},
      {PlainOp::kConvTranspose,
       {x({1, 4, 3, 3}), x({4, 2, 3, 3}), x({2})},
       {1, 2, 7, 7},
       {1, 2, 2, 0, 0, 0, 0, 1, 1, 0, 0},
       {}},
      {PlainOp::kGemm, {x({3, 4}), x({4, 5}), x({5})}, {3, 5}, {0, 0}, {1, 1}},
      {PlainOp::kMatMul, {x({2, 3, 4}), x({4, 5})}, {2, 3, 5}, {}, {}},
      {PlainOp::kAffine, {x({2, 3, 4}), x({3}), x({3})}, {2, 3, 4}, {}, {}},
      {PlainOp::kBatchNorm, {x({2, 3, 4}), x({3}), x({3}), x({3}), x({3})}, {2, 3, 4}, {}, {1e-5f}},
      {PlainOp::kInstanceNorm, {x({2, 3, 4}), x({3}), x({3})}, {2, 3, 4}, {}, {1e-5f}},
      {PlainOp::kLayerNorm, {x({2, 3, 4}), x({3, 4}), x({4})}, {2, 3, 4}, {1}, {1e-5f}},
      {PlainOp::kLrn, {x({2, 3, 4})}, {2, 3, 4}, {3}, {1, 1, 1}},
      {PlainOp::kPRelu, {x({2, 3, 4}), x({3, 1})}, {2, 3, 4}, {}, {}},
      {PlainOp::kSoftmax, {x({2, 3, 4})}, {2, 3, 4}, {1}, {}},
      {PlainOp::kLogSoftmax, {x({2, 3, 4})}, {2, 3, 4}, {2}, {}},
      {PlainOp::kMaxPool, {x({1, 2, 5, 5})}, {1, 2, 3, 3}, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, {}},
      {PlainOp::kAveragePool,
       {x({1, 2, 5, 5})},
       {1, 2, 3, 3},
       {3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
       {}},
      {PlainOp::kDiv, {x({2, 3, 4}), x({3, 1})}, {2, 3, 4}, {}, {}},
      {PlainOp::kReduceMean, {x({2, 3, 4})}, {2, 1, 4}, {1, 1}, {}},
      {PlainOp::kReduceMax, {x({2, 3, 4})}, {3}, {0, 0, 2}, {}},
      {PlainOp::kConcat, {x({2, 3}), x({2, 4})}, {2, 7}, {1}, {}},
      {PlainOp::kSplit, {x({2, 3})}, {2, 3}, {1}, {}},
      {PlainOp::kSlice, {x({4, 5})}, {2, 5}, {3, 4, -2, -1}, {}},
      {PlainOp::kPad, {x({2, 3})}, {3, 5}, {1, 0, 1, 1, 1}, {0}},
      {PlainOp::kReshape, {x({2, 6})}, {3, 4}, {}, {}},
      {PlainOp::kTranspose, {x({2, 3, 4})}, {4, 2, 3}, {2, 0, 1}, {}},
      {PlainOp::kExpand, {x({3, 1})}, {2, 3, 4}, {}, {}},
      {PlainOp::kGather, {x({4, 3})}, {2, 3}, {0, 3, 1}, {}},
      {PlainOp::kResize, {x({1, 1, 2, 3})}, {1, 1, 4, 6}, {1, 0, 0}, {1, 1, 2, 2}},
      {PlainOp::kDepthToSpace, {x({1, 8, 2, 3})}, {1, 2, 4, 6}, {2, 0}, {}},
      {PlainOp::kSpaceToDepth, {x({1, 2, 4, 6})}, {1, 8, 2, 3}, {2}, {}},
      {PlainOp::kQuantize, {x({2, 3})}, {2, 3}, {5}, {1}},
      {PlainOp::kDequantize, {x({2, 3})}, {2, 3}, {5}, {1}},
      {PlainOp::kQConv,
       {x({1, 4, 5, 6}), x({2, 2, 3, 3}), x({2}), x({2})},
       {1, 2, 3, 6},
       {2, 2, 1, 1, 1, 1, 1, 1, 1, 3, 4, 0, 255},
       {1, 1}},
      {PlainOp::kQGemm, {x({2, 3}), x({4, 3}), x({4})}, {2, 4}, {3, 4, 0, 255}, {1, 1}},
      {PlainOp::kQAdd, {x({2, 3}), x({2, 3})}, {2, 3}, {1, 2, 3, 0, 255}, {1, 1, 1}},
      {PlainOp::kQAveragePool,
       {x({1, 2, 5, 5})},
       {1, 2, 3, 3},
       {3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4},
       {1, 1}},
      {PlainOp::kQConcat, {x({2, 3}), x({2, 4})}, {2, 7}, {1, 5, 6, 7}, {1, 1, 1}},
  };
}

// Tensors keep their memory, but may claim other dims as long as the claim does not exceed it: that
// relation is the caller's promise, everything else is run_plain's to check.
struct Attempt {
  std::vector<F> memory;
  Call call;
  F output;
  PlainTensor out;
  explicit Attempt(const Sample& s) : memory(s.inputs), output(s.output) {
    call = {s.op, {}, s.ints, s.floats, {}};
    for (const F& t : memory) call.inputs.push_back(t.view());
    out = output.view();
  }
  static bool fits(const PlainTensor& t, size_t elements) {
    int64_t n = 1;
    for (int i = 0; i < std::min<int>(t.rank, 8); ++i) {
      if (t.dims[i] < 0 || __builtin_mul_overflow(n, t.dims[i], &n))
        return true;  // run_plain must refuse
    }
    return n <= static_cast<int64_t>(elements) || n > int64_t{1} << 40;
  }
  bool fits_all() const {
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      if (i < memory.size() && !fits(call.inputs[i], memory[i].data.size())) return false;
    }
    return fits(out, output.data.size());
  }
};

TEST(PlainHostile, SamplesAreValid) {
  for (const Sample& s : samples()) {
    Attempt a(s);
    const Status status = run(a.call, {a.out});
    EXPECT_TRUE(status.ok()) << plain_op_name(s.op) << ": " << status.error().message();
  }
}

int64_t nasty_int() {
  const int64_t nasty[] = {0,
                           1,
                           -1,
                           2,
                           3,
                           7,
                           -7,
                           100,
                           INT64_MAX,
                           INT64_MIN,
                           int64_t{1} << 31,
                           int64_t{1} << 40,
                           (int64_t{1} << 62) + 1,
                           -(int64_t{1} << 40)};
  return nasty[random_int(0, std::size(nasty) - 1)];
}

void mutate(Attempt* a) {
  PlainTensor* tensor = &a->out;
  if (!a->call.inputs.empty() && random_int(0, 2) != 0) {
    tensor = &a->call.inputs[static_cast<size_t>(
        random_int(0, static_cast<int64_t>(a->call.inputs.size()) - 1))];
  }
  switch (random_int(0, 7)) {
    case 0:
      tensor->dims[random_int(0, 7)] = nasty_int();
      break;
    case 1:
      tensor->rank = static_cast<uint8_t>(random_int(0, 10));
      break;
    case 2:
      std::swap(tensor->dims[random_int(0, 3)], tensor->dims[random_int(0, 3)]);
      break;
    case 3:
      if (tensor != &a->out) tensor->data = nullptr;
      break;
    case 4:
      if (!a->call.inputs.empty()) a->call.inputs.pop_back();
      break;
    case 5:
      if (!a->call.ints.empty()) a->call.ints.pop_back();
      break;
    case 6:
      a->call.ints.push_back(nasty_int());
      break;
    default:
      if (!a->call.ints.empty()) {
        a->call.ints[static_cast<size_t>(
            random_int(0, static_cast<int64_t>(a->call.ints.size()) - 1))] = nasty_int();
      }
  }
}

TEST(PlainHostile, MutationsFailOrStayInside) {
  const std::vector<Sample> all = samples();
  int refused = 0, accepted = 0;
  for (int round = 0; round < 600; ++round) {
    for (const Sample& s : all) {
      Attempt a(s);
      for (int64_t n = random_int(1, 3); n > 0; --n) mutate(&a);
      if (!a.fits_all()) continue;
      (run(a.call, {a.out}).ok() ? accepted : refused) += 1;
    }
  }
  EXPECT_GT(refused, 5000);
  EXPECT_GT(accepted, 500);
}

TEST(PlainHostile, NamedRelations) {
  const F x = random_f32({1, 2, 4, 4}), w = random_f32({2, 2, 3, 3});
  const F y({1, 2, 4, 4});
  const auto conv = [&](std::vector<int64_t> ints) {
    return run({PlainOp::kConv, {x.view(), w.view()}, std::move(ints), {}, {}}, {y.view()}).ok();
  };
  EXPECT_TRUE(conv({1, 1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_FALSE(conv({0, 1, 1, 1, 1, 1, 1, 1, 1}));  // group 0
  EXPECT_FALSE(conv({1, 0, 1, 1, 1, 1, 1, 1, 1}));  // stride 0
  EXPECT_FALSE(conv({1, 1, 1, 1, 1, 2, 1, 1, 1}));  // output too small
  EXPECT_FALSE(conv({1, 1, 1, 1, 1, 1, 1, 0, 1}));  // dilation 0
  EXPECT_FALSE(
      run({PlainOp::kGather, {x.view()}, {0, 1}, {}, {}}, {y.view()}).ok());  // index == dim
  EXPECT_FALSE(run({PlainOp::kGather, {x.view()}, {0, -1}, {}, {}}, {y.view()}).ok());
  EXPECT_FALSE(run({PlainOp::kTranspose, {x.view()}, {0, 1, 2, 2}, {}, {}}, {y.view()}).ok());
  EXPECT_FALSE(run({static_cast<PlainOp>(999), {x.view()}, {}, {}, {}}, {y.view()}).ok());
  EXPECT_FALSE(
      run({PlainOp::kUnary, {x.view()}, {}, {}, {static_cast<UnaryFn>(200), 0, 0}}, {y.view()})
          .ok());
  const I integers({1, 2, 4, 4});
  EXPECT_FALSE(run({PlainOp::kAdd, {x.view(), integers.view()}, {}, {}, {}}, {y.view()}).ok());
  EXPECT_FALSE(run({PlainOp::kSoftmax, {integers.view()}, {1}, {}, {}}, {integers.view()}).ok());
}

}  // namespace
}  // namespace carrel::plain_test
