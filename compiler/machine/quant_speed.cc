#include "compiler/machine/quant_speed.h"

#include <random>
#include <vector>

#include "base/checked.h"
#include "engine/kernels/rows/rows.h"

namespace carrel::machine {
namespace {

struct alignas(64) Line {
  std::byte bytes[64];
};

// Lines with bytes that are anything.
std::vector<Line> lines_for(uint64_t bytes, uint32_t seed) {
  std::vector<Line> lines(ceil_div(bytes, sizeof(Line)));
  std::mt19937 engine(seed);
  for (std::byte& b : std::as_writable_bytes(std::span(lines))) b = static_cast<std::byte>(engine());
  return lines;
}

MapShape input_of(const LayerShape& s) {
  const uint32_t pad = s.kernel / 2u;
  return {s.in_channels, s.height, s.width, pad, pad, ElementType::kU8, 128};
}
MapShape output_of(const LayerShape& s) {
  return {s.out_channels, (s.height - 1) / s.stride + 1, (s.width - 1) / s.stride + 1, 0, 0, ElementType::kU8, 10};
}

}  // namespace

struct QuantTrial::State {
  State(const LayerShape& s, CpuMask cpu)
      : shape(s), kernels(row_kernels(cpu)), in(input_of(s)), out(output_of(s)) {
    const uint16_t k = s.kernel, pad = static_cast<uint16_t>(k / 2);
    window = {k, k, s.stride, s.stride, 1, 1, pad, pad, pad, pad};
    const Result<TileGrid> made =
        make_tile_grid({WeightsKind::kQuantConv, StoredType::kF32, s.in_channels, s.out_channels, k, k, 0});
    CARREL_CHECK(made.ok());
    grid = *made;
    in_lines = lines_for(in.row_bytes() * in.height, 1);
    out_lines = lines_for(out.row_bytes() * out.height, 2);
    sum_lines = lines_for(quant_sums_bytes(out.height, out.width), 3);
    pack();
  }

  void pack() {
    const size_t row = size_t{shape.in_channels} * shape.kernel * shape.kernel;
    std::mt19937 engine(4);
    std::vector<int8_t> numbers(shape.out_channels * row);
    for (int8_t& n : numbers) n = static_cast<int8_t>(engine());
    const std::vector<int32_t> bias(shape.out_channels, 1000);
    const std::vector<float> multipliers(shape.out_channels, 0.01f / static_cast<float>(row));
    weights = lines_for(grid.expanded_bytes, 5);
    pack_quant_weights(grid, {numbers, bias, multipliers},
                       std::as_writable_bytes(std::span(weights)).first(grid.stored_bytes));
  }

  ByteRing ring(std::vector<Line>& lines, const MapShape& map) const {
    return {reinterpret_cast<uint8_t*>(lines.data()), map, map.height};
  }

  LayerShape shape;
  const RowKernels& kernels;
  MapShape in, out;
  Window window;
  TileGrid grid;
  std::vector<Line> in_lines, out_lines, sum_lines, weights;
};

QuantTrial::QuantTrial(const LayerShape& shape, CpuMask cpu) : state_(std::make_unique<State>(shape, cpu)) {}
QuantTrial::~QuantTrial() = default;

void QuantTrial::run() const {
  State& s = *state_;
  const std::byte* weights = std::as_bytes(std::span(s.weights)).data();
  std::byte* sums = std::as_writable_bytes(std::span(s.sum_lines)).data();
  for (uint32_t t = 0; t < s.grid.tile_count; ++t) {
    const TileInfo tile = tile_info(s.grid, t);
    s.kernels.quant_conv({s.ring(s.in_lines, s.in), s.ring(s.out_lines, s.out), 0, 0, s.shape.in_channels,
                          s.shape.out_channels, tile.panel_begin, tile.panel_count, tile.tap_begin, tile.tap_end,
                          s.grid.taps, weights + tile_stored_offset(s.grid, t), sums, s.window, 0, 255,
                          {0, s.out.height}});
  }
}

double QuantTrial::operations() const {
  const State& s = *state_;
  return 2.0 * s.shape.in_channels * s.shape.out_channels * s.shape.kernel * s.shape.kernel * s.out.height * s.out.width;
}

}  // namespace carrel::machine
