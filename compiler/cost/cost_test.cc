#include "compiler/cost/cost.h"

#include <gtest/gtest.h>

namespace carrel {
namespace {

// 3 x 3, 128 channels to 32 (one panel), 56 x 56.
NodeWork one_panel() {
  NodeWork work;
  work.rows = work.width = 56;
  work.units = 1;
  work.in_channels = 128;
  work.out_channels = 32;
  work.algorithm = ConvAlgorithm::kWinograd4;
  return work;
}

double milliseconds(const NodeWork& work, uint32_t threads, uint32_t actions) {
  return 1e3 * MachineCost({work}, MachineFigures(), threads).compute_seconds(0, actions);
}

TEST(MachineCost, OneRowOfTilesKeepsOneThreadBusy) {
  const NodeWork work = one_panel();
  EXPECT_DOUBLE_EQ(milliseconds(work, 2, 14), milliseconds(work, 1, 14));
  EXPECT_LT(milliseconds(work, 2, 7), 0.6 * milliseconds(work, 1, 7));
}

TEST(MachineCost, RowsDividedUnevenlyWaitForTheLongerPart) {
  NodeWork work;
  work.macs = 1e9;
  work.rows = 3;
  work.width = 14;
  work.units = 1;
  const double one = milliseconds(work, 1, 1), two = milliseconds(work, 2, 1);
  EXPECT_NEAR(one / two, 1.5, 0.01);
}

TEST(MachineCost, ThreadsThatDivideRowsEachStreamAllWeights) {
  NodeWork work;
  work.macs = 1e9;
  work.rows = work.width = 56;
  work.units = 1;
  constexpr uint64_t kBytes = 1 << 20;
  const MachineCost one({work}, MachineFigures(), 1), two({work}, MachineFigures(), 2);
  EXPECT_DOUBLE_EQ(two.stream_seconds(0, kBytes, 1), one.stream_seconds(0, kBytes, 1));
  work.units = 64;
  work.rows = 1;
  const MachineCost panels({work}, MachineFigures(), 2);
  EXPECT_DOUBLE_EQ(panels.stream_seconds(0, kBytes, 1), one.stream_seconds(0, kBytes, 1) / 2);
}

TEST(MachineCost, RowsMovedOneByOneKeepOneThreadBusy) {
  const MachineCost cost({}, MachineFigures(), 2);
  EXPECT_DOUBLE_EQ(cost.spill_seconds(1000, 1), 2 * cost.spill_seconds(1000, 2));
}

}  // namespace
}  // namespace carrel
