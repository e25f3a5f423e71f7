#include "engine/kernels/rows/winograd.h"

#include <cstring>

#include "base/wipe.h"

namespace carrel {
namespace {

constexpr uint32_t kTaps = 9;

}  // namespace

void WinogradSlab::transform_input(uint32_t block_begin, uint32_t block_count) const {
  kernels->winograd_input(
      {in, in_block, block_begin, block_count, planes, window, rows.begin, scratch});
}

WinogradWeights::WinogradWeights(const WinogradSlab& slab, uint32_t thread)
    : slab_(slab),
      filter_(slab.scratch + slab.planes.input_floats() + thread * slab.planes.thread_floats()),
      product_(filter_ + slab.planes.points() * slab.planes.filter_pitch()) {}

WinogradWeights::~WinogradWeights() { wipe(bias_, sizeof(bias_)); }

void WinogradWeights::take(const TileGrid& grid, const TileInfo& tile, const float* weights) {
  const uint32_t most = slab_.planes.filter_blocks * kLanes;
  const uint32_t begin = tile.tap_begin / kTaps * kLanes;
  const uint32_t end = tile.tap_end == grid.taps ? slab_.in_channels : tile.tap_end / kTaps * kLanes;
  for (uint32_t panel = tile.panel_begin; panel < tile.panel_begin + tile.panel_count; ++panel) {
    const uint32_t width = panel_width(grid.shape, panel);
    if (begin == 0) {
      std::memcpy(bias_, weights, width * sizeof(float));
      weights += width;
    }
    for (uint32_t channel = begin; channel < end;) {
      const uint32_t left = end - channel, room = most - waiting_;
      const uint32_t channels = left < room ? left : room;
      slab_.kernels->winograd_filter({weights, width, waiting_, channels, slab_.planes, filter_});
      weights += size_t{kTaps} * channels * width;
      waiting_ += channels;
      channel += channels;
      if (waiting_ == most || channel == slab_.in_channels) multiply(width);
    }
    if (end == slab_.in_channels) finish(panel, width);
  }
}

void WinogradWeights::multiply(uint32_t width) {
  slab_.kernels->winograd_multiply({slab_.scratch, filter_, product_, done_ / kLanes, waiting_,
                                    width, done_ == 0, slab_.planes});
  done_ += waiting_;
  waiting_ = 0;
}

void WinogradWeights::finish(uint32_t panel, uint32_t width) {
  slab_.kernels->winograd_output({product_, slab_.out,
                                  slab_.out_block + panel * (kPanelWidth / kLanes),
                                  width / kLanes, bias_, slab_.planes, slab_.activation,
                                  slab_.rows, slab_.residual});
  done_ = 0;
}

}  // namespace carrel
