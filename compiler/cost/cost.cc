#include "compiler/cost/cost.h"

#include <algorithm>
#include <cmath>

namespace carrel {
namespace {

// The convolution kernels' register tile: pixels that share one load of the weights.
constexpr double kTilePixels = 14;

// Share of a register tile's lanes that do useful work for a slab of `rows` x `width` pixels. Rows narrower than a
// tile are packed together.
double tile_use(double rows, double width) {
  const double pixels = rows * width;
  const double tiles = width >= kTilePixels ? rows * std::ceil(width / kTilePixels) : std::ceil(pixels / kTilePixels);
  return std::max(0.15, pixels / (tiles * kTilePixels));
}

}  // namespace

double MachineCost::compute_seconds(NodeIndex node, uint32_t actions) const {
  const NodeWork& w = work_[static_cast<size_t>(node)];
  const double slab_rows = std::max(1.0, static_cast<double>(w.rows) / std::max(1u, actions));
  const double arithmetic = 2 * w.macs / machine_.flops_per_second / tile_use(slab_rows, w.width);
  const double traffic = w.touched_bytes / machine_.touch_bytes_per_second;
  return (arithmetic + traffic) / threads_ + actions * machine_.action_seconds;
}

double MachineCost::fetch_seconds(uint64_t bytes) const {
  return static_cast<double>(bytes) / machine_.fetch_bytes_per_second / threads_;
}

double MachineCost::spill_seconds(uint64_t bytes) const {
  return static_cast<double>(bytes) / machine_.spill_bytes_per_second / threads_;
}

}  // namespace carrel
