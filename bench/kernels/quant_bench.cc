// Times the quantized kernels. Convolutions run tile by tile as the engine streams them, beside the
// measured peak of VNNI; every result is compared with the generic kernels, which the unit tests
// compare with exact sums.
#include <benchmark/benchmark.h>

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

struct QuantLayer {
  const char* name;
  uint32_t in_channels, out_channels, height, width;
  uint16_t kernel, stride, pad;
};

const QuantLayer kConvLayers[] = {
    {"vgg16/224_3_64_k3", 3, 64, 224, 224, 3, 1, 1},
    {"vgg16/224_64_64_k3", 64, 64, 224, 224, 3, 1, 1},
    {"vgg16/56_256_256_k3", 256, 256, 56, 56, 3, 1, 1},
    {"vgg16/28_512_512_k3", 512, 512, 28, 28, 3, 1, 1},
    {"vgg16/14_512_512_k3", 512, 512, 14, 14, 3, 1, 1},
    {"vgg16/fc_25088_4096", 512, 4096, 7, 7, 7, 1, 0},
    {"resnet50/224_3_64_k7s2", 3, 64, 224, 224, 7, 2, 3},
    {"resnet50/56_64_64_k1", 64, 64, 56, 56, 1, 1, 0},
    {"resnet50/56_64_256_k1", 64, 256, 56, 56, 1, 1, 0},
    {"resnet50/56_256_64_k1", 256, 64, 56, 56, 1, 1, 0},
    {"resnet50/28_128_128_k3", 128, 128, 28, 28, 3, 1, 1},
    {"resnet50/28_512_128_k1", 512, 128, 28, 28, 1, 1, 0},
    {"resnet50/14_1024_256_k1", 1024, 256, 14, 14, 1, 1, 0},
    {"resnet50/14_256_256_k3", 256, 256, 14, 14, 3, 1, 1},
    {"resnet50/7_512_2048_k1", 512, 2048, 7, 7, 1, 1, 0},
    {"resnet50/7_512_512_k3", 512, 512, 7, 7, 3, 1, 1},
    {"resnet50/56_128_128_k3s2", 128, 128, 56, 56, 3, 2, 1},
    {"mobilenetv2/224_3_32_k3s2", 3, 32, 224, 224, 3, 2, 1},
    {"mobilenetv2/112_32_16_k1", 32, 16, 112, 112, 1, 1, 0},
    {"mobilenetv2/112_16_96_k1", 16, 96, 112, 112, 1, 1, 0},
    {"mobilenetv2/56_24_144_k1", 24, 144, 56, 56, 1, 1, 0},
    {"mobilenetv2/14_64_384_k1", 64, 384, 14, 14, 1, 1, 0},
    {"mobilenetv2/14_384_64_k1", 384, 64, 14, 14, 1, 1, 0},
    {"mobilenetv2/7_160_960_k1", 160, 960, 7, 7, 1, 1, 0},
};
const QuantLayer kDepthwiseLayers[] = {
    {"mobilenetv2/112_96_k3s2", 96, 96, 112, 112, 3, 2, 1},
    {"mobilenetv2/56_144_k3", 144, 144, 56, 56, 3, 1, 1},
    {"mobilenetv2/14_576_k3", 576, 576, 14, 14, 3, 1, 1},
    {"mobilenetv2/7_960_k3", 960, 960, 7, 7, 3, 1, 1},
};

double g_peak_gops = 0;

// Best of a few runs of independent products of bytes in registers.
double measure_vnni_peak(CpuMask mask) {
#if defined(__x86_64__)
  constexpr long kLoops = 2000000;
  double best = 0;
  for (int run = 0; run < 10 && (mask & (kCpuVnni | kCpuAvxVnni)); ++run) {
    timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (long i = 0; i < kLoops; ++i) {
#define CARREL_TEN(x) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13)
#define CARREL_Z(n) "vpdpbusd %%zmm0, %%zmm1, %%zmm" #n "\n"
#define CARREL_Y(n) "%{vex%} vpdpbusd %%ymm0, %%ymm1, %%ymm" #n "\n"
      if (mask & kCpuVnni) {
        asm volatile(CARREL_TEN(CARREL_Z)::
                         : "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
      } else {
        asm volatile(CARREL_TEN(CARREL_Y)::
                         : "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
      }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double ns = static_cast<double>(end.tv_sec - begin.tv_sec) * 1e9 +
                      static_cast<double>(end.tv_nsec - begin.tv_nsec);
    const double products = mask & kCpuVnni ? 64 : 32;
    best = std::max(best, static_cast<double>(kLoops) * 10 * products * 2 / ns);
  }
  return best;
#else
  (void)mask;
  return 0;
#endif
}

struct AlignedFree {
  void operator()(void* p) const { std::free(p); }
};
class Memory {
 public:
  Memory(size_t bytes, uint32_t seed)
      : bytes_((bytes + 4095) / 4096 * 4096), data_(static_cast<uint8_t*>(std::aligned_alloc(4096, bytes_))) {
    std::mt19937 engine(seed);
    for (size_t i = 0; i < bytes_; ++i) data_.get()[i] = static_cast<uint8_t>(engine());
  }
  uint8_t* data() const { return data_.get(); }
  std::byte* bytes() const { return reinterpret_cast<std::byte*>(data()); }
  bool operator==(const Memory& other) const { return std::memcmp(data(), other.data(), bytes_) == 0; }

 private:
  size_t bytes_;
  std::unique_ptr<uint8_t, AlignedFree> data_;
};

// A layer with its maps, weights and tiles.
class QuantBench {
 public:
  QuantBench(const QuantLayer& layer, bool depthwise)
      : layer_(layer),
        depthwise_(depthwise),
        window_{layer.kernel, layer.kernel, layer.stride, layer.stride, 1, 1, layer.pad, layer.pad, layer.pad,
                layer.pad},
        grid_(*make_tile_grid({depthwise ? WeightsKind::kQuantDepthwise : WeightsKind::kQuantConv, StoredType::kF32,
                               depthwise ? 1 : layer.in_channels, layer.out_channels, layer.kernel, layer.kernel,
                               0})),
        in_shape_{layer.in_channels, layer.height, layer.width, layer.pad, layer.pad, ElementType::kU8, 128},
        out_shape_{layer.out_channels,
                   (layer.height + 2u * layer.pad - layer.kernel) / layer.stride + 1,
                   (layer.width + 2u * layer.pad - layer.kernel) / layer.stride + 1,
                   0,
                   0,
                   ElementType::kU8,
                   0},
        in_(in_shape_.row_bytes() * layer.height, 1),
        stream_(grid_.stored_bytes, 3) {
    const size_t row = in_shape_.row_bytes() * layer.stride + out_shape_.row_bytes();
    slab_ = std::min(out_shape_.height, static_cast<uint32_t>(std::max<size_t>(4, 512 * 1024 / row)));
    pack();
  }

  // streamed: memory is used as when layers are streamed, so the result is none: the maps are rings of one slab
  // and the first tile stands for all.
  void run(const RowKernels& kernels, const Memory& out, bool streamed) const {
    ByteRing in = {in_.data(), in_shape_, layer_.height}, to = {out.data(), out_shape_, out_shape_.height};
    if (streamed) in.ring_rows = std::min(layer_.height, slab_ * layer_.stride + layer_.kernel);
    if (streamed) to.ring_rows = slab_;
    static const Memory sums(1 << 20, 4);
    for (uint32_t y = 0; y < out_shape_.height; y += slab_) {
      const RowRange rows = {y, std::min(out_shape_.height, y + slab_)};
      for (uint32_t t = 0; t < grid_.tile_count; ++t) {
        const TileInfo info = tile_info(grid_, t);
        const std::byte* weights = stream_.bytes() + (streamed ? 0 : tile_stored_offset(grid_, t));
        if (depthwise_) {
          kernels.quant_depthwise({in, to, info.panel_begin, info.panel_count, weights, window_, 0, 255, rows});
        } else {
          kernels.quant_conv({in, to, 0, 0, layer_.in_channels, layer_.out_channels, info.panel_begin,
                              info.panel_count, info.tap_begin, info.tap_end, grid_.taps, weights, sums.bytes(),
                              window_, 0, 255, rows});
        }
      }
    }
  }
  size_t out_bytes() const { return out_shape_.row_bytes() * out_shape_.height; }
  double operations() const {
    const double inputs = depthwise_ ? 1 : layer_.in_channels;
    return 2.0 * layer_.out_channels * inputs * layer_.kernel * layer_.kernel * out_shape_.height * out_shape_.width;
  }

 private:
  void pack() {
    std::mt19937 engine(2);
    const size_t row = size_t{depthwise_ ? 1 : layer_.in_channels} * layer_.kernel * layer_.kernel;
    std::vector<int8_t> weights(layer_.out_channels * row);
    for (int8_t& w : weights) w = static_cast<int8_t>(engine());
    const std::vector<int32_t> bias(layer_.out_channels, 1000);
    const std::vector<float> multipliers(layer_.out_channels, 0.01f / static_cast<float>(row));
    pack_quant_weights(grid_, {weights, bias, multipliers}, {stream_.bytes(), grid_.stored_bytes});
  }

  QuantLayer layer_;
  bool depthwise_;
  Window window_;
  TileGrid grid_;
  MapShape in_shape_, out_shape_;
  Memory in_, stream_;
  uint32_t slab_ = 0;
};

void time_layer(benchmark::State& state, const QuantLayer& layer, bool depthwise, const RowKernels& kernels) {
  const QuantBench bench(layer, depthwise);
  const Memory out(bench.out_bytes(), 5), expected(bench.out_bytes(), 5);
  bench.run(kernels, out, false);
  bench.run(row_kernels(kCpuGeneric), expected, false);
  if (!(out == expected)) return state.SkipWithError("wrong result");
  for (auto _ : state) bench.run(kernels, out, true);
  const double operations = bench.operations() * static_cast<double>(state.iterations());
  state.counters["GOP/s"] = benchmark::Counter(operations * 1e-9, benchmark::Counter::kIsRate);
  if (g_peak_gops > 0) {
    state.counters["%peak"] = benchmark::Counter(operations * 1e-7 / g_peak_gops, benchmark::Counter::kIsRate);
  }
}

// One function for each entry of the list of kernels; a kernel without one does not compile.
template <size_t kCount>
void add_layers(const char* kind, const QuantLayer (&layers)[kCount], bool depthwise, const RowKernels& kernels) {
  for (const QuantLayer& layer : layers) {
    benchmark::RegisterBenchmark(
        (std::string(kind) + layer.name).c_str(),
        [&layer, depthwise, &kernels](benchmark::State& state) { time_layer(state, layer, depthwise, kernels); })
        ->Unit(benchmark::kMicrosecond);
  }
}
void add_quant_conv(const RowKernels& kernels) { add_layers("quant_conv/", kConvLayers, false, kernels); }
void add_quant_depthwise(const RowKernels& kernels) {
  add_layers("quant_depthwise/", kDepthwiseLayers, true, kernels);
}

constexpr uint32_t kChannels = 64, kSize = 56, kBlocks = kChannels / kLanes;
constexpr MapShape kBytes = {kChannels, kSize, kSize, 1, 1, ElementType::kU8, 100};
constexpr MapShape kFloats = {kChannels, kSize, kSize, 1, 1};
constexpr RowRange kAll = {0, kSize};

// Called with kernels and two memories, large enough for a map of either type.
using MapCase = std::function<void(const RowKernels&, const Memory&, const Memory&)>;

void add_case(const char* name, const RowKernels& kernels, MapCase run) {
  const auto body = [&kernels, run](benchmark::State& state) {
    const size_t bytes = kFloats.row_bytes() * kSize;
    const Memory in(bytes, 1), out(bytes, 2), expected(bytes, 2);
    // Finite floats.
    for (size_t i = 3; i < bytes; i += 4) in.data()[i] = 0x40;
    run(kernels, in, out);
    run(row_kernels(kCpuGeneric), in, expected);
    if (!(out == expected)) return state.SkipWithError("wrong result");
    for (auto _ : state) run(kernels, in, out);
    const double elements = double{kChannels} * kSize * kSize * static_cast<double>(state.iterations());
    state.counters["Gelem/s"] = benchmark::Counter(elements * 1e-9, benchmark::Counter::kIsRate);
  };
  benchmark::RegisterBenchmark((std::string("quant_map/") + name).c_str(), body)->Unit(benchmark::kMicrosecond);
}

ByteRing bytes_of(const Memory& memory, MapShape shape = kBytes) { return {memory.data(), shape, shape.height}; }
RowRing floats_of(const Memory& memory) { return {reinterpret_cast<float*>(memory.data()), kFloats, kSize}; }

void add_quant_pool(const RowKernels& kernels) {
  for (const PoolKind kind : {PoolKind::kMax, PoolKind::kAverage}) {
    add_case(kind == PoolKind::kMax ? "maxpool_3x3s2" : "avgpool_3x3s2", kernels,
             [kind](const RowKernels& k, const Memory& in, const Memory& out) {
               MapShape half = kBytes;
               half.height = half.width = kSize / 2;
               k.quant_pool({bytes_of(in), bytes_of(out, half), 0, kBlocks, kind, false, 0, 0,
                             {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, 1.1f, {0, kSize / 2}});
             });
  }
}
void add_quant_add(const RowKernels& kernels) {
  add_case("add", kernels, [](const RowKernels& k, const Memory& in, const Memory& out) {
    k.quant_add({bytes_of(in), bytes_of(in), bytes_of(out), 0, kBlocks, 0.3f, 0.8f, 100, 255, kAll});
  });
}
void add_quant_copy(const RowKernels& kernels) {
  for (const bool requantize : {false, true}) {
    add_case(requantize ? "concat_requantized" : "concat", kernels,
             [requantize](const RowKernels& k, const Memory& in, const Memory& out) {
               k.quant_copy({bytes_of(in), bytes_of(out), 0, false, requantize, 1.3f, kAll});
             });
  }
}
void add_quantize(const RowKernels& kernels) {
  add_case("quantize", kernels, [](const RowKernels& k, const Memory& in, const Memory& out) {
    k.quantize({floats_of(in), bytes_of(out), 0, kBlocks, 0.03f, 100, kAll});
  });
}
void add_dequantize(const RowKernels& kernels) {
  add_case("dequantize", kernels, [](const RowKernels& k, const Memory& in, const Memory& out) {
    k.dequantize({bytes_of(in), floats_of(out), 0, kBlocks, 0.03f, 100, kAll});
  });
}
void add_fill_pads(const RowKernels& kernels) {
  add_case("fill_pads", kernels, [](const RowKernels& k, const Memory&, const Memory& out) {
    k.fill_pads(bytes_of(out), kAll);
  });
}

}  // namespace

double register_quant_benchmarks(const RowKernels& kernels, CpuMask mask) {
  g_peak_gops = measure_vnni_peak(mask);
#define CARREL_ROW_KERNEL(name, ...) add_##name(kernels);
#include "engine/kernels/rows/quant_kernels.inc"
#undef CARREL_ROW_KERNEL
  return g_peak_gops;
}

}  // namespace carrel
