// Runs every row kernel, and every plain operator on floats but Cast (folding only), with inputs
// and weights that valgrind holds for undefined: a branch or an address that depends on them is an
// error that memcheck reports. Without valgrind it proves nothing. valgrind's processor has AVX2
// but no AVX-512: tools/check_oblivious.py reads the machine code of those kernels instead.
//
// usage: oblivious_kernels [--leak]      --leak: also branches on an input, so that the check
// itself is checked
#include <valgrind/memcheck.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/kernels/plain/plain.h"
#include "engine/kernels/rows/winograd.h"
#include "tests/trace/oblivious_quant.h"

namespace carrel {
namespace {

struct Free {
  void operator()(void* p) const { std::free(p); }
};

// Zeroed, then undefined: what an attacker must learn nothing of.
class SecretFloats {
 public:
  explicit SecretFloats(size_t count)
      : bytes_((count * sizeof(float) + 63) / 64 * 64 + 64),
        data_(static_cast<float*>(std::aligned_alloc(64, bytes_))) {
    std::memset(data_.get(), 0, bytes_);
    VALGRIND_MAKE_MEM_UNDEFINED(data_.get(), bytes_);
  }
  float* data() const { return data_.get(); }

 private:
  size_t bytes_;
  std::unique_ptr<float, Free> data_;
};

class SecretMap {
 public:
  explicit SecretMap(MapShape shape, uint32_t ring_rows = 0)
      : rows_(ring_rows > 0 ? ring_rows : shape.height),
        floats_(shape.row_floats() * rows_),
        shape_(shape) {}
  operator RowRing() const {
    return {floats_.data(), shape_, rows_};
  }  // NOLINT: implicit by design

 private:
  uint32_t rows_;
  SecretFloats floats_;
  MapShape shape_;
};

// Awkward sizes: neither channels nor columns fill a register tile.
constexpr uint32_t kChannels = 37, kHeight = 9, kWidth = 19;
constexpr MapShape kShape{kChannels, kHeight, kWidth, 2, 2};
constexpr MapShape kPlanarShape{3, kHeight, kWidth, 2, 2, ElementType::kPlanarF32};
constexpr uint32_t kBlocks = kShape.blocks();
constexpr RowRange kAll{0, kHeight};

std::vector<Unary> activations() {
  std::vector<Unary> all;
  for (uint8_t fn = 0; fn < static_cast<uint8_t>(UnaryFn::kCount); ++fn)
    all.push_back({static_cast<UnaryFn>(fn), 0.2f, 0.8f});
  return all;
}

void one_conv(const RowKernels& k, const MapShape& in, const MapShape& out, const Window& window,
              const Unary& fn) {
  const WeightsShape weights{WeightsKind::kConv, StoredType::kF32, in.channels,
                             out.channels,       window.kernel_h,  window.kernel_w};
  const TileGrid grid = *make_tile_grid(weights);
  const SecretFloats packed(grid.expanded_bytes / sizeof(float));
  const SecretMap x(in), y(out);
  for (uint32_t t = 0; t < grid.tile_count; ++t) {
    const TileInfo tile = tile_info(grid, t);
    ConvCall call{x,
                  y,
                  0,
                  0,
                  in.channels,
                  out.channels,
                  tile.panel_begin,
                  tile.panel_count,
                  tile.tap_begin,
                  tile.tap_end,
                  grid.taps,
                  packed.data() + tile_expanded_offset(grid, t) / sizeof(float),
                  window,
                  fn,
                  {0, out.height}};
    k.conv(call);
  }
}

// One function for each entry of the list of kernels; a kernel without one does not compile.
void exercise_conv(const RowKernels& k) {
  const Window three{3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, strided{3, 3, 2, 2, 1, 1, 1, 1, 1, 1},
      dilated{3, 3, 1, 1, 2, 2, 2, 2, 2, 2};
  const MapShape half{45, 5, 10, 0, 0}, same{45, kHeight, kWidth, 0, 0};
  for (const Unary& fn : activations()) one_conv(k, kShape, same, Window(), fn);
  one_conv(k, kShape, same, three, {UnaryFn::kRelu});
  one_conv(k, kShape, half, strided, {});
  one_conv(k, kShape, same, dilated, {});
  one_conv(k, kPlanarShape, half, strided, {});
  one_conv(k, kPlanarShape, same, dilated, {UnaryFn::kRelu});
  one_conv(k, {300, 1, 1, 0, 0}, {70, 1, 1, 0, 0}, Window(), {UnaryFn::kRelu});
  one_conv(k, {300, 2, 2, 1, 1}, {20, 2, 2, 0, 0}, three, {});
}

// Runs all four of its kernels.
void exercise_winograd(const RowKernels& k, uint32_t side) {
  const Window three{3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  const uint32_t in_channels = 140, channels = 45;
  const TileGrid grid =
      *make_tile_grid({WeightsKind::kConv, StoredType::kF32, in_channels, channels, 3, 3});
  const SecretFloats packed(grid.expanded_bytes / sizeof(float));
  const SecretMap x({in_channels, kHeight, kWidth, 2, 6}), y({channels, kHeight, kWidth, 0, 0});
  const WinogradPlanes planes = winograd_planes(side, kHeight, kWidth, in_channels);
  const SecretFloats scratch(planes.scratch_bytes(1) / sizeof(float));
  const WinogradSlab slab{&k, x, y, 0, 0, in_channels, channels, three, {UnaryFn::kRelu}, kAll,
                          planes, scratch.data()};
  slab.transform_input(0, planes.in_blocks);
  WinogradWeights panels(slab, 0);
  for (uint32_t t = 0; t < grid.tile_count; ++t) {
    panels.take(grid, tile_info(grid, t),
                packed.data() + tile_expanded_offset(grid, t) / sizeof(float));
  }
}
void exercise_winograd_input(const RowKernels& k) { exercise_winograd(k, 4); }
void exercise_winograd_filter(const RowKernels& k) { exercise_winograd(k, 2); }
void exercise_winograd_multiply(const RowKernels& k) { exercise_winograd(k, 4); }
void exercise_winograd_output(const RowKernels& k) { exercise_winograd(k, 2); }

void one_dense(const RowKernels& k, StoredType stored, const MapShape& in, const Unary& fn) {
  const TileGrid grid = *make_tile_grid(
      {WeightsKind::kDense, stored, in.channels, kChannels, in.height, in.width, 0});
  const SecretFloats packed(grid.expanded_bytes / sizeof(float));
  const SecretMap x(in), y({kChannels, 1, 1, 0, 0});
  for (uint32_t t = 0; t < grid.tile_count; ++t) {
    const TileInfo tile = tile_info(grid, t);
    dense_kernel(k, stored)({x, y, tile.panel_begin, tile.panel_count, tile.tap_begin, tile.tap_end,
                             grid.taps,
                             reinterpret_cast<const std::byte*>(packed.data()) +
                                 tile_expanded_offset(grid, t),
                             fn});
  }
}

void exercise_dense(const RowKernels& k, StoredType stored) {
  one_dense(k, stored, {2000, 1, 1, 0, 0}, {});
  one_dense(k, stored, kShape, {UnaryFn::kRelu});
}
void exercise_dense_f32(const RowKernels& k) { exercise_dense(k, StoredType::kF32); }
void exercise_dense_f16(const RowKernels& k) { exercise_dense(k, StoredType::kF16); }
void exercise_dense_i8(const RowKernels& k) { exercise_dense(k, StoredType::kI8); }
void exercise_dense_i4(const RowKernels& k) { exercise_dense(k, StoredType::kI4); }

void exercise_depthwise(const RowKernels& k) {
  for (const Window& window :
       {Window{3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, Window{5, 5, 1, 1, 1, 1, 2, 2, 2, 2}}) {
    const SecretMap x(kShape), y(kShape);
    const SecretFloats weights(size_t{kBlocks} * kLanes * (1 + window.kernel_h * window.kernel_w));
    for (const Unary& fn : activations())
      k.depthwise({x, y, 0, kBlocks, weights.data(), window, fn, kAll});
  }
}

void exercise_pool(const RowKernels& k) {
  const SecretMap x(kShape), y(kShape);
  const Window window{3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  k.pool({x, y, 0, kBlocks, PoolKind::kMax, false, 0, 0, window, kAll});
  for (bool include : {false, true})
    k.pool({x, y, 0, kBlocks, PoolKind::kAverage, include, 1, 1, window, kAll});
}

void exercise_global_pool(const RowKernels& k) {
  const SecretMap x(kShape), y({kChannels, 1, 1, 0, 0});
  for (PoolKind kind : {PoolKind::kMax, PoolKind::kAverage})
    k.global_pool({x, y, 0, kBlocks, kind, kAll, true, true});
}

void exercise_unary(const RowKernels& k) {
  const SecretMap x(kShape), y(kShape);
  const SecretFloats vectors(size_t{kBlocks} * kLanes * 2);
  for (const Unary& fn : activations()) {
    k.unary({x, y, 0, kBlocks, nullptr, false, fn, kAll});
    k.unary({x, y, 0, kBlocks, vectors.data(), false, fn, kAll});
  }
  k.unary({x, y, 0, kBlocks, vectors.data(), true, {}, kAll});
}

void exercise_binary(const RowKernels& k) {
  const SecretMap a(kShape), b(kShape), one({kChannels, 1, 1, 0, 0}), y(kShape);
  for (uint8_t fn = 0; fn < kBinaryFnCount; ++fn) {
    for (bool swap : {false, true}) {
      k.binary({a, b, y, 0, kBlocks, static_cast<BinaryFn>(fn), swap, {}, kAll});
      k.binary({a, one, y, 0, kBlocks, static_cast<BinaryFn>(fn), swap, {UnaryFn::kRelu}, kAll});
    }
  }
}

void exercise_lrn(const RowKernels& k) {
  const SecretMap x(kShape), y(kShape);
  for (float beta : {0.75f, 0.6f}) k.lrn({x, y, 5, 1e-4f, beta, 1, kAll});
}

void exercise_softmax(const RowKernels& k) {
  const SecretMap x(kShape), y(kShape);
  for (bool log : {false, true}) k.softmax({x, y, log, kAll});
}

void exercise_copy(const RowKernels& k) {
  const SecretMap small(kShape), large({kChannels + 40, kHeight, kWidth, 1, 0});
  for (uint32_t begin : {0u, 16u, 21u}) {
    k.copy({small, large, begin, false, kAll});
    k.copy({large, small, begin, true, kAll});
  }
}

void exercise_dense_to_row(const RowKernels& k) {
  const SecretMap map(kShape);
  const SecretFloats dense(size_t{kChannels} * kWidth);
  k.dense_to_row({map, dense.data(), kWidth, 3});
  k.dense_to_row({SecretMap(kPlanarShape), dense.data(), kWidth, 3});
}

void exercise_row_to_dense(const RowKernels& k) {
  const SecretMap map(kShape);
  const SecretFloats dense(size_t{kChannels} * kWidth);
  k.row_to_dense({map, dense.data(), kWidth, 3});
}

void exercise_zero_pads(const RowKernels& k) {
  k.zero_pads(SecretMap(kShape), kAll);
  k.zero_pads(SecretMap(kPlanarShape), kAll);
}

void exercise_expand_f16(const RowKernels& k) {
  for (WeightsKind kind : {WeightsKind::kConv, WeightsKind::kDepthwise, WeightsKind::kPlain}) {
    const TileGrid grid =
        *make_tile_grid({kind, StoredType::kF16, kChannels, kChannels, 3, 3, 1000});
    for (uint32_t t = 0; t < grid.tile_count; ++t) {
      const TileInfo tile = tile_info(grid, t);
      k.expand_f16(SecretFloats(tile.expanded_bytes / sizeof(float)).data(), grid, tile);
    }
  }
}

using Dims = std::vector<int64_t>;
struct PlainCase {
  const char* name;
  PlainOp op;
  std::vector<Dims> inputs;
  Dims output;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  Unary activation;
  size_t output_count = 1;  // all of the same shape
};

std::vector<PlainCase> plain_cases() {
  const Dims map{1, 6, 5, 7}, channels{6};
  std::vector<PlainCase> all = {
      {"Conv",
       PlainOp::kConv,
       {map, {4, 6, 3, 3}, {4}},
       {1, 4, 5, 7},
       {1, 1, 1, 1, 1, 1, 1, 1, 1},
       {},
       {UnaryFn::kRelu}},
      {"ConvTranspose",
       PlainOp::kConvTranspose,
       {map, {6, 4, 2, 2}},
       {1, 4, 10, 14},
       {1, 2, 2, 0, 0, 0, 0, 1, 1, 0, 0},
       {},
       {}},
      {"Gemm", PlainOp::kGemm, {{5, 7}, {7, 9}, {9}}, {5, 9}, {0, 0}, {1, 1}, {}},
      {"MatMul", PlainOp::kMatMul, {{2, 5, 7}, {2, 7, 9}}, {2, 5, 9}, {}, {}, {}},
      {"Affine", PlainOp::kAffine, {map, channels, channels}, map, {}, {}, {}},
      {"BatchNorm",
       PlainOp::kBatchNorm,
       {map, channels, channels, channels, channels},
       map,
       {},
       {1e-5f},
       {}},
      {"InstanceNorm", PlainOp::kInstanceNorm, {map, channels, channels}, map, {}, {1e-5f}, {}},
      {"LayerNorm", PlainOp::kLayerNorm, {{5, 7}, {7}, {7}}, {5, 7}, {1}, {1e-5f}, {}},
      {"Lrn", PlainOp::kLrn, {map}, map, {5}, {1e-4f, 0.75f, 1}, {}},
      {"PRelu", PlainOp::kPRelu, {map, {6, 1, 1}}, map, {}, {}, {}},
      {"Softmax", PlainOp::kSoftmax, {{5, 7}}, {5, 7}, {1}, {}, {}},
      {"LogSoftmax", PlainOp::kLogSoftmax, {{5, 7}}, {5, 7}, {1}, {}, {}},
      {"MaxPool", PlainOp::kMaxPool, {map}, {1, 6, 3, 5}, {3, 3, 1, 1, 0, 0, 0, 0, 1, 1}, {}, {}},
      {"AveragePool",
       PlainOp::kAveragePool,
       {map},
       map,
       {3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0},
       {},
       {}},
      {"AveragePool",
       PlainOp::kAveragePool,
       {map},
       map,
       {3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
       {},
       {}},
      {"Slice", PlainOp::kSlice, {map}, {1, 3, 5, 5}, {0, 1, 0, 2, 1, 2, 1, 1}, {}, {}},
      {"Split", PlainOp::kSplit, {map}, {1, 3, 5, 7}, {1}, {}, {}, 2},
      {"Gather", PlainOp::kGather, {{5, 7}}, {5, 3}, {1, 3, 0, 6}, {}, {}},
      {"Resize, nearest", PlainOp::kResize, {map}, {1, 6, 10, 14}, {0, 1, 1}, {1, 1, 2, 2}, {}},
      {"Resize, linear", PlainOp::kResize, {map}, {1, 6, 10, 14}, {1, 0, 0}, {1, 1, 2, 2}, {}},
      {"SpaceToDepth", PlainOp::kSpaceToDepth, {{1, 2, 10, 14}}, {1, 8, 5, 7}, {2}, {}, {}},
      {"QConv",
       PlainOp::kQConv,
       {map, {4, 6, 3, 3}, {4}, {4}},
       {1, 4, 5, 7},
       {1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 0, 255},
       {1, 1},
       {}},
      {"QGemm", PlainOp::kQGemm, {{5, 7}, {9, 7}, {9}, {9}}, {5, 9}, {3, 4, 0, 255}, {1, 1}, {}},
      {"QAdd", PlainOp::kQAdd, {map, map}, map, {1, 2, 3, 0, 255}, {1, 1, 1}, {}},
      {"QAveragePool",
       PlainOp::kQAveragePool,
       {map},
       map,
       {3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 3, 4},
       {1, 1},
       {}},
      {"QConcat", PlainOp::kQConcat, {{5, 7}, {5, 2}}, {5, 9}, {1, 3, 4, 5}, {1, 1, 1}, {}},
      {"Quantize", PlainOp::kQuantize, {map}, map, {3}, {1}, {}},
      {"Dequantize", PlainOp::kDequantize, {map}, map, {3}, {1}, {}},
      {"Transpose", PlainOp::kTranspose, {{5, 7}}, {7, 5}, {1, 0}, {}, {}},
      {"Reshape", PlainOp::kReshape, {{5, 7}}, {35}, {}, {}, {}},
      {"Concat", PlainOp::kConcat, {{5, 7}, {5, 2}}, {5, 9}, {1}, {}, {}},
      {"Expand", PlainOp::kExpand, {{1, 7}}, {5, 7}, {}, {}, {}},
  };
  for (int64_t mode : {0, 1, 2})
    all.push_back(
        {"Pad", PlainOp::kPad, {map}, {1, 6, 7, 9}, {mode, 0, 0, 1, 1, 0, 0, 1, 1}, {}, {}});
  for (int64_t mode : {0, 1})
    all.push_back({"DepthToSpace",
                   PlainOp::kDepthToSpace,
                   {{1, 8, 5, 7}},
                   {1, 2, 10, 14},
                   {2, mode},
                   {},
                   {}});
  for (PlainOp op : {PlainOp::kAdd, PlainOp::kSub, PlainOp::kMul, PlainOp::kDiv, PlainOp::kPow,
                     PlainOp::kMax, PlainOp::kMin}) {
    all.push_back({"binary", op, {{5, 7}, {7}}, {5, 7}, {}, {}, {}});
  }
  for (PlainOp op : {PlainOp::kReduceMean, PlainOp::kReduceSum, PlainOp::kReduceMax,
                     PlainOp::kReduceMin, PlainOp::kReduceProd}) {
    all.push_back({"reduce", op, {{5, 7}}, {5, 1}, {1, 1}, {}, {}});
  }
  for (const Unary& fn : activations())
    all.push_back({"unary", PlainOp::kUnary, {{5, 7}}, {5, 7}, {}, {}, fn});
  return all;
}

PlainTensor view_of(const Dims& dims, const SecretFloats& floats) {
  PlainTensor tensor;
  tensor.rank = static_cast<uint8_t>(dims.size());
  std::copy(dims.begin(), dims.end(), tensor.dims);
  tensor.data = floats.data();
  return tensor;
}

size_t count_of(const Dims& dims) {
  size_t count = 1;
  for (int64_t d : dims) count *= static_cast<size_t>(d);
  return count;
}

bool exercise_plain(const PlainCase& c) {
  std::vector<SecretFloats> memory;
  std::vector<PlainTensor> inputs, outputs;
  memory.reserve(c.inputs.size() + c.output_count);
  for (const Dims& dims : c.inputs)
    inputs.push_back(view_of(dims, memory.emplace_back(count_of(dims))));
  for (size_t i = 0; i < c.output_count; ++i)
    outputs.push_back(view_of(c.output, memory.emplace_back(count_of(c.output))));
  PlainCall call{c.op, inputs, outputs, c.ints, c.floats, c.activation};
  const Status status = run_plain(call);
  if (!status.ok()) std::fprintf(stderr, "%s: %s\n", c.name, status.error().message());
  return status.ok();
}

// What the check must find.
int leak() {
  const SecretFloats secret(1);
  volatile int branches = 0;
  if (*static_cast<volatile float*>(secret.data()) > 0.5f) branches = 1;
  return branches;
}

int exercise_all() {
  for (CpuMask mask : {kCpuGeneric, detect_cpu() & ~CpuMask{kCpuAvxVnni}, detect_cpu()}) {
    const RowKernels& k = row_kernels(mask);
    std::printf("row kernels, %s\n", isa_name(k.level));
#define CARREL_ROW_KERNEL(name, ...) exercise_##name(k);
#include "engine/kernels/rows/row_kernels.inc"
#include "engine/kernels/rows/quant_kernels.inc"
#undef CARREL_ROW_KERNEL
  }
  int failures = 0;
  const std::vector<PlainCase> cases = plain_cases();
  for (const PlainCase& c : cases) failures += exercise_plain(c) ? 0 : 1;
  std::printf("%zu cases of plain operators\n", cases.size());
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace carrel

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--leak") == 0) return carrel::leak();
  return carrel::exercise_all();
}
