// Convolution and depthwise convolution of every ISA against a naive double reference.
#include "engine/kernels/rows/rows_testing.h"

namespace carrel::testing_rows {
namespace {

struct ConvCase {
  uint32_t in_channels, out_channels, height, width;
  Window window;
  Unary activation = {};
  uint32_t in_block = 0, out_block = 0;
  bool residual = false;
};

uint32_t out_size(uint32_t in, int32_t pads, int32_t span, uint32_t stride) {
  return static_cast<uint32_t>(static_cast<int32_t>(in) + pads - span) / stride + 1;
}
uint32_t out_height(const ConvCase& c) {
  return out_size(c.height, c.window.pad_top + c.window.pad_bottom, c.window.span_h(),
                  c.window.stride_h);
}
uint32_t out_width(const ConvCase& c) {
  return out_size(c.width, c.window.pad_left + c.window.pad_right, c.window.span_w(),
                  c.window.stride_w);
}

// The columns right of the map that the last output pixel reads, and no more.
uint32_t right_pad(const ConvCase& c) {
  const int32_t end = static_cast<int32_t>((out_width(c) - 1) * c.window.stride_w) +
                      c.window.span_w() - c.window.pad_left;
  return static_cast<uint32_t>(std::max(0, end - static_cast<int32_t>(c.width)));
}

std::string describe(const ConvCase& c) {
  char text[200];
  const Window& w = c.window;
  snprintf(text, sizeof(text),
           "%u -> %u channels, %u x %u, kernel %u x %u, stride %u, dilation %u, pad %u,%u",
           c.in_channels, c.out_channels, c.height, c.width, w.kernel_h, w.kernel_w, w.stride_w,
           w.dilation_w, w.pad_top, w.pad_left);
  return text;
}

// n roundings of partial sums, each at most sum|terms|; the activations used here do not stretch,
// Sigmoid and the like add a few ulp of a value below 1.
std::vector<Expected> reference(const ConvCase& c, bool depthwise, const std::vector<float>& in,
                                const std::vector<float>& weights, const std::vector<float>& bias,
                                const std::vector<float>& residual = {}) {
  const Window& w = c.window;
  const uint32_t oh = out_height(c), ow = out_width(c), inputs = depthwise ? 1 : c.in_channels;
  std::vector<Expected> result;
  for (uint32_t o = 0; o < c.out_channels; ++o) {
    for (uint32_t y = 0; y < oh; ++y) {
      for (uint32_t x = 0; x < ow; ++x) {
        double sum = static_cast<double>(bias[o]), magnitude = std::fabs(sum);
        if (!residual.empty()) {
          sum += static_cast<double>(residual[result.size()]);
          magnitude += std::fabs(static_cast<double>(residual[result.size()]));
        }
        for (uint32_t i = 0; i < inputs; ++i) {
          for (uint32_t h = 0; h < w.kernel_h; ++h) {
            for (uint32_t v = 0; v < w.kernel_w; ++v) {
              const int64_t iy = int64_t{y} * w.stride_h - w.pad_top + h * w.dilation_h;
              const int64_t ix = int64_t{x} * w.stride_w - w.pad_left + v * w.dilation_w;
              if (iy < 0 || ix < 0 || iy >= c.height || ix >= c.width) continue;
              const size_t channel = depthwise ? o : i;
              const size_t at = (channel * c.height + static_cast<size_t>(iy)) * c.width +
                                static_cast<size_t>(ix);
              const size_t wt = ((size_t{o} * inputs + i) * w.kernel_h + h) * w.kernel_w + v;
              const double term = static_cast<double>(in[at]) * static_cast<double>(weights[wt]);
              sum += term;
              magnitude += std::fabs(term);
            }
          }
        }
        const double n = 1.0 + inputs * w.kernel_h * w.kernel_w;
        result.push_back(
            {activate(c.activation, sum), 2 * n * kEpsilon * magnitude + 8 * kEpsilon});
      }
    }
  }
  return result;
}

// How a run is cut into calls.
struct Cut {
  uint32_t taps = 0xffffffffu;    // taps per call, at most
  uint32_t panels = 0xffffffffu;  // panels per call, at most
  uint32_t rows = 0xffffffffu;    // output rows per call, at most
  uint32_t ring_rows = 0;         // 0: the whole input is resident
  bool planar = false;            // the input map
};

// The weights of panel `panel`, taps [begin, end), in a buffer of their own.
Floats cut_weights(const ConvCase& c, const Floats& stream, uint32_t panel_begin,
                   uint32_t panel_end, uint32_t tap_begin, uint32_t tap_end) {
  const uint32_t area = uint32_t{c.window.kernel_h} * c.window.kernel_w;
  const auto rows_before = [&](uint32_t tap) {
    uint32_t rows = 0;
    for (uint32_t t = 0; t < tap; ++t) rows += std::min(16u, c.in_channels - t / area * 16);
    return rows;
  };
  const uint32_t all_rows = c.in_channels * area;
  const uint32_t begin = tap_begin == 0 ? 0 : 1 + rows_before(tap_begin),
                 end = 1 + rows_before(tap_end);
  std::vector<float> out;
  size_t offset = 0;
  WeightsShape shape{.kind = WeightsKind::kConv, .out_channels = c.out_channels};
  for (uint32_t p = 0; p < panel_end; ++p) {
    const size_t width = panel_width(shape, p);
    const float* panel = stream.data() + offset;
    if (p >= panel_begin) out.insert(out.end(), panel + begin * width, panel + end * width);
    offset += (size_t{1} + all_rows) * width;
  }
  Floats result(out.size());
  std::memcpy(result.data(), out.data(), out.size() * sizeof(float));
  return result;
}

class ConvRun {
 public:
  ConvRun(const ConvCase& c, uint32_t seed) : case_(c), random_(seed) {
    area_ = uint32_t{c.window.kernel_h} * c.window.kernel_w;
    in_ = random_.values(size_t{c.in_channels} * c.height * c.width);
    weights_ = random_.values(size_t{c.out_channels} * c.in_channels * area_);
    bias_ = random_.values(c.out_channels);
    if (c.residual) residual_ = random_.values(size_t{c.out_channels} * out_height(c) * out_width(c));
    grid_ = std::make_unique<TileGrid>(
        *make_tile_grid({WeightsKind::kConv, StoredType::kF32, c.in_channels, c.out_channels,
                         c.window.kernel_h, c.window.kernel_w, 0}));
  }
  std::vector<Expected> expected() const { return reference(case_, false, in_, weights_, bias_, residual_); }
  const TileGrid& grid() const { return *grid_; }

  // Output rows in slabs; for each slab all panel and tap cuts, the way the engine streams tiles.
  std::vector<float> run(const RowKernels& kernels, const Cut& cut) {
    const ConvCase& c = case_;
    const uint32_t oh = out_height(c), panels = grid_->panels, taps = grid_->taps;
    const Window& w = c.window;
    Map in({c.in_block * kLanes + c.in_channels, c.height, c.width, w.pad_left, right_pad(c),
            cut.planar ? ElementType::kPlanarF32 : ElementType::kF32},
           cut.ring_rows ? cut.ring_rows : c.height);
    Map out({c.out_block * kLanes + c.out_channels, oh, out_width(c), 1, 2});
    const Map residual({c.out_channels, oh, out_width(c), 2, 3}, std::min(oh, std::max(2u, cut.rows)));
    const Floats stream = packed(*grid_, weights_, bias_, kernels);
    uint32_t filled = 0;
    for (uint32_t y = 0; y < oh; y += std::min(cut.rows, oh - y)) {
      const RowRange rows = {y, y + std::min(cut.rows, oh - y)};
      for (uint32_t r = rows.begin; c.residual && r < rows.end; ++r) residual.fill_row(r, residual_);
      const int32_t wanted = std::min(static_cast<int32_t>(c.height), w.end_row(rows.end - 1));
      for (; static_cast<int32_t>(filled) < wanted; ++filled) fill(in, filled);
      for (uint32_t p = 0; p < panels; p += std::min(cut.panels, panels - p)) {
        const uint32_t p_end = p + std::min(cut.panels, panels - p);
        for (uint32_t t = 0; t < taps; t += std::min(cut.taps, taps - t)) {
          const uint32_t t_end = t + std::min(cut.taps, taps - t);
          const Floats tile = cut_weights(c, stream, p, p_end, t, t_end);
          kernels.conv({in.ring(), out.ring(), c.in_block, c.out_block, c.in_channels,
                        c.out_channels, p, p_end - p, t, t_end, taps, tile.data(), w, c.activation,
                        rows, c.residual ? residual.ring() : RowRing()});
        }
      }
    }
    EXPECT_TRUE(out.pads_are_zero());
    std::vector<float> all = out.dense();
    const size_t skipped = size_t{c.out_block} * kLanes * oh * out_width(c);
    for (size_t i = 0; i < skipped; ++i) EXPECT_EQ(all[i], kPoison);
    return {all.begin() + static_cast<std::ptrdiff_t>(skipped), all.end()};
  }

 private:
  void fill(const Map& map, uint32_t y) const {
    for (uint32_t i = 0; i < case_.in_channels; ++i) {
      for (uint32_t x = 0; x < case_.width; ++x) {
        map.at(case_.in_block * kLanes + i, y, x) =
            in_[(size_t{i} * case_.height + y) * case_.width + x];
      }
    }
  }
  ConvCase case_;
  Random random_;
  uint32_t area_;
  std::vector<float> in_, weights_, bias_, residual_;
  std::unique_ptr<TileGrid> grid_;
};

Window square(uint16_t kernel, uint16_t stride, uint16_t pad, uint16_t dilation = 1) {
  return {kernel, kernel, stride, stride, dilation, dilation, pad, pad, pad, pad};
}

std::vector<ConvCase> conv_cases() {
  std::vector<ConvCase> cases;
  for (uint32_t width : {1u, 2u, 3u, 5u, 6u, 7u, 8u, 12u, 13u, 14u, 15u, 28u, 29u, 31u, 43u}) {
    cases.push_back({17, 33, 3, width, square(3, 1, 1)});
    cases.push_back({5, 16, 2, width, square(1, 1, 0)});
  }
  for (uint32_t channels : {1u, 3u, 15u, 16u, 17u, 31u, 32u, 33u, 48u}) {
    cases.push_back({channels, 24, 4, 9, square(3, 1, 1)});
    cases.push_back({19, channels, 4, 9, square(3, 2, 1)});
    cases.push_back({channels, channels, 1, 1, square(1, 1, 0)});
  }
  for (uint16_t stride = 1; stride <= 5; ++stride) {
    for (uint16_t dilation = 1; dilation <= 3; ++dilation)
      cases.push_back({18, 35, 17, 23, square(3, stride, 2, dilation)});
    cases.push_back({3, 40, 33, 61, square(7, stride, 3)});
    cases.push_back({3, 17, 35, 67, square(11, stride, 2)});
    cases.push_back({4, 33, 9, 31, square(3, stride, 1)});
  }
  cases.push_back({2, 5, 9, 9, {3, 5, 2, 1, 1, 2, 0, 1, 3, 4}});  // everything different in x and y
  cases.push_back({40, 70, 7, 5, {7, 5, 1, 1, 1, 1, 0, 0, 0, 0}});  // fully connected over a map
  cases.push_back({1, 3, 2, 2, square(3, 1, 5)});                   // rows that see only padding
  cases.push_back({20, 20, 5, 6, square(3, 1, 1), {}, 2, 3});       // a group inside wider maps
  cases.push_back(
      {1, 9, 17, 3, {17, 17, 1, 1, 1, 1, 8, 8, 8, 8}});  // more taps than are listed at once
  for (uint32_t width : {1u, 4u, 7u, 14u, 43u}) {
    cases.push_back({17, 70, 5, width, square(3, 1, 1), {UnaryFn::kRelu, 0, 0}, 0, 0, true});
    cases.push_back({40, 16, 9, width, square(1, 2, 0), {}, 0, 0, true});
  }
  cases.push_back({33, 40, 1, 1, square(1, 1, 0), {UnaryFn::kSigmoid, 0, 0}, 0, 0, true});
  for (UnaryFn fn : {UnaryFn::kRelu, UnaryFn::kClip, UnaryFn::kSigmoid, UnaryFn::kLeakyRelu}) {
    cases.push_back({33, 37, 3, 11, square(3, 1, 1), {fn, 0.125f, 0.75f}});
  }
  return cases;
}

class ConvTest : public ::testing::TestWithParam<CpuMask> {};
INSTANTIATE_TEST_SUITE_P(Masks, ConvTest, ::testing::ValuesIn(masks()), mask_name);

TEST_P(ConvTest, EqualsReferenceHoweverItIsCut) {
  const RowKernels& kernels = row_kernels(GetParam());
  uint32_t seed = 1;
  for (const ConvCase& c : conv_cases()) {
    SCOPED_TRACE(describe(c));
    ConvRun run(c, ++seed);
    const std::vector<float> whole = run.run(kernels, {});
    expect_near(whole, run.expected());
    const uint32_t ring = static_cast<uint32_t>(c.window.span_h()) + 2u * c.window.stride_h;
    const Cut cuts[] = {{.taps = 1},
                        {.taps = 5},
                        {.panels = 1},
                        {.rows = 1},
                        {.taps = 7, .panels = 1, .rows = 2, .ring_rows = ring}};
    for (const Cut& cut : cuts) {
      const std::vector<float> parts = run.run(kernels, cut);
      ASSERT_EQ(std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)), 0)
          << "cut at " << cut.taps << " taps, " << cut.panels << " panels, " << cut.rows << " rows";
    }
    if (::testing::Test::HasFatalFailure()) return;
  }
}

// Where the output is one pixel, whole taps are summed at a time: other taps, other bits.
bool may_be_planar(const ConvCase& c) {
  return c.in_channels <= kMaxPlanarChannels && c.in_block == 0 && (out_height(c) > 1 || out_width(c) > 1);
}

TEST_P(ConvTest, PlanarInputsGiveTheSameBitsHoweverTheyAreCut) {
  const RowKernels& kernels = row_kernels(GetParam());
  uint32_t seed = 1, compared = 0;
  for (const ConvCase& c : conv_cases()) {
    if (!may_be_planar(c)) continue;
    SCOPED_TRACE(describe(c));
    ConvRun run(c, ++seed);
    const std::vector<float> blocked = run.run(kernels, {});
    const uint32_t ring = static_cast<uint32_t>(c.window.span_h()) + 2u * c.window.stride_h;
    const Cut cuts[] = {{.planar = true},
                        {.taps = 5, .planar = true},
                        {.panels = 1, .rows = 1, .planar = true},
                        {.taps = 7, .rows = 2, .ring_rows = ring, .planar = true}};
    for (const Cut& cut : cuts) EXPECT_EQ(run.run(kernels, cut), blocked) << "cut at " << cut.taps << " taps";
    ++compared;
  }
  EXPECT_GT(compared, 15u);
}

TEST(Conv, Avx2AndAvx512GiveTheSameBits) {
  if (!(detect_cpu() & kCpuAvx512)) GTEST_SKIP() << "no AVX-512 here";
  uint32_t seed = 1;
  for (const ConvCase& c : conv_cases()) {
    SCOPED_TRACE(describe(c));
    ConvRun run(c, ++seed);
    EXPECT_EQ(run.run(row_kernels(kCpuAvx2), {}), run.run(row_kernels(detect_cpu()), {}));
  }
}

struct DepthwiseRun {
  ConvCase c;
  std::vector<float> in, weights, bias;
  TileGrid grid;
  DepthwiseRun(const ConvCase& conv_case, uint32_t seed, StoredType stored = StoredType::kF32)
      : c(conv_case) {
    Random random(seed);
    in = random.values(size_t{c.in_channels} * c.height * c.width);
    weights = random.values(size_t{c.in_channels} * c.window.kernel_h * c.window.kernel_w);
    bias = random.values(c.in_channels);
    grid = *make_tile_grid({WeightsKind::kDepthwise, stored, 0, c.in_channels, c.window.kernel_h,
                            c.window.kernel_w, 0});
  }
  std::vector<float> run(const RowKernels& kernels, uint32_t blocks_at_once,
                         uint32_t rows_at_once) const {
    const uint32_t oh = out_height(c), blocks = (c.in_channels + 15) / 16;
    const Window& w = c.window;
    Map from({c.in_channels, c.height, c.width, w.pad_left, right_pad(c)});
    Map to({c.in_channels, oh, out_width(c), 2, 1});
    from.fill(in);
    const Floats stream = packed(grid, weights, bias, kernels);
    const size_t block_floats = size_t{16} * (1u + w.kernel_h * w.kernel_w);
    for (uint32_t b = 0; b < blocks; b += blocks_at_once) {
      for (uint32_t y = 0; y < oh; y += rows_at_once) {
        kernels.depthwise({from.ring(),
                           to.ring(),
                           b,
                           std::min(blocks_at_once, blocks - b),
                           stream.data() + b * block_floats,
                           w,
                           c.activation,
                           {y, std::min(oh, y + rows_at_once)}});
      }
    }
    EXPECT_TRUE(to.pads_are_zero());
    return to.dense();
  }
};

std::vector<ConvCase> depthwise_cases() {
  std::vector<ConvCase> cases;
  for (uint32_t width : {1u, 2u, 6u, 7u, 8u, 13u, 14u, 15u, 28u, 29u}) {
    for (uint16_t kernel = 1; kernel <= 7; kernel += 2) {
      for (uint16_t stride = 1; stride <= 3; ++stride) {
        cases.push_back(
            {17, 17, 5, width, square(kernel, stride, static_cast<uint16_t>(kernel / 2))});
      }
    }
  }
  for (uint32_t channels : {1u, 16u, 33u, 48u})
    cases.push_back({channels, channels, 9, 10, square(3, 1, 1)});
  cases.push_back({5, 5, 9, 9, square(3, 1, 2, 2)});
  cases.push_back({5, 5, 9, 12, {2, 4, 1, 2, 1, 1, 0, 1, 1, 2}});
  cases.push_back({20, 20, 2, 2, square(3, 1, 5)});
  for (UnaryFn fn : {UnaryFn::kRelu, UnaryFn::kClip, UnaryFn::kSigmoid}) {
    cases.push_back({20, 20, 4, 11, square(3, 1, 1), {fn, 0.125f, 0.75f}});
  }
  return cases;
}

TEST_P(ConvTest, DepthwiseEqualsReferenceHoweverItIsCut) {
  const RowKernels& kernels = row_kernels(GetParam());
  for (const ConvCase& c : depthwise_cases()) {
    SCOPED_TRACE(describe(c));
    const DepthwiseRun run(c, 5);
    const std::vector<float> whole = run.run(kernels, 100, 100);
    expect_near(whole, reference(c, true, run.in, run.weights, run.bias));
    EXPECT_EQ(run.run(kernels, 1, 2), whole);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(Conv, DepthwiseOfAvx2AndAvx512GiveTheSameBits) {
  if (!(detect_cpu() & kCpuAvx512)) GTEST_SKIP() << "no AVX-512 here";
  for (const ConvCase& c : depthwise_cases()) {
    SCOPED_TRACE(describe(c));
    const DepthwiseRun run(c, 5);
    EXPECT_EQ(run.run(row_kernels(kCpuAvx2), 9, 9), run.run(row_kernels(detect_cpu()), 9, 9));
  }
}

}  // namespace
}  // namespace carrel::testing_rows
