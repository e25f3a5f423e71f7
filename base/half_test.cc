#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>

namespace carrel {
namespace {

TEST(Half, WhatIsHeldStays) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float f16 = f32_from_f16(static_cast<uint16_t>(bits));
    const float bf16 = f32_from_bf16(static_cast<uint16_t>(bits));
    if (!std::isnan(f16)) {
      ASSERT_EQ(round_to_f16(f16), f16) << bits;
    }
    if (!std::isnan(bf16)) {
      ASSERT_EQ(round_to_bf16(bf16), bf16) << bits;
    }
  }
  EXPECT_TRUE(std::isnan(round_to_f16(NAN)));
}

TEST(Half, BetweenTwoTheNearestAndTiesToEven) {
  for (uint16_t bits = 0; bits < 0x7bff; ++bits) {  // every pair of finite neighbours
    const float low = f32_from_f16(bits), high = f32_from_f16(static_cast<uint16_t>(bits + 1));
    const float middle = (low + high) / 2;  // exact in float32
    ASSERT_EQ(round_to_f16(std::nextafter(middle, 0.0f)), low) << bits;
    ASSERT_EQ(round_to_f16(std::nextafter(middle, INFINITY)), high) << bits;
    ASSERT_EQ(round_to_f16(middle), bits % 2 == 0 ? low : high) << bits;
    ASSERT_EQ(round_to_f16(-middle), bits % 2 == 0 ? -low : -high) << bits;
  }
}

TEST(Half, Overflows) {
  EXPECT_EQ(round_to_f16(65519.0f), 65504.0f);
  EXPECT_EQ(round_to_f16(65520.0f), INFINITY);
  EXPECT_EQ(round_to_f16(-1e30f), -INFINITY);
  EXPECT_EQ(round_to_bf16(3.4e38f), INFINITY);
  EXPECT_EQ(round_to_bf16(1.00390625f), 1.0f);
}

}  // namespace
}  // namespace carrel
