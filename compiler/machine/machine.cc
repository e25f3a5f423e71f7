#include "compiler/machine/machine.h"

#include <algorithm>
#include <vector>

#include "compiler/machine/layer_speed.h"
#include "compiler/machine/peak.h"
#include "compiler/machine/region.h"
#include "compiler/machine/timing.h"
#include "compiler/machine/winograd_speed.h"

namespace carrel::machine {
namespace {

// The median over the layers that fit L2.
double convolution_flops(IsaLevel isa, double budget_seconds) {
  std::vector<double> flops;
  for (const LayerShape& shape : layer_shapes()) {
    if (!shape.fits_l2) continue;
    const LayerTrial trial(shape, isa);
    flops.push_back(trial.flops() / seconds_per_call(budget_seconds, [&] { trial.run(); }));
  }
  std::sort(flops.begin(), flops.end());
  return flops[flops.size() / 2];
}

// What each further call of a convolution costs: setting out, and its weights once more from L2.
double call_seconds(IsaLevel isa, double budget_seconds) {
  const LayerShape shape = layer_shapes()[0];
  const LayerTrial trial(shape, isa);
  const double whole = seconds_per_call(budget_seconds, [&] { trial.run(); });
  const double by_rows = seconds_per_call(budget_seconds, [&] { trial.run_by_rows(); });
  return std::max(0.0, (by_rows - whole) / (shape.height - 1));
}

// What lies in L3, or in memory where there is no room to measure.
double far_bytes_per_second(double budget_seconds) {
  const LevelSizes sizes = level_sizes();
  const Result<Region> region = Region::take(std::min(sizes.l3 / 4, 16 * sizes.l2));
  return region.ok() ? read_bytes_per_second(region->bytes(), budget_seconds) : MachineFigures{}.far_bytes_per_second;
}

}  // namespace

MachineFigures measure_figures(IsaLevel isa, const CipherSpeed& cipher, double step_seconds, double budget_seconds) {
  MachineFigures figures;
  figures.flops_per_second = convolution_flops(isa, budget_seconds);
  figures.touch_bytes_per_second = touch_bytes_per_second(isa, budget_seconds);
  figures.fetch_bytes_per_second = cipher.open_cold;
  // Half of the bytes go out, half come back.
  figures.spill_bytes_per_second = 2 / (1 / cipher.seal_cold + 1 / cipher.open_cold);
  figures.far_bytes_per_second = far_bytes_per_second(budget_seconds);
  measure_winograd(isa, budget_seconds, &figures);
  figures.action_seconds = step_seconds + call_seconds(isa, budget_seconds);
  return figures;
}

}  // namespace carrel::machine
