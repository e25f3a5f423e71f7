#include "baseline/unpack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/kernels/rows/rows.h"

namespace carrel::unmodified {
namespace {

// Numbers that differ from one another and are exact in half precision for the sizes below.
std::vector<float> numbers(size_t count) {
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(i % 2039) - 1019.0f;
  return out;
}

size_t weights_of(const WeightsShape& shape) {
  if (shape.kind == WeightsKind::kPlain) return shape.element_count;
  const bool across = in_wide_panels(shape.kind);
  return size_t{shape.out_channels} * (across ? shape.in_channels : 1) * shape.kernel_h *
         shape.kernel_w;
}

void round_trip(const WeightsShape& shape) {
  SCOPED_TRACE(testing::Message() << "kind " << int(shape.kind) << " stored " << int(shape.stored)
                                  << " " << shape.out_channels << "x" << shape.in_channels << "x"
                                  << shape.kernel_h << "x" << shape.kernel_w);
  const auto grid = make_tile_grid(shape);
  ASSERT_TRUE(grid.ok()) << grid.error().message();
  const std::vector<float> weights = numbers(weights_of(shape));
  const bool biased = in_wide_panels(shape.kind) || shape.kind == WeightsKind::kDepthwise;
  const std::vector<float> bias = biased ? numbers(shape.out_channels) : std::vector<float>();
  std::vector<std::byte> stream(grid->stored_bytes);
  pack_weights(*grid, weights, bias, stream);
  std::vector<float> got(weights.size(), -7777.0f), got_bias(bias.size(), -7777.0f);
  for (uint32_t t = grid->tile_count; t-- > 0;) {  // tiles come in any order
    unpack_tile(*grid, t, stream.data() + tile_stored_offset(*grid, t),
                {got.data(), got_bias.empty() ? nullptr : got_bias.data()});
  }
  EXPECT_EQ(got, weights);
  EXPECT_EQ(got_bias, bias);
}

TEST(Unpack, EveryKindComesBack) {
  for (StoredType stored : {StoredType::kF32, StoredType::kF16}) {
    for (uint32_t out : {1u, 15u, 16u, 17u, 32u, 48u, 100u}) {
      for (uint32_t in : {1u, 3u, 16u, 19u, 64u, 500u}) {
        round_trip({WeightsKind::kConv, stored, in, out, 3, 3});
        round_trip({WeightsKind::kConv, stored, in, out, 1, 1});
        round_trip({WeightsKind::kDense, stored, in, out, 1, 1});
        round_trip({WeightsKind::kDense, stored, in, out, 3, 2});
      }
      round_trip({WeightsKind::kConv, stored, 40, out, 7, 5});  // tiles cut at taps
      round_trip({WeightsKind::kDepthwise, stored, 1, out, 5, 3});
    }
    for (uint64_t count : {1u, 31u, 8192u, 8193u, 20000u})
      round_trip({WeightsKind::kPlain, stored, 0, 0, 1, 1, count});
  }
  for (uint32_t channels : {1u, 16u, 33u, 5000u})
    for (uint32_t rows : {1u, 2u})
      round_trip({WeightsKind::kVectors, StoredType::kF32, 0, channels, rows, 1});
}

// The groups of one stream lie on the diagonal; the rest of it is zeros that nobody wants.
TEST(Unpack, MergedGroupsComeApart) {
  constexpr size_t kGroups = 4, kOuts = 12, kIns = 5, kArea = 9;  // of one group
  const WeightsShape shape = {
      WeightsKind::kConv, StoredType::kF32, kGroups * kIns, kGroups * kOuts, 3, 3};
  const TileGrid grid = *make_tile_grid(shape);
  const std::vector<float> weights = numbers(kGroups * kOuts * kIns * kArea);
  std::vector<float> merged(weights.size() * kGroups);
  for (size_t out = 0; out < kGroups * kOuts; ++out) {
    std::copy_n(&weights[out * kIns * kArea], kIns * kArea,
                &merged[(out * kGroups + out / kOuts) * kIns * kArea]);
  }
  std::vector<std::byte> stream(grid.stored_bytes);
  pack_weights(grid, merged, {}, stream);
  std::vector<float> got(weights.size(), -7777.0f);
  for (uint32_t t = 0; t < grid.tile_count; ++t) {
    unpack_tile(grid, t, stream.data() + tile_stored_offset(grid, t),
                {got.data(), nullptr, kGroups});
  }
  EXPECT_EQ(got, weights);
}

TEST(Unpack, FloatsOnly) {
  EXPECT_TRUE(can_unpack({WeightsKind::kConv, StoredType::kF16}));
  EXPECT_FALSE(can_unpack({WeightsKind::kDense, StoredType::kI8}));
  EXPECT_FALSE(can_unpack({WeightsKind::kDense, StoredType::kI4}));
  EXPECT_FALSE(can_unpack({WeightsKind::kQuantConv}));
  EXPECT_FALSE(can_unpack({WeightsKind::kNone}));
}

}  // namespace
}  // namespace carrel::unmodified
