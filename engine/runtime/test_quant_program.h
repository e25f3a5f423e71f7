#pragma once
// A program of every operator on maps of bytes.
#include "engine/runtime/test_programs.h"

namespace carrel::testing {

inline uint16_t byte_map(TestProgram* p, uint32_t channels, uint32_t side, uint8_t zero,
                         uint32_t pad = 0) {
  const uint16_t id = p->map(channels, side, side, pad);
  TensorDesc& t = p->tensors[id];
  t.type = ElementType::kU8;
  t.zero = zero;
  t.bytes = t.ring_rows * map_shape(t).row_bytes();
  return id;
}

inline uint16_t quant_stream(TestProgram* p, WeightsKind kind, uint32_t ins, uint32_t outs,
                             uint32_t kernel) {
  WeightsShape shape;
  shape.kind = kind;
  shape.in_channels = ins;
  shape.out_channels = outs;
  shape.kernel_h = shape.kernel_w = kernel;
  std::vector<std::byte> packed(make_tile_grid(shape)->stored_bytes);
  std::vector<int8_t> weights(size_t{kind == WeightsKind::kQuantConv ? ins : 1} * outs * kernel *
                              kernel);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<int8_t>(i * 37 % 256);
  const std::vector<int32_t> bias(outs, 100);
  const std::vector<float> multipliers(outs, 0.001f);
  pack_quant_weights(*make_tile_grid(shape), {weights, bias, multipliers}, packed);
  return p->packed_stream(shape, std::move(packed));
}

// Input -> quantize -> convolutions (one cut at taps and streamed, one resident) -> depthwise ->
// pool -> add -> copies -> dequantize -> output, over whole maps.
inline TestProgram quant_operators() {
  TestProgram p;
  constexpr uint32_t kChannels = 21, kDeep = 150, kSide = 8;
  constexpr Window kThree = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  const uint16_t deep = quant_stream(&p, WeightsKind::kQuantConv, kDeep, kChannels, 3);
  const uint16_t wide = quant_stream(&p, WeightsKind::kQuantConv, kChannels, kDeep, 1);
  const uint16_t depth = quant_stream(&p, WeightsKind::kQuantDepthwise, 1, kChannels, 3);
  const uint16_t x = p.map(kChannels, kSide, kSide), y = p.map(kChannels, kSide, kSide);
  const uint16_t first = byte_map(&p, kChannels, kSide, 100),
                 many = byte_map(&p, kDeep, kSide, 9, 1);
  const uint16_t few = byte_map(&p, kChannels, kSide, 50, 1),
                 blocks = byte_map(&p, kChannels, kSide, 50);
  const uint16_t pooled = byte_map(&p, kChannels, kSide, 60),
                 sum = byte_map(&p, kChannels, kSide, 61);
  const uint16_t joined = byte_map(&p, 2 * kChannels, kSide, 61),
                 part = byte_map(&p, kChannels, kSide, 61);
  const uint16_t in_store = p.boundary(StoreKind::kInput, x),
                 out_store = p.boundary(StoreKind::kOutput, y);
  const uint16_t spill = p.store(
      StoreKind::kSpill, static_cast<uint32_t>(map_shape(p.tensors[part]).row_bytes()), kSide);
  const uint16_t back = byte_map(&p, kChannels, kSide, 61);

  const auto run = [&](const OpDesc& op) { p.step(p.op(op), 0, kSide); };
  const auto conv = [&](Opcode opcode, uint16_t in, uint16_t out, uint16_t stream,
                        WeightsMode mode) {
    OpDesc op = op_of(opcode, in, out);
    op.stream = stream;
    op.weights = mode;
    op.arg0 = 3 << 8 | 250;
    op.in_channels = p.tensors[in].channels;
    op.out_channels = p.tensors[out].channels;
    if (p.streams[stream].shape.kernel_h == 3) op.window = kThree;
    if (mode == WeightsMode::kResident) {
      OpDesc load = op_of(Opcode::kLoad, kNone16, kNone16);
      load.stream = stream;
      load.weights_offset = op.weights_offset =
          p.reserve(make_tile_grid(p.streams[stream].shape)->expanded_bytes);
      p.step(p.op(load), 0, 1);
    }
    run(op);
  };
  run(transfer_of(Opcode::kInput, kNone16, x, in_store));
  OpDesc op = op_of(Opcode::kQuantize, x, first);
  op.arg0 = 100;
  op.farg0 = 0.02f;
  run(op);
  conv(Opcode::kQuantConv, first, many, wide, WeightsMode::kResident);
  conv(Opcode::kQuantConv, many, few, deep, WeightsMode::kStreamed);
  conv(Opcode::kQuantDepthwise, few, blocks, depth, WeightsMode::kResident);
  op = op_of(Opcode::kQuantPool, blocks, pooled);
  op.window = kThree;
  op.arg0 = static_cast<uint32_t>(PoolKind::kAverage);
  op.farg0 = 1.5f;
  run(op);
  op = op_of(Opcode::kQuantAdd, pooled, sum);
  op.in1 = blocks;
  op.arg0 = 255;
  op.farg0 = op.farg1 = 0.5f;
  run(op);
  for (uint32_t i = 0; i < 2; ++i) {
    op = op_of(Opcode::kQuantCopy, i == 0 ? sum : pooled, joined);
    op.arg0 = i * kChannels;
    op.arg2 = i;
    op.farg0 = 1.25f;
    run(op);
  }
  op = op_of(Opcode::kQuantCopy, joined, part);
  op.arg0 = 11;
  op.arg1 = 1;
  run(op);
  run(transfer_of(Opcode::kSpill, part, kNone16, spill));
  run(transfer_of(Opcode::kFetch, kNone16, back, spill));
  op = op_of(Opcode::kDequantize, back, y);
  op.arg0 = 61;
  op.farg0 = 0.1f;
  run(op);
  run(transfer_of(Opcode::kOutput, y, kNone16, out_store));
  return p;
}

}  // namespace carrel::testing
