#pragma once
// The products of Winograd's convolution: at each point a matrix product of tiles x input channels
// by input channels x output channels, done by the convolution's register tiles as if the tiles
// were the pixels of one row. Include after conv_body.h.
#include "engine/kernels/rows/conv_body.h"

namespace carrel::CARREL_ROWS_ISA {

// Input planes that stay in L2 beside filter and product planes.
inline constexpr size_t kInputInCache = 512 * 1024;

template <class Tiles>
void multiply_planes(const WinogradMultiplyCall& call) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  alignas(64) static constexpr float kZeros[kPanelWidth] = {};
  const WinogradPlanes& planes = call.planes;
  const size_t tiles = planes.tiles();
  ConvTap taps[WinogradPlanes::kFilterBlocks];
  uint32_t count = 0;
  for (uint32_t done = 0; done < call.channels; done += kLanes, ++count) {
    const uint32_t left = call.channels - done;
    taps[count] = {call.input + (size_t{call.in_block} + count) * tiles * kLanes, done,
                   left < kLanes ? left : kLanes};
  }
  const uint32_t blocks = call.width / kLanes < Tiles::kBlocks ? 1 : Tiles::kBlocks;
  // The next point's plane, unless all of them stay in L2: prefetches take time of their own.
  const size_t ahead =
      planes.input_floats() * sizeof(float) > kInputInCache ? planes.input_pitch() : 0;
  const RowCut<Tiles> cut(static_cast<uint32_t>(tiles), blocks, kLanes);
  for (uint32_t point = 0; point < planes.points(); ++point) {
    for (uint32_t h = 0; h < call.width / kLanes; h += blocks) {
      ConvTile tile = {taps,
                       count,
                       call.width,
                       call.filter + point * planes.filter_pitch() + h * kLanes,
                       call.first ? kZeros : nullptr,
                       point * planes.input_pitch(),
                       kLanes,
                       ahead,
                       0,
                       0,
                       call.product + point * planes.product_pitch() + h * tiles * kLanes,
                       tiles * kLanes,
                       -kInfinity,
                       kInfinity,
                       UnaryFn::kNone,
                       nullptr,
                       0,
                       0};
      cut.run(tile);
    }
  }
}

}  // namespace carrel::CARREL_ROWS_ISA
