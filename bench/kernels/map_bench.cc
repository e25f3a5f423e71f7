// Times the rows kernels that move or transform maps, in elements of the map per second. Results
// are checked by comparing with the generic kernels, which the unit tests compare with double.
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
  BenchMap(MapShape shape, uint32_t seed)
      : floats_(shape.row_floats() * shape.height),
        memory_(static_cast<float*>(std::aligned_alloc(64, floats_ * sizeof(float)))) {
    std::mt19937 engine(seed);
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
    const BenchMap in({kChannels, kSize, kSize, 1, 1}, 1), out(out_shape, 2),
        expected(out_shape, 2);
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

// One function for each entry of the list of kernels; a kernel without one does not compile.
void add_conv(const RowKernels&) {}       // rows_bench.cc
void add_depthwise(const RowKernels&) {}  // rows_bench.cc
void add_winograd_input(const RowKernels&) {}     // winograd_bench.cc, as a whole
void add_winograd_filter(const RowKernels&) {}
void add_winograd_multiply(const RowKernels&) {}
void add_winograd_output(const RowKernels&) {}

void add_dense_f32(const RowKernels& kernels) {
  register_dense_benchmarks("f32", kernels, StoredType::kF32);
}
void add_dense_f16(const RowKernels& kernels) {
  register_dense_benchmarks("f16", kernels, StoredType::kF16);
}
void add_dense_i8(const RowKernels& kernels) {
  register_dense_benchmarks("i8", kernels, StoredType::kI8);
}
void add_dense_i4(const RowKernels& kernels) {
  register_dense_benchmarks("i4", kernels, StoredType::kI4);
}

void add_pool(const RowKernels& kernels) {
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
}

void add_global_pool(const RowKernels& kernels) {
  add_case("global_average", kernels, {kChannels, 1, 1, 0, 0},
           [](const RowKernels& k, const RowRing& in, const RowRing& out) {
             k.global_pool({in, out, 0, kBlocks, PoolKind::kAverage, kAll, true, true});
           });
}

// [scale][shift] of each block, or [slope].
alignas(64) constexpr float kVectors[2 * kChannels] = {0.5f, 0.25f, 2.0f};

void add_unary(const RowKernels& kernels) {
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
  add_case("affine_relu", kernels, kSame,
           [](const RowKernels& k, const RowRing& in, const RowRing& out) {
             k.unary({in, out, 0, kBlocks, kVectors, false, {UnaryFn::kRelu}, kAll});
           });
  add_case("prelu", kernels, kSame, [](const RowKernels& k, const RowRing& in, const RowRing& out) {
    k.unary({in, out, 0, kBlocks, kVectors, true, {}, kAll});
  });
}

void add_binary(const RowKernels& kernels) {
  const std::pair<const char*, BinaryFn> functions[] = {
      {"add_relu", BinaryFn::kAdd}, {"div_relu", BinaryFn::kDiv}, {"pow_relu", BinaryFn::kPow}};
  for (const auto& [name, fn] : functions) {
    add_case(name, kernels, kSame,
             [f = fn](const RowKernels& k, const RowRing& in, const RowRing& out) {
               k.binary({in, in, out, 0, kBlocks, f, false, {UnaryFn::kRelu, 0, 0}, kAll});
             });
  }
}

void add_lrn(const RowKernels& kernels) {
  add_case("lrn5", kernels, kSame, [](const RowKernels& k, const RowRing& in, const RowRing& out) {
    k.lrn({in, out, 5, 1e-4f, 0.75f, 1.0f, kAll});
  });
}

void add_softmax(const RowKernels& kernels) {
  add_case("softmax", kernels, kSame,
           [](const RowKernels& k, const RowRing& in, const RowRing& out) {
             k.softmax({in, out, false, kAll});
           });
}

void add_copy(const RowKernels& kernels) {
  for (uint32_t begin : {16u, 24u}) {
    add_case("concat_at_" + std::to_string(begin), kernels, {kChannels + 24, kSize, kSize, 0, 0},
             [begin](const RowKernels& k, const RowRing& in, const RowRing& out) {
               k.copy({in, out, begin, false, kAll});
             });
  }
  add_case("extract_at_24", kernels, {kChannels - 24, kSize, kSize, 0, 0},
           [](const RowKernels& k, const RowRing& in, const RowRing& out) {
             k.copy({in, out, 24, true, kAll});
           });
}

// The dense array takes the memory of one of the two maps.
constexpr size_t kDenseRowFloats = size_t{kChannels} * kSize;

void add_dense_to_row(const RowKernels& kernels) {
  add_case("dense_to_row", kernels, kSame,
           [](const RowKernels& k, const RowRing& in, const RowRing& out) {
             for (uint32_t y = 0; y < kSize; ++y)
               k.dense_to_row({out, in.base + y * kDenseRowFloats, kSize, y});
           });
}

void add_row_to_dense(const RowKernels& kernels) {
  add_case("row_to_dense", kernels, kSame,
           [](const RowKernels& k, const RowRing& in, const RowRing& out) {
             for (uint32_t y = 0; y < kSize; ++y)
               k.row_to_dense({in, out.base + y * kDenseRowFloats, kSize, y});
           });
}

void add_zero_pads(const RowKernels& kernels) {
  add_case("zero_pads", kernels, kSame,
           [](const RowKernels& k, const RowRing&, const RowRing& out) { k.zero_pads(out, kAll); });
}

// Every tile of as many weights as the map has elements, in the map's memory.
void add_expand_f16(const RowKernels& kernels) {
  WeightsShape weights{WeightsKind::kPlain, StoredType::kF16};
  weights.element_count = uint64_t{kChannels} * kSize * kSize;
  add_case(
      "expand_f16", kernels, kSame,
      [grid = *make_tile_grid(weights)](const RowKernels& k, const RowRing&, const RowRing& out) {
        for (uint32_t t = 0; t < grid.tile_count; ++t) {
          k.expand_f16(out.base + tile_expanded_offset(grid, t) / sizeof(float), grid,
                       tile_info(grid, t));
        }
      });
}

}  // namespace

void register_map_benchmarks(const RowKernels& kernels) {
#define CARREL_ROW_KERNEL(name, ...) add_##name(kernels);
#include "engine/kernels/rows/row_kernels.inc"
#undef CARREL_ROW_KERNEL
}

}  // namespace carrel
