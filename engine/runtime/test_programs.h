#pragma once
// For tests only: small programs that between them use every opcode.
#include "engine/layout/dense.h"
#include "engine/layout/plain_op.h"
#include "engine/runtime/test_model.h"

namespace carrel::testing {

// input -> convolution 3 x 3 (pad 1, Relu) -> output, in one of several ways that must agree bit for bit.
struct ConvNetOptions {
  uint32_t in_channels = 20, out_channels = 70, height = 9, width = 11;
  StoredType stored = StoredType::kF32;
  WeightsMode weights = WeightsMode::kStreamed;
  bool once = false;
  bool spill = false;     // the input goes out and comes back through a ring of four rows
  uint32_t slab_rows = 3;  // output rows per step; Winograd's: whole tiles
  ConvAlgorithm algorithm = ConvAlgorithm::kDirect;
  bool planar = false;  // the input's map
  uint32_t scratch_threads = 1;  // Winograd's: how many threads may run it
};

inline OpDesc op_of(Opcode opcode, uint16_t in0, uint16_t out) {
  OpDesc op{};
  op.opcode = opcode;
  op.in0 = in0;
  op.out = out;
  return op;
}
inline OpDesc transfer_of(Opcode opcode, uint16_t in0, uint16_t out, uint16_t store) {
  OpDesc op = op_of(opcode, in0, out);
  op.store = store;
  return op;
}

struct ConvNet {
  TestProgram program;
  std::vector<float> weights, bias;
  uint64_t input_count = 0, output_count = 0;
};

inline ConvNet make_conv_net(const ConvNetOptions& o) {
  ConvNet net;
  TestProgram& p = net.program;
  net.weights = random_floats(size_t{o.out_channels} * o.in_channels * 9, 11);
  net.bias = random_floats(o.out_channels, 12);
  net.input_count = uint64_t{o.in_channels} * o.height * o.width;
  net.output_count = uint64_t{o.out_channels} * o.height * o.width;
  WeightsShape shape;
  shape.kind = WeightsKind::kConv;
  shape.stored = o.stored;
  shape.in_channels = o.in_channels;
  shape.out_channels = o.out_channels;
  shape.kernel_h = shape.kernel_w = 3;
  const uint16_t stream = p.stream(shape, net.weights, net.bias);
  const uint32_t ring = o.slab_rows + 2;
  const uint32_t pad = o.algorithm == ConvAlgorithm::kDirect ? 1 : 5;
  const ElementType type = o.planar ? ElementType::kPlanarF32 : ElementType::kF32;
  const uint16_t first = p.map(o.in_channels, o.height, o.width, pad, o.spill ? ring : 0, type);
  const uint16_t in = o.spill ? p.map(o.in_channels, o.height, o.width, pad, ring, type) : first;
  const uint16_t out = p.map(o.out_channels, o.height, o.width, 0, o.slab_rows);
  const uint16_t in_store = p.boundary(StoreKind::kInput, first);
  const uint16_t out_store = p.boundary(StoreKind::kOutput, out);
  const uint32_t row_bytes = static_cast<uint32_t>(map_shape(p.tensors[in]).row_bytes());
  const uint16_t spill_store = o.spill ? p.store(StoreKind::kSpill, row_bytes, o.height) : kNone16;
  const uint16_t input = p.op(transfer_of(Opcode::kInput, kNone16, first, in_store));
  OpDesc conv = op_of(Opcode::kConv, in, out);
  conv.stream = stream;
  conv.weights = o.weights;
  conv.in_channels = o.in_channels;
  conv.out_channels = o.out_channels;
  conv.window = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  conv.activation = UnaryFn::kRelu;
  conv.algorithm = o.algorithm;
  if (o.algorithm != ConvAlgorithm::kDirect) {
    p.winograd = true;
    conv.scratch_bytes = winograd_scratch_bytes(winograd_side(o.algorithm), o.slab_rows, o.width, o.in_channels,
                                                o.scratch_threads);
    conv.scratch_offset = p.reserve(conv.scratch_bytes);
  }
  if (o.weights == WeightsMode::kResident) {
    OpDesc load = op_of(Opcode::kLoad, kNone16, kNone16);
    load.stream = stream;
    load.once = o.once;
    load.weights_offset = conv.weights_offset = p.reserve(make_tile_grid(shape)->expanded_bytes);
    p.step(p.op(load), 0, 1);
  }
  const uint16_t conv_op = p.op(conv);
  const uint16_t output = p.op(transfer_of(Opcode::kOutput, out, kNone16, out_store));
  uint16_t fetch = kNone16;
  if (o.spill) {
    const uint16_t spill = p.op(transfer_of(Opcode::kSpill, first, kNone16, spill_store));
    fetch = p.op(transfer_of(Opcode::kFetch, kNone16, in, spill_store));
    for (uint32_t y = 0; y < o.height; y += ring) {
      const uint32_t rows = std::min(ring, o.height - y);
      p.step(input, y, rows);
      p.step(spill, y, rows);
    }
  } else {
    p.step(input, 0, o.height);
  }
  uint32_t fetched = 0;
  for (uint32_t y = 0; y < o.height; y += o.slab_rows) {
    const uint32_t rows = std::min(o.slab_rows, o.height - y);
    const uint32_t wanted = std::min(o.height, y + rows + 1);
    if (o.spill && wanted > fetched) p.step(fetch, fetched, wanted - fetched);
    fetched = wanted;
    p.step(conv_op, y, rows);
    p.step(output, y, rows);
  }
  return net;
}

// input map -> fully-connected layer (Relu) -> output.
struct DenseNetOptions {
  uint32_t in_channels = 50, side = 5, out_channels = 150;
  StoredType stored = StoredType::kF32;
  WeightsMode weights = WeightsMode::kStreamed;
};

inline TestProgram make_dense_net(const DenseNetOptions& o) {
  TestProgram p;
  WeightsShape shape;
  shape.kind = WeightsKind::kDense;
  shape.stored = o.stored;
  shape.in_channels = o.in_channels;
  shape.out_channels = o.out_channels;
  shape.kernel_h = shape.kernel_w = o.side;
  const size_t rows = dense_rows(shape);
  const uint16_t stream =
      p.stream(shape, random_floats(rows * o.out_channels, 13), random_floats(o.out_channels, 14));
  const uint16_t in = p.map(o.in_channels, o.side, o.side, 0, 0), out = p.map(o.out_channels, 1, 1, 0, 0);
  const uint16_t in_store = p.boundary(StoreKind::kInput, in), out_store = p.boundary(StoreKind::kOutput, out);
  OpDesc dense = op_of(Opcode::kConv, in, out);
  dense.stream = stream;
  dense.weights = o.weights;
  dense.in_channels = o.in_channels;
  dense.out_channels = o.out_channels;
  dense.window.kernel_h = dense.window.kernel_w = static_cast<uint16_t>(o.side);
  dense.activation = UnaryFn::kRelu;
  if (o.weights == WeightsMode::kResident) {
    OpDesc load = op_of(Opcode::kLoad, kNone16, kNone16);
    load.stream = stream;
    load.weights_offset = dense.weights_offset = p.reserve(make_tile_grid(shape)->expanded_bytes);
    p.step(p.op(load), 0, 1);
  }
  p.step(p.op(transfer_of(Opcode::kInput, kNone16, in, in_store)), 0, o.side);
  p.step(p.op(dense), 0, 1);
  p.step(p.op(transfer_of(Opcode::kOutput, out, kNone16, out_store)), 0, 1);
  return p;
}

// Elementwise, pooling, normalisation, copies and conversions, in one program over whole maps.
inline TestProgram many_operators(uint64_t* input_count) {
  TestProgram p;
  constexpr uint32_t kChannels = 21, kSide = 8;
  *input_count = kChannels * kSide * kSide;
  const auto vectors = [&](uint32_t rows, uint32_t seed) {
    WeightsShape shape;
    shape.kind = WeightsKind::kVectors;
    shape.out_channels = kChannels;
    shape.kernel_h = rows;
    return p.stream(shape, random_floats(size_t{rows} * kChannels, seed), {});
  };
  WeightsShape depth;
  depth.kind = WeightsKind::kDepthwise;
  depth.in_channels = 1;
  depth.out_channels = kChannels;
  depth.kernel_h = depth.kernel_w = 3;
  const uint16_t depth_stream = p.stream(depth, random_floats(size_t{kChannels} * 9, 21), random_floats(kChannels, 22));
  const uint16_t affine_stream = vectors(2, 23), slope_stream = vectors(1, 24);
  WeightsShape constant;
  constant.kind = WeightsKind::kPlain;
  constant.stored = StoredType::kF16;
  constant.element_count = 2 * kChannels * 16;
  const uint16_t constant_stream = p.stream(constant, random_floats(constant.element_count, 25), {});

  const auto map = [&](uint32_t c, uint32_t s, uint32_t pad = 0) { return p.map(c, s, s, pad); };
  const uint16_t x = map(kChannels, kSide, 1), d = map(kChannels, kSide), a = map(kChannels, kSide);
  const uint16_t pooled = map(kChannels, 4), norm = map(kChannels, 4), prob = map(kChannels, 4);
  const uint16_t top = map(kChannels, 1), joined = map(2 * kChannels, 4), part = map(kChannels, 4);
  const uint16_t dense = p.plain({1, 2 * kChannels, 4, 4}), sum = p.plain({1, 2 * kChannels, 4, 4});
  const uint16_t weights = p.plain({1, 2 * kChannels, 4, 4}), back = map(2 * kChannels, 4);
  const uint16_t in_store = p.boundary(StoreKind::kInput, x), out_store = p.boundary(StoreKind::kOutput, back);

  const auto run = [&](const OpDesc& op, uint32_t rows) { p.step(p.op(op), 0, rows); };
  const auto resident = [&](uint16_t stream, OpDesc op, uint32_t rows) {
    OpDesc load = op_of(Opcode::kLoad, kNone16, kNone16);
    load.stream = op.stream = stream;
    op.weights = WeightsMode::kResident;
    load.weights_offset = op.weights_offset = p.reserve(make_tile_grid(p.streams[stream].shape)->expanded_bytes);
    run(load, 1);
    run(op, rows);
  };
  run(transfer_of(Opcode::kInput, kNone16, x, in_store), kSide);
  OpDesc op = op_of(Opcode::kDepthwise, x, d);
  op.window = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  op.activation = UnaryFn::kHardSwish;
  resident(depth_stream, op, kSide);
  resident(affine_stream, op_of(Opcode::kUnary, d, a), kSide);
  op = op_of(Opcode::kUnary, a, a);
  op.arg0 = 1;
  resident(slope_stream, op, kSide);
  op = op_of(Opcode::kPool, a, pooled);
  op.window = {3, 3, 2, 2, 1, 1, 1, 1, 1, 1};
  op.arg0 = static_cast<uint32_t>(PoolKind::kAverage);
  op.arg1 = 1;
  op.arg2 = 1u << 16 | 1;
  run(op, 4);
  op = op_of(Opcode::kLrn, pooled, norm);
  op.arg0 = 5;
  op.farg0 = 0.1f, op.farg1 = 0.75f, op.farg2 = 1.0f;
  run(op, 4);
  run(op_of(Opcode::kSoftmax, norm, prob), 4);
  op = op_of(Opcode::kGlobalPool, norm, top);
  op.arg0 = static_cast<uint32_t>(PoolKind::kAverage);
  const uint16_t global = p.op(op);
  p.step(global, 0, 3);
  p.step(global, 3, 1);
  op = op_of(Opcode::kBinary, prob, prob);
  op.in1 = top;
  op.arg0 = static_cast<uint32_t>(BinaryFn::kAdd);
  run(op, 4);
  run(op_of(Opcode::kCopy, prob, joined), 4);
  op = op_of(Opcode::kCopy, norm, joined);
  op.arg0 = kChannels;
  run(op, 4);
  op = op_of(Opcode::kCopy, joined, part);
  op.arg0 = 5;
  op.arg1 = 1;
  run(op, 4);
  op = op_of(Opcode::kCopy, part, joined);
  op.arg0 = 2;
  run(op, 4);
  run(op_of(Opcode::kRowsToPlain, joined, dense), 4);
  OpDesc load = op_of(Opcode::kLoad, kNone16, weights);
  load.stream = constant_stream;
  run(load, 1);
  OpDesc add{};
  add.opcode = Opcode::kPlain;
  add.plain_op = static_cast<uint16_t>(PlainOp::kAdd);
  p.operands = {dense, weights, sum};
  add.input_count = 2;
  add.output_count = 1;
  run(add, 1);
  run(op_of(Opcode::kPlainToRows, sum, back), 4);
  run(transfer_of(Opcode::kOutput, back, kNone16, out_store), 4);
  return p;
}

}  // namespace carrel::testing
