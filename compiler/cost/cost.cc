#include "compiler/cost/cost.h"

#include <algorithm>
#include <cmath>

#include "engine/layout/conv_split.h"

namespace carrel {
namespace {

// The convolution kernels' register tile: pixels that share one load of the weights.
constexpr double kTilePixels = 14;
// What stays in L2 beside weights and stack.
constexpr double kCacheBytes = 1.5 * (1 << 20);

// Share of a register tile's lanes that do useful work for a slab of `rows` x `width` pixels. Rows narrower than a
// tile are packed together.
double tile_use(double rows, double width) {
  const double pixels = rows * width;
  const double tiles = width >= kTilePixels ? rows * std::ceil(width / kTilePixels) : std::ceil(pixels / kTilePixels);
  return std::max(0.15, pixels / (tiles * kTilePixels));
}

uint32_t rows_of(const NodeWork& w, uint32_t actions) { return (w.rows + actions - 1) / actions; }

WinogradPlanes planes_of(const NodeWork& w, uint32_t rows) {
  return winograd_planes(winograd_side(w.algorithm), rows, w.width, w.in_channels);
}

double winograd_seconds(const NodeWork& w, const MachineFigures& machine, uint32_t actions) {
  const uint32_t side = winograd_side(w.algorithm);
  const WinogradPlanes planes = planes_of(w, rows_of(w, actions));
  const double slabs = std::max(1.0, std::ceil(static_cast<double>(w.rows) / (planes.tile_rows * side)));
  const double tiles = static_cast<double>(planes.tiles());
  const double in_blocks = planes.in_blocks, out_blocks = std::ceil(w.out_channels / 16.0);
  const double products = 2.0 * planes.points() * tiles * w.in_channels * out_blocks * 16;
  // Few tiles do not fill the pipelines; planes beyond L2 come more slowly.
  const double busy = std::min(1.0, tiles / 4);
  const double excess = static_cast<double>(planes.scratch_bytes(1)) / kCacheBytes - 1;
  const double slower = 1 + 0.06 * std::clamp(excess, 0.0, 4.0);
  const double multiply = products * slower / (0.92 * machine.flops_per_second * busy);
  const bool large = side == 4;
  const double input = large ? machine.winograd4_input_seconds : machine.winograd2_input_seconds;
  const double output = large ? machine.winograd4_output_seconds : machine.winograd2_output_seconds;
  const double filter = large ? machine.winograd4_filter_seconds : machine.winograd2_filter_seconds;
  const double transforms = tiles * (in_blocks * input + out_blocks * output) + w.in_channels * out_blocks * filter;
  return slabs * (multiply + transforms);
}

double direct_seconds(const NodeWork& w, const MachineFigures& machine, uint32_t actions) {
  const double slab_rows = std::max(1.0, static_cast<double>(w.rows) / std::max(1u, actions));
  const double arithmetic = 2 * w.macs / machine.flops_per_second / tile_use(slab_rows, w.width);
  // A slab too large for L2 comes from afar for every panel; half of that hides under arithmetic.
  const bool far = w.input_bytes / std::max(1u, actions) > kCacheBytes;
  return arithmetic + (far ? 0.5 * w.input_reads * w.input_bytes / machine.far_bytes_per_second : 0);
}

// `parts` threads share `units` of work, each of which one thread does.
double even_speedup(double units, uint32_t parts) { return units / std::ceil(units / parts); }

ConvSplit split_of(const NodeWork& w, uint32_t rows, uint32_t threads, bool streamed) {
  const uint32_t units = std::max(1u, w.units);
  if (w.algorithm != ConvAlgorithm::kDirect) return choose_winograd_split(units, planes_of(w, rows), threads);
  return choose_split(units, rows, w.width, threads, streamed);
}

double speedup(const NodeWork& w, uint32_t actions, uint32_t threads, bool streamed) {
  const uint32_t rows = rows_of(w, actions);
  // Other operators divide channels where they have too few rows.
  if (w.units == 0) return rows < threads ? threads : even_speedup(rows, threads);
  const ConvSplit split = split_of(w, rows, threads, streamed);
  if (!split.by_rows) return even_speedup(w.units, split.parts);
  return even_speedup(w.algorithm == ConvAlgorithm::kDirect ? rows : planes_of(w, rows).tile_rows, split.parts);
}

}  // namespace

double conv_seconds(const NodeWork& work, const MachineFigures& machine, uint32_t actions) {
  if (work.algorithm == ConvAlgorithm::kDirect) return direct_seconds(work, machine, actions);
  return winograd_seconds(work, machine, actions);
}

double conv_error(ConvAlgorithm algorithm, uint32_t in_channels) {
  const double growth = std::sqrt(static_cast<double>(in_channels));
  switch (algorithm) {
    case ConvAlgorithm::kDirect: return 1e-7 * growth;
    case ConvAlgorithm::kWinograd2: return 4e-8 * growth;
    case ConvAlgorithm::kWinograd4: return 5e-7 * growth;
  }
  return 0;
}

ConvAlgorithm choose_algorithm(NodeWork work) {
  // Below a block of channels the products' sums are moved more than added to: 2.3 against 1.0 ms for 3 channels to 64.
  if (work.in_channels < kLanes) return ConvAlgorithm::kDirect;
  const MachineFigures machine;
  const double fetch = 9.0 * work.in_channels * work.out_channels * sizeof(float) / machine.fetch_bytes_per_second;
  ConvAlgorithm best = ConvAlgorithm::kDirect;
  work.algorithm = best;
  double least = conv_seconds(work, machine, 1) + fetch;
  for (ConvAlgorithm algorithm : {ConvAlgorithm::kWinograd2, ConvAlgorithm::kWinograd4}) {
    if (conv_error(algorithm, work.in_channels) > kMostConvError) continue;
    work.algorithm = algorithm;
    for (uint32_t actions = 1; actions <= work.rows; actions *= 2) {
      const double seconds = conv_seconds(work, machine, actions) + actions * fetch;
      if (seconds >= least) continue;
      least = seconds;
      best = algorithm;
    }
  }
  return best;
}

// Every further slab goes through the weights once more; half of that hides under arithmetic.
double MachineCost::pass_seconds(const NodeWork& w, uint32_t actions) const {
  const double passes = w.algorithm == ConvAlgorithm::kDirect ? actions - 1.0 : 0;  // else the transform's price
  return 0.5 * passes * w.weight_bytes / machine_.far_bytes_per_second;
}

double MachineCost::compute_seconds(NodeIndex node, uint32_t actions) const {
  const NodeWork& w = work(node);
  const uint32_t slabs = std::max(1u, actions);
  const double one_thread = conv_seconds(w, machine_, slabs) + w.touched_bytes / machine_.touch_bytes_per_second;
  // What is made in one action has its weights streamed, as a rule.
  return one_thread / speedup(w, slabs, threads_, actions == 1) + pass_seconds(w, slabs) + actions * machine_.action_seconds;
}

double MachineCost::fetch_seconds(uint64_t bytes) const {
  return static_cast<double>(bytes) / machine_.fetch_bytes_per_second / threads_;
}

double MachineCost::stream_seconds(NodeIndex node, uint64_t bytes, uint32_t actions) const {
  const NodeWork& w = work(node);
  const bool shared = !split_of(w, rows_of(w, std::max(1u, actions)), threads_, true).by_rows;
  const double seconds = static_cast<double>(bytes) * actions / machine_.fetch_bytes_per_second;
  return shared ? seconds / speedup(w, std::max(1u, actions), threads_, true) : seconds;
}

double MachineCost::carry_seconds(uint64_t bytes) const {
  const double size = static_cast<double>(bytes);
  return size > kCacheBytes ? size / machine_.far_bytes_per_second / threads_ : 0;
}

double MachineCost::spill_seconds(uint64_t bytes, double rows) const {
  return static_cast<double>(bytes) / machine_.spill_bytes_per_second / even_speedup(std::max(1.0, rows), threads_);
}

}  // namespace carrel
