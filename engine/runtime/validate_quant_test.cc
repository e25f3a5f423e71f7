// Programs with quantized operators that must be refused, one rule at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/runtime/test_quant_program.h"
#include "engine/runtime/test_sandbox.h"

namespace carrel::testing {
namespace {

using P = TestProgram;

Status validate(const P& program) {
  const std::vector<std::byte> blob = program.blob(1, IsaLevel::kGeneric);
  CARREL_ASSIGN(const ProgramView view, parse_program(blob));
  return validate_program(view);
}

OpDesc& op_in(P& p, Opcode opcode, size_t skip = 0) {
  for (OpDesc& op : p.ops) {
    if (op.opcode == opcode && skip-- == 0) return op;
  }
  ADD_FAILURE() << "no " << opcode_name(opcode);
  return p.ops[0];
}

TEST(ValidateQuant, AcceptsEveryOperator) {
  const Status status = validate(quant_operators());
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message());
  EXPECT_EQ(run_in_sandbox(quant_operators().blob(1, isa_level(detect_cpu()))), SandboxResult::kRan);
}

struct Breakage {
  const char* what;
  std::function<void(P&)> apply;
};

TEST(ValidateQuant, RefusesBrokenOperators) {
  const auto of = [](Opcode opcode) { return [opcode](P& p) -> OpDesc& { return op_in(p, opcode); }; };
  const auto conv = of(Opcode::kQuantConv), depth = of(Opcode::kQuantDepthwise), add = of(Opcode::kQuantAdd);
  const auto pool = of(Opcode::kQuantPool), copy = of(Opcode::kQuantCopy), quantize = of(Opcode::kQuantize);
  const auto dequantize = of(Opcode::kDequantize);
  const Breakage breakages[] = {
      {"unknown element type", [](P& p) { p.tensors[2].type = static_cast<ElementType>(2); }},
      {"bytes read as floats", [&](P& p) { p.tensors[conv(p).in0].type = ElementType::kF32; }},
      {"floats with a zero point", [](P& p) { p.tensors[0].zero = 1; }},
      {"floats convolved as bytes", [&](P& p) { conv(p).in0 = quantize(p).in0; }},
      {"bytes convolved as floats", [&](P& p) { conv(p).opcode = Opcode::kConv; }},
      {"convolution into floats", [&](P& p) { conv(p).out = dequantize(p).out; }},
      {"bounds the wrong way round", [&](P& p) { conv(p).arg0 = 9 << 8 | 8; }},
      {"bounds beyond bytes", [&](P& p) { conv(p).arg0 = 1 << 16; }},
      {"bounds of a depthwise convolution", [&](P& p) { depth(p).arg0 = 1 << 16; }},
      {"bounds of a sum", [&](P& p) { add(p).arg0 = 9 << 8; }},
      {"a float stream", [&](P& p) { p.streams[conv(p).stream].shape.kind = WeightsKind::kConv; }},
      {"a stream of halves", [&](P& p) { p.streams[conv(p).stream].shape.stored = StoredType::kF16; }},
      {"kernel unlike its stream", [&](P& p) { depth(p).window.kernel_w = 2; }},
      {"right of the map's pads", [&](P& p) { depth(p).window.dilation_w = 3; }},
      {"a streamed depthwise convolution", [&](P& p) { depth(p).weights = WeightsMode::kStreamed; }},
      {"a sum of other sides", [&](P& p) { add(p).in1 = op_in(p, Opcode::kQuantConv).out; }},
      {"a sum with floats", [&](P& p) { add(p).in1 = dequantize(p).out; }},
      {"a sum scaled too far", [&](P& p) { add(p).farg0 = 2e6f; }},
      {"a sum scaled by no number", [&](P& p) { add(p).farg1 = std::nanf(""); }},
      {"a planar map of bytes", [&](P& p) { p.tensors[quantize(p).out].type = ElementType::kPlanarF32; }},
      {"a sum without a second map", [&](P& p) { add(p).in1 = kNone16; }},
      {"an average of too much", [&](P& p) { pool(p).window.kernel_h = pool(p).window.kernel_w = 300; }},
      {"unknown kind of pool", [&](P& p) { pool(p).arg0 = 2; }},
      {"pool in place", [&](P& p) { pool(p).out = pool(p).in0; }},
      {"channels too far", [&](P& p) { copy(p).arg0 = 22; }},
      {"requantized is no flag", [&](P& p) { copy(p).arg2 = 2; }},
      {"copy to floats", [&](P& p) { copy(p).out = dequantize(p).out; }},
      {"quantized twice", [&](P& p) { quantize(p).in0 = conv(p).out; }},
      {"zero point beyond a byte", [&](P& p) { quantize(p).arg0 = 256; }},
      {"zero point of the way back", [&](P& p) { dequantize(p).arg0 = 256; }},
      {"bytes as an output", [&](P& p) { op_in(p, Opcode::kOutput).in0 = dequantize(p).in0; }},
      {"blocks of other rows", [&](P& p) { p.stores[op_in(p, Opcode::kSpill).store].block_bytes += 64; }},
  };
  ASSERT_TRUE(validate(quant_operators()).ok());
  for (const Breakage& breakage : breakages) {
    P p = quant_operators();
    breakage.apply(p);
    EXPECT_FALSE(validate(p).ok()) << breakage.what;
  }
}

TEST(ValidateQuant, RunsWithWholePanelsInTheTileBuffer) {
  const P p = quant_operators();
  const OpDesc& conv = *std::find_if(p.ops.begin(), p.ops.end(), [](const OpDesc& op) {
    return op.opcode == Opcode::kQuantConv && op.weights == WeightsMode::kStreamed;
  });
  const TileGrid grid = *make_tile_grid(p.streams[conv.stream].shape);
  std::vector<std::byte> blob = p.blob(1, isa_level(detect_cpu()));
  ProgramHeader* h = reinterpret_cast<ProgramHeader*>(blob.data());
  const MapShape out = map_shape(p.tensors[conv.out]);
  EXPECT_FALSE(holds_quant_panels(conv, grid, out, h->tile_buffer_bytes));
  const uint64_t more = quant_panel_buffer_bytes(grid) - h->tile_buffer_bytes;
  h->tile_buffer_bytes += static_cast<uint32_t>(more);
  h->planned_peak_bytes += more;
  EXPECT_TRUE(holds_quant_panels(conv, grid, out, h->tile_buffer_bytes));
  EXPECT_EQ(run_in_sandbox(blob), SandboxResult::kRan);
}

TEST(ValidateQuant, RefusesTileBuffersWithoutRoomForSums) {
  std::vector<std::byte> blob = quant_operators().blob(1, IsaLevel::kGeneric);
  ProgramHeader* h = reinterpret_cast<ProgramHeader*>(blob.data());
  ASSERT_TRUE(validate_program(*parse_program(blob)).ok());
  h->tile_buffer_bytes -= 64;
  h->planned_peak_bytes -= 64;
  EXPECT_FALSE(validate_program(*parse_program(blob)).ok());
}

}  // namespace
}  // namespace carrel::testing
