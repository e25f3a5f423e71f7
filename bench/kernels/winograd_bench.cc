// Winograd's convolution on stride-1 3 x 3 layers, slab by slab and tile by tile as the engine drives
// it, weights in the clear. GF/s counts the direct convolution's operations.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/kernels/rows_bench.h"
#include "engine/kernels/rows/winograd.h"

namespace carrel {
namespace {

struct Layer {
  const char* name;
  uint32_t in_channels, out_channels, size, slab_rows;
};
const Layer kLayers[] = {
    {"224_64_64", 64, 64, 224, 4},     {"112_64_128", 64, 128, 112, 4},
    {"112_128_128", 128, 128, 112, 4}, {"56_128_256", 128, 256, 56, 16},
    {"56_256_256", 256, 256, 56, 28},   {"28_256_512", 256, 512, 28, 28},
    {"28_512_512", 512, 512, 28, 28},  {"14_512_512", 512, 512, 14, 16},
    {"56_64_64", 64, 64, 56, 8},       {"28_128_128", 128, 128, 28, 28},
    {"14_256_256", 256, 256, 14, 16},  {"7_512_512", 512, 512, 7, 8},
};

struct Free {
  void operator()(float* p) const { std::free(p); }
};
std::unique_ptr<float[], Free> allocate(size_t floats) {
  const size_t bytes = (floats * sizeof(float) + 4095) / 4096 * 4096;
  std::unique_ptr<float[], Free> buffer(static_cast<float*>(std::aligned_alloc(4096, bytes)));
  std::mt19937 engine(1);
  for (size_t i = 0; i < bytes / sizeof(float); ++i)
    buffer[i] = static_cast<float>(static_cast<int32_t>(engine())) * 4.6566e-10f;
  return buffer;
}

void time_layer(benchmark::State& state, const Layer& layer, uint32_t side,
                const RowKernels& kernels) {
  const Window window{3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  const uint32_t size = layer.size;
  const MapShape in{layer.in_channels, size, size, 1, winograd_right_pad(side, window, size, size)};
  const MapShape out{layer.out_channels, size, size, 0, 0};
  const uint32_t in_rows = std::min(size, layer.slab_rows + 2);
  const auto in_memory = allocate(in.row_floats() * in_rows);
  const auto out_memory = allocate(out.row_floats() * layer.slab_rows);
  const TileGrid grid = *make_tile_grid(
      {WeightsKind::kConv, StoredType::kF32, layer.in_channels, layer.out_channels, 3, 3, 0});
  const auto weights = allocate(grid.expanded_bytes / sizeof(float));
  const WinogradPlanes most = winograd_planes(side, layer.slab_rows, size, layer.in_channels);
  const auto scratch = allocate(most.scratch_bytes(1) / sizeof(float));
  for (auto _ : state) {
    for (uint32_t y = 0; y < size; y += layer.slab_rows) {
      const RowRange rows{y, std::min(size, y + layer.slab_rows)};
      const WinogradSlab slab{&kernels, {in_memory.get(), in, in_rows},
                              {out_memory.get(), out, layer.slab_rows}, 0, 0, layer.in_channels,
                              layer.out_channels, window, {UnaryFn::kRelu, 0, 0}, rows,
                              winograd_planes(side, rows.end - y, size, layer.in_channels),
                              scratch.get()};
      slab.transform_input(0, slab.planes.in_blocks);
      WinogradWeights panels(slab, 0);
      for (uint32_t t = 0; t < grid.tile_count; ++t) {
        panels.take(grid, tile_info(grid, t),
                    weights.get() + tile_expanded_offset(grid, t) / sizeof(float));
      }
    }
  }
  const double flops = 18.0 * layer.in_channels * layer.out_channels * size * size;
  state.counters["GF/s"] = benchmark::Counter(flops * 1e-9 * static_cast<double>(state.iterations()),
                                              benchmark::Counter::kIsRate);
  state.counters["MiB"] = static_cast<double>(most.scratch_bytes(1)) / (1 << 20);
}

}  // namespace

void register_winograd_benchmarks(const RowKernels& kernels) {
  for (uint32_t side : {2u, 4u}) {
    for (const Layer& layer : kLayers) {
      const std::string name = "winograd" + std::to_string(side) + "/" + layer.name;
      benchmark::RegisterBenchmark(
          name.c_str(), [&layer, side, &kernels](benchmark::State& state) {
            time_layer(state, layer, side, kernels);
          })->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace carrel
