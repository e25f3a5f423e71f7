#include "compiler/machine/winograd_speed.h"

#include "compiler/machine/lines.h"
#include "compiler/machine/timing.h"
#include "engine/kernels/rows/winograd.h"

namespace carrel::machine {
namespace {

struct Transforms {
  double filter_seconds, input_seconds, output_seconds;
};

// On a slab of 28 x 8 pixels of 64 channels, which stays in L2 as in a planned slab.
Transforms measure(const RowKernels& kernels, uint32_t side, double budget_seconds) {
  constexpr uint32_t kChannels = 64, kBlocks = kChannels / kLanes, kWidth = 28, kRows = 8;
  const Window window{3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  const WinogradPlanes planes = winograd_planes(side, kRows, kWidth, kChannels);
  const MapShape shape{kChannels, kRows, kWidth, 1, winograd_right_pad(side, window, kWidth, kWidth)};
  std::vector<Line> map = lines_for(shape.row_bytes() * kRows), planes_memory = lines_for(planes.scratch_bytes(1));
  std::vector<Line> weights = lines_for(size_t{9} * kChannels * kPanelWidth * sizeof(float));
  const RowRing ring{floats_of(map), shape, kRows};
  float* const scratch = floats_of(planes_memory);
  float* const filter = scratch + planes.input_floats();
  float* const product = filter + planes.points() * planes.filter_pitch();
  const RowRange rows{0, kRows};
  const double tiles = static_cast<double>(planes.tiles());
  const double input = seconds_per_call(budget_seconds, [&] {
    kernels.winograd_input({ring, 0, 0, kBlocks, planes, window, 0, scratch});
  });
  const double weight = seconds_per_call(budget_seconds, [&] {
    kernels.winograd_filter({floats_of(weights), kPanelWidth, 0, kChannels, planes, filter});
  });
  const double output = seconds_per_call(budget_seconds, [&] {
    kernels.winograd_output({product, ring, 0, kPanelWidth / kLanes, floats_of(weights), planes, {}, rows});
  });
  return {weight / (kChannels * (kPanelWidth / kLanes)), input / (tiles * kBlocks),
          output / (tiles * (kPanelWidth / kLanes))};
}

}  // namespace

void measure_winograd(IsaLevel isa, double budget_seconds, MachineFigures* figures) {
  const RowKernels& kernels = row_kernels(mask_for(isa));
  const Transforms small = measure(kernels, 2, budget_seconds), large = measure(kernels, 4, budget_seconds);
  figures->winograd2_filter_seconds = small.filter_seconds;
  figures->winograd2_input_seconds = small.input_seconds;
  figures->winograd2_output_seconds = small.output_seconds;
  figures->winograd4_filter_seconds = large.filter_seconds;
  figures->winograd4_input_seconds = large.input_seconds;
  figures->winograd4_output_seconds = large.output_seconds;
}

}  // namespace carrel::machine
