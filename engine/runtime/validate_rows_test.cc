// Programs that read rows which no step has written, or which their ring has lost.
#include <gtest/gtest.h>

#include "engine/runtime/test_quant_program.h"

namespace carrel::testing {
namespace {

Status validate(const TestProgram& program) {
  const std::vector<std::byte> blob = program.blob(1, IsaLevel::kGeneric);
  CARREL_ASSIGN(const ProgramView view, parse_program(blob));
  return validate_program(view);
}

// The program without step `index`.
TestProgram without_step(const TestProgram& program, size_t index) {
  TestProgram p = program;
  p.steps.erase(p.steps.begin() + static_cast<std::ptrdiff_t>(index));
  return p;
}

bool only_loads_weights(const TestProgram& p, const Step& step) {
  const OpDesc& op = p.ops[step.op];
  return op.opcode == Opcode::kLoad && p.streams[op.stream].shape.kind != WeightsKind::kPlain;
}

// Writes what another operator has written or writes later: what is missing are channels, which are not followed.
bool has_others(const TestProgram& p, const Step& step) {
  const Opcode opcode = p.ops[step.op].opcode;
  return opcode == Opcode::kCopy || opcode == Opcode::kQuantCopy || p.ops[step.op].in0 == p.ops[step.op].out;
}

TEST(ValidateRows, EveryStepIsNeeded) {
  uint64_t unused = 0;
  ConvNetOptions spilled;
  spilled.spill = true;
  for (const TestProgram& p : {make_conv_net({}).program, make_conv_net(spilled).program, many_operators(&unused),
                               quant_operators()}) {
    ASSERT_TRUE(validate(p).ok());
    for (size_t i = 0; i < p.steps.size(); ++i) {
      if (only_loads_weights(p, p.steps[i]) || has_others(p, p.steps[i])) continue;
      EXPECT_FALSE(validate(without_step(p, i)).ok()) << opcode_name(p.ops[p.steps[i].op].opcode);
    }
  }
}

// input -> global pool -> output; `more` tensors lie before theirs.
struct PoolNet {
  TestProgram program;
  uint16_t in = 0, out = 0;
};
PoolNet make_pool_net(uint32_t ring_rows, uint32_t more = 0) {
  PoolNet net;
  TestProgram& p = net.program;
  for (uint32_t i = 0; i < more; ++i) p.map(1, 1, 1);
  net.in = p.map(3, 8, 5, 0, ring_rows);
  net.out = p.map(3, 1, 1);
  const uint16_t in_store = p.boundary(StoreKind::kInput, net.in), out_store = p.boundary(StoreKind::kOutput, net.out);
  const uint16_t input = p.op(transfer_of(Opcode::kInput, kNone16, net.in, in_store));
  const uint16_t pool = p.op(op_of(Opcode::kGlobalPool, net.in, net.out));
  const uint16_t output = p.op(transfer_of(Opcode::kOutput, net.out, kNone16, out_store));
  for (uint32_t y = 0; y < 8; y += 4) {
    p.step(input, y, 4);
    p.step(pool, y, 4);
  }
  p.step(output, 0, 1);
  return net;
}

TEST(ValidateRows, RefusesRowsThatLeftTheRing) {
  PoolNet net = make_pool_net(4);
  ASSERT_TRUE(validate(net.program).ok());
  std::swap(net.program.steps[1], net.program.steps[2]);  // both inputs first
  EXPECT_FALSE(validate(net.program).ok());
  PoolNet whole = make_pool_net(8);
  std::swap(whole.program.steps[1], whole.program.steps[2]);
  EXPECT_TRUE(validate(whole.program).ok());
}

TEST(ValidateRows, RefusesSumsWithGapsOrWithoutAnEnd) {
  for (uint32_t more : {0u, 5000u}) {  // more tensors than are followed at a time
    const PoolNet net = make_pool_net(8, more);
    ASSERT_TRUE(validate(net.program).ok());
    EXPECT_FALSE(validate(without_step(net.program, 1)).ok());
    EXPECT_FALSE(validate(without_step(net.program, 3)).ok());
    TestProgram twice = net.program;
    twice.steps[3].row_begin = 0;
    EXPECT_FALSE(validate(twice).ok());
  }
}

}  // namespace
}  // namespace carrel::testing
