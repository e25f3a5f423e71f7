#pragma once
// Winograd's convolution of one slab, driven tile by tile of the sealed weights.
//
// First every input block goes through transform_input() once (blocks may be divided over threads).
// Then each thread takes the tiles of its own panels, in order, through a WinogradWeights of its
// own. Time and addresses independent of: weights, activations.
#include "engine/kernels/rows/rows.h"

namespace carrel {

struct WinogradSlab {
  const RowKernels* kernels = nullptr;
  RowRing in, out;
  uint32_t in_block = 0, out_block = 0;  // first blocks of the group
  uint32_t in_channels = 0, out_channels = 0;
  Window window;
  Unary activation;
  RowRange rows;  // rows.begin is a multiple of the side, rows.end too unless it is the last
  WinogradPlanes planes;
  float* scratch = nullptr;  // planes.scratch_bytes(threads), 64-byte aligned
  RowRing residual = {};     // as ConvCall's

  void transform_input(uint32_t block_begin, uint32_t block_count) const;
};

class WinogradWeights {
 public:
  // Thread `thread`'s share of the scratch.
  WinogradWeights(const WinogradSlab& slab, uint32_t thread);
  ~WinogradWeights();  // wipes the bias

  // The next tile, expanded to fp32. A panel's tiles come in order; the last writes its rows.
  void take(const TileGrid& grid, const TileInfo& tile, const float* weights);

 private:
  void multiply(uint32_t width);
  void finish(uint32_t panel, uint32_t width);

  const WinogradSlab& slab_;
  float* filter_;
  float* product_;
  uint32_t done_ = 0;     // input channels of the panel that are in the product
  uint32_t waiting_ = 0;  // input channels in the filter planes
  alignas(64) float bias_[kPanelWidth];
};

}  // namespace carrel
