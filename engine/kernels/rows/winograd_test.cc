// Winograd's convolution of every ISA, driven as the engine does, against a naive double reference.
#include "engine/kernels/rows/winograd.h"

#include "engine/kernels/rows/rows_testing.h"

namespace carrel::testing_rows {
namespace {

struct Case {
  uint32_t side, in_channels, out_channels, height, width;
  uint16_t pad = 1;
  Unary activation = {};
  uint32_t in_block = 0, out_block = 0;
  bool residual = false;
};

Window window_of(const Case& c) { return {3, 3, 1, 1, 1, 1, c.pad, c.pad, c.pad, c.pad}; }
uint32_t out_height(const Case& c) { return c.height + 2u * c.pad - 2; }
uint32_t out_width(const Case& c) { return c.width + 2u * c.pad - 2; }

// What rounding may do, relative to the largest sum of |products|. The transforms' norms multiply: a
// row of A^T for 4 x 4 tiles sums to 19, one of B^T to 10, of G to 1/2, in two dimensions; few terms
// come near their product, and one input channel comes nearest (50 seen in 10^6 outputs).
double growth(uint32_t side) { return side == 4 ? 100 : 8; }

class WinogradRun {
 public:
  WinogradRun(const Case& c, uint32_t seed) : case_(c) {
    Random random(seed);
    in_ = random.values(size_t{c.in_channels} * c.height * c.width);
    weights_ = random.values(size_t{c.out_channels} * c.in_channels * 9);
    bias_ = random.values(c.out_channels);
    residual_ = random.values(size_t{c.out_channels} * out_height(c) * out_width(c));
    grid_ = *make_tile_grid(
        {WeightsKind::kConv, StoredType::kF32, c.in_channels, c.out_channels, 3, 3, 0});
  }

  std::vector<Expected> expected() const {
    const uint32_t oh = out_height(case_), ow = out_width(case_);
    std::vector<double> sums;
    double largest = 0;
    for (uint32_t o = 0; o < case_.out_channels; ++o) {
      for (uint32_t y = 0; y < oh; ++y) {
        for (uint32_t x = 0; x < ow; ++x) {
          double magnitude = 0;
          const double start = case_.residual ? static_cast<double>(residual_[sums.size()]) : 0;
          sums.push_back(start + sum(o, y, x, &magnitude));
          largest = std::max(largest, magnitude);
        }
      }
    }
    const double error = growth(case_.side) * kEpsilon * largest;
    std::vector<Expected> result;
    for (double s : sums) result.push_back({activate(case_.activation, s), error});
    return result;
  }

  // Slabs of `slab_rows` rows over a ring that holds just what a slab needs, panels over `threads`.
  std::vector<float> run(const RowKernels& kernels, uint32_t slab_rows, uint32_t threads) const {
    const Case& c = case_;
    const uint32_t oh = out_height(c), ow = out_width(c);
    const Window window = window_of(c);
    Map in({c.in_block * kLanes + c.in_channels, c.height, c.width, c.pad,
            winograd_right_pad(c.side, window, c.width, ow)},
           std::min(c.height, slab_rows + 2));
    Map out({c.out_block * kLanes + c.out_channels, oh, ow, 1, 2});
    Map residual({c.out_channels, oh, ow, 3, 0});
    residual.fill(residual_);
    const Floats stream = packed(grid_, weights_, bias_, kernels);
    uint32_t filled = 0;
    for (uint32_t y = 0; y < oh; y += slab_rows) {
      const RowRange rows = {y, std::min(oh, y + slab_rows)};
      const int32_t wanted = std::min(static_cast<int32_t>(c.height), window.end_row(rows.end - 1));
      for (; static_cast<int32_t>(filled) < wanted; ++filled) fill(in, filled);
      run_slab(kernels, in, out, c.residual ? residual.ring() : RowRing(), stream, rows, threads);
    }
    EXPECT_TRUE(out.pads_are_zero());
    std::vector<float> all = out.dense();
    const size_t skipped = size_t{c.out_block} * kLanes * oh * ow;
    for (size_t i = 0; i < skipped; ++i) EXPECT_EQ(all[i], kPoison);
    return {all.begin() + static_cast<std::ptrdiff_t>(skipped), all.end()};
  }

 private:
  double sum(uint32_t o, uint32_t y, uint32_t x, double* magnitude) const {
    const Case& c = case_;
    double total = static_cast<double>(bias_[o]);
    *magnitude = std::fabs(total);
    for (uint32_t i = 0; i < c.in_channels; ++i) {
      for (uint32_t k = 0; k < 9; ++k) {
        const int64_t iy = int64_t{y} - c.pad + k / 3, ix = int64_t{x} - c.pad + k % 3;
        if (iy < 0 || ix < 0 || iy >= c.height || ix >= c.width) continue;
        const size_t at = (size_t{i} * c.height + static_cast<size_t>(iy)) * c.width +
                          static_cast<size_t>(ix);
        const double term = static_cast<double>(in_[at]) *
                            static_cast<double>(weights_[(size_t{o} * c.in_channels + i) * 9 + k]);
        total += term;
        *magnitude += std::fabs(term);
      }
    }
    return total;
  }

  void run_slab(const RowKernels& kernels, const Map& in, const Map& out, const RowRing& residual,
                const Floats& stream, RowRange rows, uint32_t threads) const {
    const Case& c = case_;
    WinogradSlab slab{&kernels, in.ring(), out.ring(), c.in_block, c.out_block, c.in_channels,
                      c.out_channels, window_of(c), c.activation, rows,
                      winograd_planes(c.side, rows.end - rows.begin, out_width(c), c.in_channels),
                      nullptr, residual};
    const Floats scratch(slab.planes.scratch_bytes(threads) / sizeof(float));
    for (size_t i = 0; i < scratch.size(); ++i) scratch.data()[i] = kPoison;
    slab.scratch = scratch.data();
    const uint32_t blocks = slab.planes.in_blocks, units = grid_.tile_count / grid_.chunks_per_panel;
    for (uint32_t t = 0; t < threads; ++t) {
      const uint32_t begin = blocks * t / threads, end = blocks * (t + 1) / threads;
      slab.transform_input(begin, end - begin);
    }
    for (uint32_t t = 0; t < threads; ++t) {
      WinogradWeights panels(slab, t);
      const uint32_t chunks = grid_.chunks_per_panel;
      for (uint32_t i = units * t / threads * chunks; i < units * (t + 1) / threads * chunks; ++i) {
        panels.take(grid_, tile_info(grid_, i),
                    stream.data() + tile_expanded_offset(grid_, i) / sizeof(float));
      }
    }
  }

  void fill(const Map& map, uint32_t y) const {
    for (uint32_t i = 0; i < case_.in_channels; ++i) {
      for (uint32_t x = 0; x < case_.width; ++x) {
        map.at(case_.in_block * kLanes + i, y, x) =
            in_[(size_t{i} * case_.height + y) * case_.width + x];
      }
    }
  }

  Case case_;
  std::vector<float> in_, weights_, bias_, residual_;
  TileGrid grid_;
};

std::vector<Case> cases() {
  std::vector<Case> cases;
  for (uint32_t side : {2u, 4u}) {
    for (uint32_t size : {1u, 2u, 3u, 4u, 5u, 7u, 8u, 13u, 15u, 16u, 17u, 33u})
      cases.push_back({side, 17, 33, 9, size});
    for (uint32_t height : {1u, 2u, 4u, 5u, 8u}) cases.push_back({side, 16, 16, height, 6});
    for (uint32_t channels : {1u, 15u, 16u, 31u, 48u, 64u, 65u, 96u, 140u}) {
      cases.push_back({side, channels, 40, 8, 9});
      cases.push_back({side, 20, channels, 8, 9});
    }
    for (uint16_t pad : {uint16_t{0}, uint16_t{2}}) cases.push_back({side, 33, 34, 10, 11, pad});
    for (UnaryFn fn : {UnaryFn::kRelu, UnaryFn::kClip, UnaryFn::kSigmoid})
      cases.push_back({side, 33, 37, 7, 11, 1, {fn, 0.125f, 0.75f}});
    cases.push_back({side, 20, 20, 5, 6, 1, {}, 2, 3});  // a group inside wider maps
    cases.push_back({side, 20, 45, 7, 11, 1, {UnaryFn::kRelu, 0, 0}, 0, 0, true});
  }
  return cases;
}

std::string describe(const Case& c) {
  char text[160];
  snprintf(text, sizeof(text), "%u x %u tiles, %u -> %u channels, %u x %u, pad %u", c.side, c.side,
           c.in_channels, c.out_channels, c.height, c.width, c.pad);
  return text;
}

class WinogradTest : public ::testing::TestWithParam<CpuMask> {};
INSTANTIATE_TEST_SUITE_P(Masks, WinogradTest, ::testing::ValuesIn(masks()), mask_name);

TEST_P(WinogradTest, EqualsReferenceHoweverItIsCut) {
  const RowKernels& kernels = row_kernels(GetParam());
  uint32_t seed = 1;
  for (const Case& c : cases()) {
    SCOPED_TRACE(describe(c));
    const WinogradRun run(c, ++seed);
    const std::vector<float> whole = run.run(kernels, 64, 1);
    expect_near(whole, run.expected());
    EXPECT_EQ(run.run(kernels, c.side, 1), whole);
    EXPECT_EQ(run.run(kernels, 2 * c.side, 3), whole);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Winograd, Avx2AndAvx512GiveTheSameBits) {
  if (!(detect_cpu() & kCpuAvx512)) GTEST_SKIP() << "no AVX-512 here";
  for (const Case& c : cases()) {
    SCOPED_TRACE(describe(c));
    const WinogradRun run(c, 7);
    EXPECT_EQ(run.run(row_kernels(kCpuAvx2), 8, 1), run.run(row_kernels(detect_cpu()), 8, 1));
  }
}

}  // namespace
}  // namespace carrel::testing_rows
