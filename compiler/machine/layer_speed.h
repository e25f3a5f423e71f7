#pragma once
// Speed of the row kernels on one layer, tile by tile as the engine calls them, everything in trusted memory.
#include <memory>
#include <span>

#include "base/cpu.h"

namespace carrel::machine {

struct LayerShape {
  const char* name;
  uint32_t in_channels, out_channels, height, width;
  uint16_t kernel, stride;  // padded by kernel / 2
  bool fits_l2;             // maps and weights together, with 2 MiB of L2
};
// Convolutions of well-known networks, GEMMs (1 x 1) first.
std::span<const LayerShape> layer_shapes();

// A layer with random weights and input, run with the kernels of one instruction set.
class LayerTrial {
 public:
  // `isa`: at most this machine's.
  LayerTrial(const LayerShape& shape, IsaLevel isa);
  ~LayerTrial();
  LayerTrial(const LayerTrial&) = delete;
  LayerTrial& operator=(const LayerTrial&) = delete;
  void run() const;
  // The same in one call of the kernels for each row, as when a slab is one row high.
  void run_by_rows() const;
  double flops() const;  // of a direct convolution

 private:
  void run_rows(uint32_t begin, uint32_t end) const;

  struct State;
  std::unique_ptr<State> state_;
};

// Bytes read and written per second by an elementwise kernel over rows in L2.
double touch_bytes_per_second(IsaLevel isa, double budget_seconds);

}  // namespace carrel::machine
