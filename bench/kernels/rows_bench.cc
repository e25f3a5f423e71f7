// Times the rows kernels on layers of VGG-16, ResNet-50 and MobileNetV2, tile by tile as the engine
// calls them, and prints GF/s and the share of this core's peak. Every case first checks a sample
// of its output against double.
//
//   bench_rows [--isa=generic|avx2|avx512] [Google Benchmark's options]
#include "bench/kernels/rows_bench.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace carrel {
namespace {

struct Layer {
  const char* name;
  uint32_t in_channels, out_channels, height, width;
  uint16_t kernel, stride, pad;
};

const Layer kConvLayers[] = {
    {"vgg16/224_3_64_k3", 3, 64, 224, 224, 3, 1, 1},
    {"vgg16/224_64_64_k3", 64, 64, 224, 224, 3, 1, 1},
    {"vgg16/112_64_128_k3", 64, 128, 112, 112, 3, 1, 1},
    {"vgg16/56_256_256_k3", 256, 256, 56, 56, 3, 1, 1},
    {"vgg16/28_512_512_k3", 512, 512, 28, 28, 3, 1, 1},
    {"vgg16/14_512_512_k3", 512, 512, 14, 14, 3, 1, 1},
    {"vgg16/fc_4096_1000", 4096, 1000, 1, 1, 1, 1, 0},
    {"resnet50/224_3_64_k7s2", 3, 64, 224, 224, 7, 2, 3},
    {"resnet50/56_64_64_k1", 64, 64, 56, 56, 1, 1, 0},
    {"resnet50/56_64_256_k1", 64, 256, 56, 56, 1, 1, 0},
    {"resnet50/56_256_64_k1", 256, 64, 56, 56, 1, 1, 0},
    {"resnet50/28_512_128_k1", 512, 128, 28, 28, 1, 1, 0},
    {"resnet50/14_1024_256_k1", 1024, 256, 14, 14, 1, 1, 0},
    {"resnet50/7_512_2048_k1", 512, 2048, 7, 7, 1, 1, 0},
    {"resnet50/56_128_128_k3s2", 128, 128, 56, 56, 3, 2, 1},
    {"resnet50/28_128_128_k3", 128, 128, 28, 28, 3, 1, 1},
    {"resnet50/7_512_512_k3", 512, 512, 7, 7, 3, 1, 1},
    {"resnet50/56_256_512_k1s2", 256, 512, 56, 56, 1, 2, 0},
    {"alexnet/227_3_96_k11s4", 3, 96, 227, 227, 11, 4, 0},
    {"mobilenetv2/224_3_32_k3s2", 3, 32, 224, 224, 3, 2, 1},
    {"mobilenetv2/112_32_16_k1", 32, 16, 112, 112, 1, 1, 0},
    {"mobilenetv2/112_16_96_k1", 16, 96, 112, 112, 1, 1, 0},
    {"mobilenetv2/56_96_24_k1", 96, 24, 56, 56, 1, 1, 0},
    {"mobilenetv2/56_24_144_k1", 24, 144, 56, 56, 1, 1, 0},
    {"mobilenetv2/28_192_32_k1", 192, 32, 28, 28, 1, 1, 0},
    {"mobilenetv2/14_64_384_k1", 64, 384, 14, 14, 1, 1, 0},
    {"mobilenetv2/14_384_64_k1", 384, 64, 14, 14, 1, 1, 0},
    {"mobilenetv2/7_160_960_k1", 160, 960, 7, 7, 1, 1, 0},
    {"mobilenetv2/7_960_160_k1", 960, 160, 7, 7, 1, 1, 0},
};
const Layer kDepthwiseLayers[] = {
    {"mobilenetv2/112_96_k3s2", 96, 96, 112, 112, 3, 2, 1},
    {"mobilenetv2/56_144_k3", 144, 144, 56, 56, 3, 1, 1},
    {"mobilenetv2/28_192_k3", 192, 192, 28, 28, 3, 1, 1},
    {"mobilenetv2/14_576_k3", 576, 576, 14, 14, 3, 1, 1},
    {"mobilenetv2/14_576_k3s2", 576, 576, 14, 14, 3, 2, 1},
    {"mobilenetv2/7_960_k3", 960, 960, 7, 7, 3, 1, 1},
};

double g_peak_gflops = 0;

// Best of a few runs of independent multiply-adds in registers, in the widest registers that
// `level` uses.
double measure_peak(IsaLevel level) {
#if defined(__x86_64__)
  constexpr int kRuns = 10;
  constexpr long kLoops = 2000000;
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (long i = 0; i < kLoops; ++i) {
#define CARREL_TEN(x) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13)
#define CARREL_Z(n) "vfmadd231ps %%zmm0, %%zmm1, %%zmm" #n "\n"
#define CARREL_Y(n) "vfmadd231ps %%ymm0, %%ymm1, %%ymm" #n "\n"
      if (level == IsaLevel::kAvx512) {
        asm volatile(CARREL_TEN(CARREL_Z)::
                         : "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                           "xmm12", "xmm13");
      } else {
        asm volatile(CARREL_TEN(CARREL_Y)::
                         : "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                           "xmm12", "xmm13");
      }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double ns = static_cast<double>(end.tv_sec - begin.tv_sec) * 1e9 +
                      static_cast<double>(end.tv_nsec - begin.tv_nsec);
    const double lanes = level == IsaLevel::kAvx512 ? 16 : 8;
    best = std::max(best, static_cast<double>(kLoops) * 10 * lanes * 2 / ns);
  }
  return best;
#else
  (void)level;
  return 0;
#endif
}

struct AlignedFree {
  void operator()(float* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<float[], AlignedFree>;
Buffer allocate(size_t floats) {
  const size_t bytes = (floats * sizeof(float) + 4095) / 4096 * 4096;
  Buffer buffer(static_cast<float*>(std::aligned_alloc(4096, bytes)));
  std::memset(buffer.get(), 0, bytes);
  return buffer;
}

// A layer with its maps, weights and tiles.
class Bench {
 public:
  Bench(const Layer& layer, bool depthwise, const RowKernels& kernels)
      : layer_(layer), depthwise_(depthwise), kernels_(kernels) {
    const uint16_t k = layer.kernel, s = layer.stride, p = layer.pad;
    window_ = {k, k, s, s, 1, 1, p, p, p, p};
    const uint32_t out_h = (layer.height + 2u * p - k) / s + 1,
                   out_w = (layer.width + 2u * p - k) / s + 1;
    weights_ = random(size_t{layer.out_channels} * inputs() * k * k);
    bias_ = random(layer.out_channels);
    grid_ = *make_tile_grid({depthwise ? WeightsKind::kDepthwise : WeightsKind::kConv,
                             StoredType::kF32, layer.in_channels, layer.out_channels, k, k, 0});
    stream_ = allocate(grid_.expanded_bytes / sizeof(float));
    pack_weights(grid_, weights_, bias_,
                 {reinterpret_cast<std::byte*>(stream_.get()), grid_.stored_bytes});
    const bool planar = !depthwise && layer.in_channels <= kMaxPlanarChannels;
    make_map({layer.in_channels, layer.height, layer.width, p, p + 0u,
              planar ? ElementType::kPlanarF32 : ElementType::kF32},
             &in_memory_, &in_);
    make_map({layer.out_channels, out_h, out_w, 0, 0}, &out_memory_, &out_);
    fill_input();
    // A slab of about half a MiB, as in a small trusted memory.
    const size_t row = in_.shape.row_bytes() * s + out_.shape.row_bytes();
    slab_ = std::min(out_h, static_cast<uint32_t>(std::max<size_t>(4, 512 * 1024 / row)));
  }

  // From here on memory is used as when layers are streamed: the maps are rings of one slab (their
  // rows repeat), and every tile of weights lies in the same buffer (the first tile, the largest,
  // stands for all).
  void stream() {
    one_buffer_ = true;
    in_.ring_rows = std::min(layer_.height, slab_ * layer_.stride + layer_.kernel);
    out_.ring_rows = slab_;
  }

  void run() const {
    const uint32_t height = out_.shape.height;
    for (uint32_t y = 0; y < height; y += slab_) {
      const RowRange rows = {y, std::min(height, y + slab_)};
      for (uint32_t t = 0; t < grid_.tile_count; ++t) {
        const TileInfo info = tile_info(grid_, t);
        const size_t offset = one_buffer_ ? 0 : tile_expanded_offset(grid_, t) / sizeof(float);
        const float* weights = stream_.get() + offset;
        if (depthwise_) {
          kernels_.depthwise(
              {in_, out_, info.panel_begin, info.panel_count, weights, window_, relu(), rows});
        } else {
          kernels_.conv({in_, out_, 0, 0, layer_.in_channels, layer_.out_channels, info.panel_begin,
                         info.panel_count, info.tap_begin, info.tap_end, grid_.taps, weights,
                         window_, relu(), rows});
        }
      }
    }
  }

  // 200 elements against double; an error of n roundings of the terms' magnitudes.
  bool correct() const {
    std::mt19937 engine(3);
    const auto below = [&](uint32_t n) { return static_cast<uint32_t>(engine() % n); };
    for (int i = 0; i < 200; ++i) {
      const uint32_t c = below(layer_.out_channels), y = below(out_.shape.height),
                     x = below(out_.shape.width);
      double magnitude = 0;
      const double expected = std::max(0.0, sum_at(c, y, x, &magnitude));
      const double actual =
          static_cast<double>(out_.pixel(y, static_cast<int32_t>(x), c / 16)[c % 16]);
      const double terms = static_cast<double>(inputs()) * layer_.kernel * layer_.kernel + 1;
      if (!(std::fabs(actual - expected) <= terms * 1.2e-7 * magnitude)) return false;
    }
    return true;
  }

  double flops() const {
    return 2.0 * layer_.out_channels * inputs() * layer_.kernel * layer_.kernel *
           out_.shape.height * out_.shape.width;
  }

 private:
  static Unary relu() { return {UnaryFn::kRelu, 0, 0}; }
  uint32_t inputs() const { return depthwise_ ? 1 : layer_.in_channels; }

  static std::vector<float> random(size_t count) {
    std::mt19937 engine(1);
    std::vector<float> v(count);
    for (float& x : v)
      x = static_cast<float>(static_cast<int32_t>(static_cast<uint32_t>(engine()))) * 4.6566e-10f;
    return v;
  }
  static void make_map(MapShape shape, Buffer* memory, RowRing* ring) {
    *memory = allocate(shape.row_floats() * shape.height);
    *ring = {memory->get(), shape, shape.height};
  }
  void fill_input() {
    input_ = random(size_t{layer_.in_channels} * layer_.height * layer_.width);
    for (uint32_t y = 0; y < layer_.height; ++y) {
      kernels_.dense_to_row(
          {in_, input_.data() + size_t{y} * layer_.width, size_t{layer_.height} * layer_.width, y});
    }
  }
  double sum_at(uint32_t c, uint32_t y, uint32_t x, double* magnitude) const {
    const uint32_t k = layer_.kernel;
    double sum = static_cast<double>(bias_[c]);
    *magnitude = std::fabs(sum);
    for (uint32_t i = 0; i < inputs(); ++i) {
      for (uint32_t t = 0; t < k * k; ++t) {
        const int64_t iy = int64_t{y} * layer_.stride - layer_.pad + t / k;
        const int64_t ix = int64_t{x} * layer_.stride - layer_.pad + t % k;
        if (iy < 0 || ix < 0 || iy >= layer_.height || ix >= layer_.width) continue;
        const size_t channel = depthwise_ ? c : i;
        const size_t at = (channel * layer_.height + static_cast<size_t>(iy)) * layer_.width +
                          static_cast<size_t>(ix);
        const double term = static_cast<double>(input_[at]) *
                            static_cast<double>(weights_[(size_t{c} * inputs() + i) * k * k + t]);
        sum += term;
        *magnitude += std::fabs(term);
      }
    }
    return sum;
  }

  Layer layer_;
  bool depthwise_;
  const RowKernels& kernels_;
  Window window_;
  TileGrid grid_;
  std::vector<float> weights_, bias_, input_;
  Buffer stream_, in_memory_, out_memory_;
  RowRing in_, out_;
  uint32_t slab_ = 0;
  bool one_buffer_ = false;
};

void time_layer(benchmark::State& state, const Layer& layer, bool depthwise,
                const RowKernels& kernels) {
  Bench bench(layer, depthwise, kernels);
  bench.run();
  if (!bench.correct()) return state.SkipWithError("wrong result");
  bench.stream();
  for (auto _ : state) bench.run();
  const double flops = bench.flops() * static_cast<double>(state.iterations());
  state.counters["GF/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsRate);
  if (g_peak_gflops > 0) {
    state.counters["%peak"] =
        benchmark::Counter(flops * 1e-7 / g_peak_gflops, benchmark::Counter::kIsRate);
  }
}

CpuMask mask_of(const char* isa) {
  const CpuMask here = detect_cpu();
  if (std::strcmp(isa, "generic") == 0) return kCpuGeneric;
  if (std::strcmp(isa, "avx2") == 0) return here & ~kCpuAvx512;
  return here;
}

}  // namespace
}  // namespace carrel

int main(int argc, char** argv) {
  using namespace carrel;
  CpuMask mask = detect_cpu();
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--isa=", 6) == 0) {
      mask = mask_of(argv[i] + 6);
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const RowKernels& kernels = row_kernels(mask);
#if defined(__x86_64__)
  // As the runtime does: repeated in place, some functions end in denormals.
  _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
  if (kernels.level != IsaLevel::kGeneric) g_peak_gflops = measure_peak(kernels.level);
  std::printf("rows kernels: %s, measured peak %.1f GF/s\n", isa_name(kernels.level),
              g_peak_gflops);
  for (const Layer& layer : kConvLayers) {
    benchmark::RegisterBenchmark(
        (std::string("conv/") + layer.name).c_str(),
        [&](benchmark::State& state) { time_layer(state, layer, false, kernels); })
        ->Unit(benchmark::kMicrosecond);
  }
  for (const Layer& layer : kDepthwiseLayers) {
    benchmark::RegisterBenchmark(
        (std::string("depthwise/") + layer.name).c_str(),
        [&](benchmark::State& state) { time_layer(state, layer, true, kernels); })
        ->Unit(benchmark::kMicrosecond);
  }
  register_map_benchmarks(kernels);
  register_winograd_benchmarks(kernels);
  const double vnni_peak = register_quant_benchmarks(kernels, mask);
  if (vnni_peak > 0) std::printf("quantized kernels: measured peak %.1f GOP/s\n", vnni_peak);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
