// Measurements vary; what no machine can do is a bug.
#include <gtest/gtest.h>

#include "compiler/cost/figure_list.h"
#include "compiler/machine/layer_speed.h"
#include "compiler/machine/machine.h"
#include "compiler/machine/peak.h"
#include "compiler/machine/quant_speed.h"
#include "compiler/machine/region.h"
#include "compiler/machine/timing.h"
#include "compiler/machine/together.h"
#include "engine/crypto/gcm.h"

namespace carrel::machine {
namespace {

constexpr double kBriefly = 0.01;
constexpr uint64_t kSmallRegion = 4 << 20;

TEST(Machine, KernelsStayBelowThePeakOfTheirInstructionSet) {
  for (uint8_t level = 0; level <= static_cast<uint8_t>(isa_level(detect_cpu())); ++level) {
    const IsaLevel isa = static_cast<IsaLevel>(level);
    const double peak = fma_flops(isa, 10 * kBriefly);
    EXPECT_GT(peak, 1e8);
    const LayerTrial trial(layer_shapes()[0], isa);
    const double reached = trial.flops() / seconds_per_call(kBriefly, [&] { trial.run(); });
    EXPECT_GT(reached, 0);
    EXPECT_LT(reached, 1.5 * peak) << isa_name(isa);  // the clock drifts, but not by so much
  }
}

TEST(Machine, QuantizedKernelsStayBelowThePeakOfVnni) {
  const double peak = vnni_ops(detect_cpu(), 10 * kBriefly);
  if (peak == 0) GTEST_SKIP() << "no VNNI here";
  const QuantTrial trial(layer_shapes()[0], detect_cpu());
  const double reached = trial.operations() / seconds_per_call(kBriefly, [&] { trial.run(); });
  EXPECT_GT(reached, 0);
  EXPECT_LT(reached, 1.5 * peak);
}

TEST(Machine, WiderRegistersDoMore) {
  if (isa_level(detect_cpu()) == IsaLevel::kGeneric) GTEST_SKIP() << "no wider registers here";
  EXPECT_GT(fma_flops(IsaLevel::kAvx2, kBriefly), 1.5 * fma_flops(IsaLevel::kGeneric, kBriefly));
}

TEST(Machine, FiguresArePlausible) {
  ASSERT_TRUE(check_crypto_cpu().ok());
  const Result<Region> region = Region::take(kSmallRegion);
  ASSERT_TRUE(region.ok());
  EXPECT_GT(read_bytes_per_second(region->bytes(), kBriefly), 1e8);
  const CipherSpeed cipher = cipher_speed(detect_cpu(), region->bytes(), kBriefly);
  const MachineFigures figures = measure_figures(isa_level(detect_cpu()), cipher, 1e-6, kBriefly);
  const FigureField* bad = implausible_figure(figures);
  EXPECT_EQ(bad, nullptr) << bad->name;
  EXPECT_EQ(figures.fetch_bytes_per_second, cipher.open_cold);
  EXPECT_GE(figures.action_seconds, 1e-6);
}

TEST(Machine, BoundsCatchWhatNoMachineHas) {
  for (const FigureField& field : figure_fields()) {
    for (double wrong : {0.0, -1.0, 1e300, __builtin_nan("")}) {
      MachineFigures figures;
      figures.*field.value = wrong;
      EXPECT_EQ(implausible_figure(figures), &field);
    }
  }
  EXPECT_EQ(implausible_figure(MachineFigures{}), nullptr);
}

TEST(Machine, ThreadsAddUp) {
  EXPECT_EQ(sum_over_threads(3, [](uint32_t i) { return i + 1.0; }), 6.0);
}

TEST(Machine, LevelsGrow) {
  const LevelSizes sizes = level_sizes();
  EXPECT_LT(sizes.l1, sizes.l2);
  EXPECT_LT(sizes.l2, sizes.l3);
  EXPECT_LT(sizes.l3, sizes.memory);
  for (uint64_t bytes : {sizes.l1, sizes.l2, sizes.l3, sizes.memory}) EXPECT_EQ(bytes % 512, 0u);
}

}  // namespace
}  // namespace carrel::machine
