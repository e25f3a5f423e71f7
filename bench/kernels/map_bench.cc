// Times the rows kernels that move or transform maps, in elements per second. Results are checked
// by comparing with the generic kernels, which the unit tests compare with double.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/kernels/rows_bench.h"

namespace carrel {
namespace {

constexpr uint32_t kChannels = 64, kSize = 56;

class BenchMap {
 public:
  explicit BenchMap(MapShape shape)
      : floats_(shape.row_floats() * shape.height),
        memory_(static_cast<float*>(std::aligned_alloc(64, floats_ * sizeof(float)))) {
    std::mt19937 engine(1);
    for (size_t i = 0; i < floats_; ++i) {
      memory_.get()[i] = 0.0625f + static_cast<float>(engine() % 4096) / 1024;
    }
    ring = {memory_.get(), shape, shape.height};
  }
  std::vector<float> values() const { return {memory_.get(), memory_.get() + floats_}; }
  RowRing ring;

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  size_t floats_;
  std::unique_ptr<float, Free> memory_;
};

// Called with kernels, input and output; the output's shape comes with the case.
using MapCase = std::function<void(const RowKernels&, const RowRing&, const RowRing&)>;

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::fabs(a[i] - b[i]) <= 1e-4f * (1.0f + std::fabs(b[i])))) return false;
  }
  return true;
}

void add_case(const std::string& name, const RowKernels& kernels, MapShape out_shape, MapCase run) {
  const auto body = [&kernels, out_shape, run](benchmark::State& state) {
    const BenchMap in({kChannels, kSize, kSize, 1, 1}), out(out_shape), expected(out_shape);
    run(kernels, in.ring, out.ring);
    run(row_kernels(kCpuGeneric), in.ring, expected.ring);
    if (!same(out.values(), expected.values())) return state.SkipWithError("wrong result");
    for (auto _ : state) run(kernels, in.ring, out.ring);
    const double elements = static_cast<double>(kChannels * kSize * kSize);
    state.counters["Gelem/s"] = benchmark::Counter(
        elements * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  };
  benchmark::RegisterBenchmark(("map/" + name).c_str(), body)->Unit(benchmark::kMicrosecond);
}

constexpr MapShape kSame = {kChannels, kSize, kSize, 1, 1};
constexpr RowRange kAll = {0, kSize};
constexpr uint32_t kBlocks = kChannels / kLanes;

void add_elementwise(const RowKernels& kernels) {
  const std::pair<const char*, UnaryFn> functions[] = {{"relu", UnaryFn::kRelu},
                                                       {"clip", UnaryFn::kClip},
                                                       {"sigmoid", UnaryFn::kSigmoid},
                                                       {"tanh", UnaryFn::kTanh},
                                                       {"hardswish", UnaryFn::kHardSwish},
                                                       {"elu", UnaryFn::kElu},
                                                       {"gelu", UnaryFn::kGelu},
                                                       {"softplus", UnaryFn::kSoftplus},
                                                       {"sqrt", UnaryFn::kSqrt},
                                                       {"exp", UnaryFn::kExp},
                                                       {"log", UnaryFn::kLog}};
  for (const auto& [name, fn] : functions) {
    const Unary unary = {fn, 0.5f, 2.0f};
    add_case(name, kernels, kSame,
             [unary](const RowKernels& k, const RowRing& in, const RowRing& out) {
               k.unary({in, out, 0, kBlocks, nullptr, false, unary, kAll});
             });
    add_case(std::string(name) + "_in_place", kernels, kSame,
             [unary](const RowKernels& k, const RowRing&, const RowRing& out) {
               k.unary({out, out, 0, kBlocks, nullptr, false, unary, kAll});
             });
  }
  const std::pair<const char*, BinaryFn> binaries[] = {
      {"add_relu", BinaryFn::kAdd}, {"div_relu", BinaryFn::kDiv}, {"pow_relu", BinaryFn::kPow}};
  for (const auto& [name, fn] : binaries) {
    add_case(name, kernels, kSame,
             [f = fn](const RowKernels& k, const RowRing& in, const RowRing& out) {
               k.binary({in, in, out, 0, kBlocks, f, false, {UnaryFn::kRelu, 0, 0}, kAll});
             });
  }
}

void add_windows(const RowKernels& kernels) {
  const auto pool = [](PoolKind kind, Window window, uint32_t height) {
    return [=](const RowKernels& k, const RowRing& in, const RowRing& out) {
      k.pool({in, out, 0, kBlocks, kind, false, 0, 0, window, {0, height}});
    };
  };
  add_case("maxpool_2x2s2", kernels, {kChannels, 28, 28, 0, 0},
           pool(PoolKind::kMax, {2, 2, 2, 2, 1, 1, 0, 0, 0, 0}, 28));
  add_case("maxpool_3x3s2", kernels, {kChannels, 28, 28, 0, 0},
           pool(PoolKind::kMax, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, 28));
  add_case("avgpool_3x3", kernels, kSame,
           pool(PoolKind::kAverage, {3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, kSize));
  add_case("global_average", kernels, {kChannels, 1, 1, 0, 0},
           [](const RowKernels& k, const RowRing& in, const RowRing& out) {
             k.global_pool({in, out, 0, kBlocks, PoolKind::kAverage, kAll, true, true});
           });
  add_case("lrn5", kernels, kSame, [](const RowKernels& k, const RowRing& in, const RowRing& out) {
    k.lrn({in, out, 5, 1e-4f, 0.75f, 1.0f, kAll});
  });
  add_case("softmax", kernels, kSame,
           [](const RowKernels& k, const RowRing& in, const RowRing& out) {
             k.softmax({in, out, false, kAll});
           });
}

void add_moves(const RowKernels& kernels) {
  for (uint32_t begin : {16u, 24u}) {
    add_case("concat_at_" + std::to_string(begin), kernels, {kChannels + 24, kSize, kSize, 0, 0},
             [begin](const RowKernels& k, const RowRing& in, const RowRing& out) {
               k.copy({in, out, begin, false, kAll});
             });
  }
  const auto dense = std::make_shared<std::vector<float>>(size_t{kChannels} * kSize, 1.0f);
  add_case("dense_to_row", kernels, kSame,
           [dense](const RowKernels& k, const RowRing&, const RowRing& out) {
             for (uint32_t y = 0; y < kSize; ++y) k.dense_to_row({out, dense->data(), kSize, y});
           });
  add_case("row_to_dense", kernels, kSame,
           [dense](const RowKernels& k, const RowRing& in, const RowRing&) {
             for (uint32_t y = 0; y < kSize; ++y) k.row_to_dense({in, dense->data(), kSize, y});
           });
}

}  // namespace

void register_map_benchmarks(const RowKernels& kernels) {
  add_elementwise(kernels);
  add_windows(kernels);
  add_moves(kernels);
}

}  // namespace carrel
