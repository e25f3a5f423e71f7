#include "engine/kernels/rows/rows_testing.h"
#include "engine/kernels/rows/winograd_testing.h"

namespace carrel::testing_rows {
namespace {

using Matrix = std::vector<std::vector<double>>;

// B^T, G and A^T of Lavin and Gray, section 4.
Matrix input_matrix(uint32_t side) {
  if (side == 2) return {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
  return {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
          {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
}
Matrix filter_matrix(uint32_t side) {
  if (side == 2) return {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
  const double s = 1 / 6.0, t = 1 / 12.0, u = 1 / 24.0;
  return {{.25, 0, 0}, {-s, -s, -s}, {-s, s, -s}, {u, t, s}, {u, -t, s}, {0, 0, 1}};
}
Matrix output_matrix(uint32_t side) {
  if (side == 2) return {{1, 1, 1, 0}, {0, 1, -1, -1}};
  return {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
}

// m x m^T, and the same of the absolute values.
void transform(const Matrix& m, const Matrix& x, Matrix* result, Matrix* magnitude) {
  const size_t n = m.size(), k = x.size();
  result->assign(n, std::vector<double>(n));
  *magnitude = *result;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      for (size_t a = 0; a < k; ++a) {
        for (size_t b = 0; b < k; ++b) {
          const double term = m[i][a] * x[a][b] * m[j][b];
          (*result)[i][j] += term;
          (*magnitude)[i][j] += std::fabs(term);
        }
      }
    }
  }
}

constexpr double kRoundings = 16;  // of any one result, at most

Floats planes_of(uint32_t points, size_t pitch) {
  Floats planes(points * pitch);
  for (size_t i = 0; i < planes.size(); ++i) planes.data()[i] = kPoison;
  return planes;
}

}  // namespace

void test_winograd_input(const RowKernels& kernels) {
  constexpr uint32_t kHeight = 7, kWidth = 21, kChannels = 35, kFirst = 4;
  const Window window{3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  for (uint32_t side : {2u, 4u}) {
    Random random(side);
    const Map in({kChannels, kHeight, kWidth, 1, winograd_right_pad(side, window, kWidth, kWidth)});
    in.fill(random.values(size_t{kChannels} * kHeight * kWidth));
    const WinogradPlanes planes = winograd_planes(side, kHeight - kFirst, kWidth, kChannels);
    const Floats out = planes_of(planes.points(), planes.input_pitch());
    kernels.winograd_input({in.ring(), 0, 0, planes.in_blocks, planes, window, kFirst, out.data()});
    const uint32_t tile = side + 2;
    for (uint32_t c = 0; c < kChannels; ++c) {
      for (uint32_t t = 0; t < planes.tiles(); ++t) {
        Matrix d(tile, std::vector<double>(tile)), expected, magnitude;
        for (uint32_t i = 0; i < tile; ++i) {
          for (uint32_t j = 0; j < tile; ++j) {
            const uint32_t y = kFirst + t / planes.tiles_wide * side + i;
            const uint32_t x = t % planes.tiles_wide * side + j;
            const bool inside = y >= 1 && y <= kHeight && x >= 1 && x <= kWidth;
            d[i][j] = inside ? static_cast<double>(in.at(c, y - 1, x - 1)) : 0;
          }
        }
        transform(input_matrix(side), d, &expected, &magnitude);
        for (uint32_t p = 0; p < planes.points(); ++p) {
          const size_t at = (c / kLanes * planes.tiles() + t) * kLanes + c % kLanes;
          ASSERT_NEAR(static_cast<double>(out.data()[p * planes.input_pitch() + at]),
                      expected[p / tile][p % tile],
                      kRoundings * kEpsilon * magnitude[p / tile][p % tile]);
        }
      }
    }
  }
}

void test_winograd_filter(const RowKernels& kernels) {
  constexpr uint32_t kChannels = 21, kFirst = 16;
  for (uint32_t side : {2u, 4u}) {
    for (uint32_t width : {16u, 32u}) {
      Random random(side + width);
      const std::vector<float> w = random.values(size_t{9} * kChannels * width);
      const WinogradPlanes planes = winograd_planes(side, 4, 4, kFirst + kChannels);
      const Floats out = planes_of(planes.points(), planes.filter_pitch());
      kernels.winograd_filter({w.data(), width, kFirst, kChannels, planes, out.data()});
      for (uint32_t c = 0; c < kChannels; ++c) {
        const uint32_t block = c / kLanes * kLanes, rows = std::min(kLanes, kChannels - block);
        for (uint32_t o = 0; o < width; ++o) {
          Matrix g(3, std::vector<double>(3)), expected, magnitude;
          for (uint32_t k = 0; k < 9; ++k)
            g[k / 3][k % 3] = static_cast<double>(
                w[(size_t{9} * block + size_t{k} * rows + c - block) * width + o]);
          transform(filter_matrix(side), g, &expected, &magnitude);
          const uint32_t tile = side + 2;
          for (uint32_t p = 0; p < planes.points(); ++p) {
            const size_t at = p * planes.filter_pitch() + (kFirst + c) * width + o;
            ASSERT_NEAR(static_cast<double>(out.data()[at]), expected[p / tile][p % tile],
                        kRoundings * kEpsilon * magnitude[p / tile][p % tile]);
          }
        }
      }
    }
  }
}

void test_winograd_multiply(const RowKernels& kernels) {
  constexpr uint32_t kChannels = 27, kBlock = 1;
  for (uint32_t width : {16u, 32u}) {
    const WinogradPlanes planes = winograd_planes(2, 4, 17, kBlock * kLanes + kChannels);
    Random random(width);
    const std::vector<float> in = random.values(planes.points() * planes.input_pitch());
    const std::vector<float> filter = random.values(planes.points() * planes.filter_pitch());
    const Floats out = planes_of(planes.points(), planes.product_pitch());
    for (bool first : {true, false}) {
      kernels.winograd_multiply({in.data(), filter.data(), out.data(), kBlock, kChannels, width,
                                 first, planes});
    }
    for (uint32_t p = 0; p < planes.points(); ++p) {
      for (uint32_t t = 0; t < planes.tiles(); ++t) {
        for (uint32_t o = 0; o < width; ++o) {
          double sum = 0, magnitude = 0;
          for (uint32_t c = 0; c < kChannels; ++c) {
            const size_t at = ((kBlock + c / kLanes) * planes.tiles() + t) * kLanes + c % kLanes;
            const double term = static_cast<double>(in[p * planes.input_pitch() + at]) *
                                static_cast<double>(filter[p * planes.filter_pitch() + c * width + o]);
            sum += 2 * term;
            magnitude += 2 * std::fabs(term);
          }
          const size_t at = (o / kLanes * planes.tiles() + t) * kLanes + o % kLanes;
          ASSERT_NEAR(static_cast<double>(out.data()[p * planes.product_pitch() + at]), sum,
                      4 * kChannels * kEpsilon * magnitude);
        }
      }
    }
  }
}

void test_winograd_output(const RowKernels& kernels) {
  constexpr uint32_t kWidth = 13, kBlocks = 2;
  constexpr RowRange kRows = {4, 11};
  for (uint32_t side : {2u, 4u}) {
    Random random(side);
    const WinogradPlanes planes = winograd_planes(side, kRows.end - kRows.begin, kWidth, 16);
    const std::vector<float> in = random.values(planes.points() * planes.product_pitch());
    const std::vector<float> bias = random.values(kBlocks * kLanes);
    const Map out({(1 + kBlocks) * kLanes, kRows.end, kWidth, 1, 2});
    kernels.winograd_output({in.data(), out.ring(), 1, kBlocks, bias.data(), planes,
                             {UnaryFn::kRelu, 0, 0}, kRows});
    EXPECT_TRUE(out.pads_are_zero());
    const uint32_t tile = side + 2;
    for (uint32_t c = 0; c < kBlocks * kLanes; ++c) {
      for (uint32_t y = kRows.begin; y < kRows.end; ++y) {
        for (uint32_t x = 0; x < kWidth; ++x) {
          const uint32_t t = (y - kRows.begin) / side * planes.tiles_wide + x / side;
          Matrix m(tile, std::vector<double>(tile)), expected, magnitude;
          for (uint32_t p = 0; p < planes.points(); ++p) {
            const size_t at = (c / kLanes * planes.tiles() + t) * kLanes + c % kLanes;
            m[p / tile][p % tile] = static_cast<double>(in[p * planes.product_pitch() + at]);
          }
          transform(output_matrix(side), m, &expected, &magnitude);
          const uint32_t i = (y - kRows.begin) % side, j = x % side;
          const double sum = expected[i][j] + static_cast<double>(bias[c]);
          ASSERT_NEAR(static_cast<double>(out.at(kLanes + c, y, x)), std::max(0.0, sum),
                      kRoundings * kEpsilon * (magnitude[i][j] + 1));
        }
      }
    }
    for (uint32_t y = 0; y < kRows.begin; ++y) EXPECT_EQ(out.at(kLanes, y, 0), kPoison);
  }
}

}  // namespace carrel::testing_rows
