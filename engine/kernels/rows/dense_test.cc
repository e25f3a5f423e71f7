// Fully-connected kernels against sums in double, cut into tiles as the layout says.
#include "engine/layout/dense.h"

#include "base/half.h"
#include "engine/kernels/rows/rows_testing.h"

namespace carrel::testing_rows {
namespace {

constexpr double kEpsilon = 1.1920928955078125e-7 / 2;
constexpr StoredType kTypes[] = {StoredType::kF32, StoredType::kF16, StoredType::kI8,
                                 StoredType::kI4};

struct DenseCase {
  uint32_t channels, height, width, outputs;
  Unary activation = {};
};

// Random weights as they are stored, and what they mean.
class DenseRun {
 public:
  DenseRun(const DenseCase& c, StoredType stored, uint32_t seed) : case_(c), random_(seed) {
    grid_ = *make_tile_grid(
        {WeightsKind::kDense, stored, c.channels, c.outputs, c.height, c.width, 0});
    rows_ = dense_rows(grid_.shape);
    in_ = random_.values(rows_);
    bias_ = random_.values(c.outputs);
    stream_.resize(grid_.stored_bytes);
    weights_.resize(c.outputs * rows_);
    is_quantized(stored) ? make_codes() : make_floats();
  }

  std::vector<float> run(const RowKernels& kernels, uint32_t ring_rows) const {
    Map in({case_.channels, case_.height, case_.width, 1, 2}, ring_rows);
    in.fill(in_);
    Map out({case_.outputs, 1, 1, 0, 0});
    for (uint32_t t = 0; t < grid_.tile_count; ++t) {
      const TileInfo info = tile_info(grid_, t);
      Floats tile(info.stored_bytes / sizeof(float));  // of its own, so that a sanitizer sees its end
      std::memcpy(tile.data(), stream_.data() + tile_stored_offset(grid_, t), info.stored_bytes);
      dense_kernel(kernels, grid_.shape.stored)(
          {in.ring(), out.ring(), info.panel_begin, info.panel_count, info.tap_begin, info.tap_end,
           grid_.taps, reinterpret_cast<const std::byte*>(tile.data()), case_.activation});
    }
    return out.dense();
  }

  // One rounding for each product and sum, and for what scale and bias add.
  void expect_near(const std::vector<float>& result) const {
    ASSERT_EQ(result.size(), case_.outputs);
    for (uint32_t o = 0; o < case_.outputs; ++o) {
      double sum = static_cast<double>(bias_[o]), magnitude = std::fabs(sum);
      for (uint64_t k = 0; k < rows_; ++k) {
        const double term = static_cast<double>(in_[k]) * weights_[o * rows_ + k];
        sum += term;
        magnitude += std::fabs(term);
      }
      const double bound = (2.0 * static_cast<double>(rows_) + 8) * kEpsilon * magnitude;
      ASSERT_NEAR(static_cast<double>(result[o]), activate(case_.activation, sum), bound + 1e-30)
          << "output " << o;
    }
  }

 private:
  void make_floats() {
    std::vector<float> floats(weights_.size());
    for (float& w : floats) {
      w = grid_.shape.stored == StoredType::kF16 ? round_to_f16(random_.value()) : random_.value();
    }
    weights_.assign(floats.begin(), floats.end());
    pack_weights(grid_, floats, bias_, stream_);
  }

  void make_codes() {
    const bool four = grid_.shape.stored == StoredType::kI4;
    const size_t padded = size_t{grid_.taps} * kDenseTapRows;
    std::vector<int8_t> codes(case_.outputs * padded);
    for (int8_t& c : codes) {
      c = static_cast<int8_t>(four ? random_.below(16) : static_cast<int>(random_.below(255)) - 127);
    }
    std::vector<float> steps(four ? case_.outputs * grid_.taps : 0);
    for (float& s : steps) s = round_to_f16(random_.value());
    if (four) steps[0] = round_to_f16(3e-6f);  // subnormal
    const std::vector<float> scales = random_.values(case_.outputs);
    for (uint32_t o = 0; o < case_.outputs; ++o) {
      for (uint64_t k = 0; k < rows_; ++k) {
        const int8_t code = codes[o * padded + k];
        const float value = four ? i4_value(static_cast<uint32_t>(code)) *
                                       steps[o * grid_.taps + k / kDenseTapRows]
                                 : static_cast<float>(code);
        weights_[o * rows_ + dense_row_source(grid_.shape, k)] =
            static_cast<double>(value) * static_cast<double>(scales[o]);
      }
    }
    pack_dense(grid_, {codes, steps, scales}, bias_, stream_);
  }

  DenseCase case_;
  Random random_;
  TileGrid grid_;
  uint64_t rows_ = 0;
  std::vector<float> in_, bias_;
  std::vector<double> weights_;  // (outputs, channels, height, width)
  std::vector<std::byte> stream_;
};

std::vector<DenseCase> dense_cases() {
  std::vector<DenseCase> cases;
  for (uint32_t channels : {1u, 15u, 16u, 17u, 31u, 32u, 33u, 64u, 449u, 1031u, 2048u}) {
    cases.push_back({channels, 1, 1, 33});
  }
  for (uint32_t outputs : {1u, 15u, 16u, 17u, 31u, 32u, 48u, 49u, 64u, 167u}) {
    cases.push_back({40, 1, 1, outputs});
    cases.push_back({600, 1, 1, outputs});
  }
  cases.push_back({1, 28, 28, 10});
  cases.push_back({5, 7, 3, 19});
  cases.push_back({50, 4, 5, 37});
  cases.push_back({64, 7, 7, 96});
  cases.push_back({17, 13, 11, 35});
  for (UnaryFn fn : {UnaryFn::kRelu, UnaryFn::kClip, UnaryFn::kSigmoid}) {
    cases.push_back({70, 3, 3, 40, {fn, 0.125f, 0.75f}});
  }
  return cases;
}

std::string describe(const DenseCase& c, StoredType stored) {
  return std::to_string(c.channels) + " x " + std::to_string(c.height) + " x " +
         std::to_string(c.width) + " -> " + std::to_string(c.outputs) + ", type " +
         std::to_string(static_cast<int>(stored));
}

class DenseTest : public ::testing::TestWithParam<CpuMask> {};
INSTANTIATE_TEST_SUITE_P(Masks, DenseTest, ::testing::ValuesIn(masks()), mask_name);

TEST_P(DenseTest, EqualsReference) {
  uint32_t seed = 1;
  for (StoredType stored : kTypes) {
    for (const DenseCase& c : dense_cases()) {
      SCOPED_TRACE(describe(c, stored));
      const DenseRun run(c, stored, ++seed);
      run.expect_near(run.run(row_kernels(GetParam()), c.height));
      ASSERT_FALSE(HasFatalFailure());
    }
  }
}

TEST(Dense, Avx2AndAvx512GiveTheSameBits) {
  if (!(detect_cpu() & kCpuAvx512)) GTEST_SKIP() << "no AVX-512 here";
  uint32_t seed = 1;
  for (StoredType stored : kTypes) {
    for (const DenseCase& c : dense_cases()) {
      SCOPED_TRACE(describe(c, stored));
      const DenseRun run(c, stored, ++seed);
      EXPECT_EQ(run.run(row_kernels(kCpuAvx2), c.height),
                run.run(row_kernels(detect_cpu()), c.height));
    }
  }
}

TEST(Dense, NumbersOfFourBitsAreOddButForTheLast) {
  EXPECT_EQ(i4_value(8), 0.0f);
  for (uint32_t code = 1; code < 8; ++code) EXPECT_EQ(i4_value(8 + code), -i4_value(8 - code));
  for (uint32_t code = 1; code < 16; ++code) EXPECT_GT(i4_value(code), i4_value(code - 1));
  EXPECT_EQ(i4_value(0), -12.0f);
}

}  // namespace
}  // namespace carrel::testing_rows
