#include "compiler/machine/layer_speed.h"

#include <random>
#include <vector>

#include "compiler/machine/lines.h"
#include "compiler/machine/timing.h"
#include "engine/kernels/rows/rows.h"

namespace carrel::machine {
namespace {

constexpr LayerShape kShapes[] = {
    {"1x1 64-64 56x56", 64, 64, 56, 56, 1, 1, true},
    {"1x1 256-64 28x28", 256, 64, 28, 28, 1, 1, true},
    {"1x1 128-512 14x14", 128, 512, 14, 14, 1, 1, true},
    {"1x1 512-128 14x14", 512, 128, 14, 14, 1, 1, true},
    {"1x1 256-256 28x14", 256, 256, 28, 14, 1, 1, true},
    {"3x3 64-64 28x28", 64, 64, 28, 28, 3, 1, true},
    {"3x3 128-128 14x14", 128, 128, 14, 14, 3, 1, true},
    {"3x3 128-128 28x28", 128, 128, 28, 28, 3, 1, true},
    {"3x3 64-64 56x28", 64, 64, 56, 28, 3, 1, true},
    {"1x1 512-2048 7x7", 512, 2048, 7, 7, 1, 1, false},
    {"3x3 512-512 7x7", 512, 512, 7, 7, 3, 1, false},
    {"3x3 256-256 14x56", 256, 256, 14, 56, 3, 1, false},
    {"3x3 s2 128-128 56x56", 128, 128, 56, 56, 3, 2, false},
    {"7x7 s2 3-64 224x224", 3, 64, 224, 224, 7, 2, false},
};

// Exact sums of small numbers: neither denormals nor infinities, however often a layer runs.
std::vector<float> random_floats(size_t count) {
  std::mt19937 engine(1);
  std::vector<float> values(count);
  for (float& v : values) v = static_cast<float>(static_cast<int>(engine() % 255) - 127) / 128;
  return values;
}

struct Map {
  explicit Map(const MapShape& shape) : memory(lines_for(shape.row_bytes() * shape.height)) {
    ring = {floats_of(memory), shape, shape.height};
  }
  void fill(const RowKernels& kernels) {
    const MapShape& s = ring.shape;
    const size_t plane = size_t{s.height} * s.width;
    std::vector<float> dense = random_floats(s.channels * plane);
    for (uint32_t y = 0; y < s.height; ++y) kernels.dense_to_row({ring, &dense[size_t{y} * s.width], plane, y});
  }
  std::vector<Line> memory;
  RowRing ring;
};

MapShape input_of(const LayerShape& s) {
  const ElementType type = s.in_channels <= kMaxPlanarChannels ? ElementType::kPlanarF32 : ElementType::kF32;
  return {s.in_channels, s.height, s.width, s.kernel / 2u, s.kernel / 2u, type};
}

MapShape output_of(const LayerShape& s) {
  return {s.out_channels, (s.height - 1) / s.stride + 1, (s.width - 1) / s.stride + 1, 0, 0};
}

}  // namespace

std::span<const LayerShape> layer_shapes() { return kShapes; }

struct LayerTrial::State {
  State(const LayerShape& s, IsaLevel isa)
      : shape(s),
        kernels(row_kernels(mask_for(isa))),
        in(input_of(s)),
        out(output_of(s)) {
    const uint16_t k = s.kernel, pad = static_cast<uint16_t>(k / 2);
    window = {k, k, s.stride, s.stride, 1, 1, pad, pad, pad, pad};
    const Result<TileGrid> made =
        make_tile_grid({WeightsKind::kConv, StoredType::kF32, s.in_channels, s.out_channels, k, k, 0});
    CARREL_CHECK(made.ok());
    grid = *made;
    weights = lines_for(grid.expanded_bytes);
    pack_weights(grid, random_floats(size_t{s.out_channels} * s.in_channels * k * k), random_floats(s.out_channels),
                 std::as_writable_bytes(std::span(weights)).first(grid.stored_bytes));
    in.fill(kernels);
  }

  LayerShape shape;
  const RowKernels& kernels;
  Map in, out;
  Window window;
  TileGrid grid;
  std::vector<Line> weights;
};

LayerTrial::LayerTrial(const LayerShape& shape, IsaLevel isa) : state_(std::make_unique<State>(shape, isa)) {}
LayerTrial::~LayerTrial() = default;

void LayerTrial::run() const { run_rows(0, state_->out.ring.shape.height); }
void LayerTrial::run_by_rows() const {
  for (uint32_t y = 0; y < state_->out.ring.shape.height; ++y) run_rows(y, y + 1);
}

void LayerTrial::run_rows(uint32_t begin, uint32_t end) const {
  State& s = *state_;
  for (uint32_t t = 0; t < s.grid.tile_count; ++t) {
    const TileInfo tile = tile_info(s.grid, t);
    const float* weights = floats_of(s.weights) + tile_expanded_offset(s.grid, t) / sizeof(float);
    s.kernels.conv({s.in.ring, s.out.ring, 0, 0, s.shape.in_channels, s.shape.out_channels, tile.panel_begin,
                    tile.panel_count, tile.tap_begin, tile.tap_end, s.grid.taps, weights, s.window,
                    {UnaryFn::kRelu, 0, 0}, {begin, end}});
  }
}

double LayerTrial::flops() const {
  const LayerShape& s = state_->shape;
  const MapShape& out = state_->out.ring.shape;
  return 2.0 * s.in_channels * s.out_channels * s.kernel * s.kernel * out.height * out.width;
}

double touch_bytes_per_second(IsaLevel isa, double budget_seconds) {
  const RowKernels& kernels = row_kernels(mask_for(isa));
  const MapShape shape{64, 28, 56, 0, 0};
  Map a(shape), b(shape), out(shape);
  a.fill(kernels);
  b.fill(kernels);
  const double seconds = seconds_per_call(budget_seconds, [&] {
    kernels.binary({a.ring, b.ring, out.ring, 0, shape.blocks(), BinaryFn::kAdd, false, {UnaryFn::kRelu, 0, 0},
                    {0, shape.height}});
  });
  return 3.0 * static_cast<double>(shape.row_bytes()) * shape.height / seconds;
}

}  // namespace carrel::machine
