#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/kernels/rows_bench.h"
#include "engine/crypto/gcm.h"
#include "engine/layout/dense.h"

namespace carrel {
namespace {

constexpr uint32_t kIn = 512, kSide = 7, kOut = 4096;
const SecretKey kKey = {{4, 5, 6}};

struct Free {
  void operator()(void* p) const { std::free(p); }
};
template <typename T>
std::unique_ptr<T, Free> aligned(size_t count) {
  void* memory = std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64);
  std::memset(memory, 0, count * sizeof(T));
  return std::unique_ptr<T, Free>(static_cast<T*>(memory));
}

// The layer with random weights; tiles one after another, each followed by its tag.
class DenseBench {
 public:
  DenseBench(const RowKernels& kernels, StoredType stored)
      : grid_(*make_tile_grid({WeightsKind::kDense, stored, kIn, kOut, kSide, kSide, 0})),
        kernel_(dense_kernel(kernels, stored)),
        gcm_(kKey, detect_cpu()),
        plain_(aligned<std::byte>(grid_.stored_bytes)),
        sealed_(aligned<std::byte>(sealed_offset(grid_.tile_count))),
        tile_(aligned<std::byte>(grid_.max_stored_bytes)),
        in_floats_(aligned<float>(in_shape().row_floats() * kSide)),
        out_floats_(aligned<float>(out_shape().row_floats())) {
    std::mt19937 random(5);
    for (size_t i = 0; i < in_shape().row_floats() * kSide; ++i) in_floats_.get()[i] = value(random);
    fill_weights(random);
    for (uint32_t t = 0; t < grid_.tile_count; ++t) {
      std::byte* to = sealed_.get() + sealed_offset(t);
      const uint32_t bytes = tile_info(grid_, t).stored_bytes;
      gcm_.seal(tile_nonce(t), {}, plain_tile(t), to, bytes, to + bytes);
    }
  }

  bool decrypt(uint32_t t) {
    const std::byte* from = sealed_.get() + sealed_offset(t);
    const uint32_t bytes = tile_info(grid_, t).stored_bytes;
    return gcm_.open_from_untrusted(tile_nonce(t), {}, from, tile_.get(), bytes, from + bytes);
  }
  void use(uint32_t t, const std::byte* weights) {
    const TileInfo info = tile_info(grid_, t);
    kernel_({in(), out(), info.panel_begin, info.panel_count, info.tap_begin, info.tap_end,
             grid_.taps, weights, {}});
  }
  void run_plain() {
    for (uint32_t t = 0; t < grid_.tile_count; ++t) use(t, plain_tile(t));
  }
  bool run_sealed() {
    bool authentic = true;
    for (uint32_t t = 0; t < grid_.tile_count; ++t) {
      authentic &= decrypt(t);
      use(t, tile_.get());
    }
    return authentic;
  }
  bool run_decrypt() {
    bool authentic = true;
    for (uint32_t t = 0; t < grid_.tile_count; ++t) authentic &= decrypt(t);
    return authentic;
  }

  // Against the generic kernels, which the unit tests compare with double.
  bool correct() {
    const RowKernels& generic = row_kernels(kCpuGeneric);
    if (!run_sealed()) return false;
    const std::vector<float> result(out_floats_.get(), out_floats_.get() + kPanelWidth);
    const auto own = kernel_;
    kernel_ = dense_kernel(generic, grid_.shape.stored);
    for (uint32_t t = 0; t < grid_.chunks_per_panel; ++t) use(t, plain_tile(t));
    kernel_ = own;
    for (uint32_t c = 0; c < kPanelWidth; ++c) {
      if (!(std::fabs(out_floats_.get()[c] - result[c]) <= 1e-3f)) return false;
    }
    return true;
  }
  uint64_t bytes() const { return grid_.stored_bytes; }

 private:
  static MapShape in_shape() { return {kIn, kSide, kSide, 0, 0}; }
  static MapShape out_shape() { return {kOut, 1, 1, 0, 0}; }
  RowRing in() const { return {in_floats_.get(), in_shape(), kSide}; }
  RowRing out() const { return {out_floats_.get(), out_shape(), 1}; }
  static float value(std::mt19937& random) {
    return static_cast<float>(random() % 2048) / 1024 - 1;
  }
  uint64_t sealed_offset(uint32_t t) const { return tile_stored_offset(grid_, t) + t * kTagBytes; }
  std::byte* plain_tile(uint32_t t) const { return plain_.get() + tile_stored_offset(grid_, t); }

  void fill_weights(std::mt19937& random) {
    const size_t rows = size_t{grid_.taps} * kDenseTapRows;
    const std::span<std::byte> stream(plain_.get(), grid_.stored_bytes);
    if (!is_quantized(grid_.shape.stored)) {
      std::vector<float> weights(kOut * rows);
      for (float& w : weights) w = value(random) / 64;
      return pack_weights(grid_, weights, {}, stream);
    }
    const bool four = grid_.shape.stored == StoredType::kI4;
    std::vector<int8_t> codes(kOut * rows);
    for (int8_t& c : codes) c = static_cast<int8_t>(random() % (four ? 16 : 128));
    const std::vector<float> steps(four ? size_t{kOut} * grid_.taps : 0, 0.5f);
    const std::vector<float> scales(kOut, four ? 1.0f / 512 : 1.0f / 8192);
    pack_dense(grid_, {codes, steps, scales}, {}, stream);
  }

  TileGrid grid_;
  void (*kernel_)(const DenseCall&);
  Gcm gcm_;
  std::unique_ptr<std::byte, Free> plain_, sealed_, tile_;
  std::unique_ptr<float, Free> in_floats_, out_floats_;
};

enum class Mode { kPlain, kSealed, kDecrypt };

void time_dense(benchmark::State& state, const RowKernels& kernels, StoredType stored, Mode mode) {
  DenseBench bench(kernels, stored);
  if (!bench.correct()) return state.SkipWithError("wrong result");
  bool authentic = true;
  for (auto _ : state) {
    if (mode == Mode::kPlain) bench.run_plain();
    if (mode == Mode::kSealed) authentic &= bench.run_sealed();
    if (mode == Mode::kDecrypt) authentic &= bench.run_decrypt();
  }
  if (!authentic) state.SkipWithError("rejected");
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bench.bytes()));
}

}  // namespace

void register_dense_benchmarks(const char* name, const RowKernels& kernels, StoredType stored) {
  const std::string layer = std::string("dense/vgg16_25088_4096_") + name;
  const auto add = [&](const char* suffix, Mode mode) {
    benchmark::RegisterBenchmark((layer + suffix).c_str(), [&kernels, stored, mode](
                                                               benchmark::State& state) {
      time_dense(state, kernels, stored, mode);
    })->Unit(benchmark::kMillisecond);
  };
  add("/plain", Mode::kPlain);
  add("/sealed", Mode::kSealed);
  add("/decrypt", Mode::kDecrypt);
}

}  // namespace carrel
