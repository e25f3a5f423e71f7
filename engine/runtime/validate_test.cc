// Programs that must be refused, one rule at a time; and random corruption: whatever passes validation runs without
// leaving the engine's memory.
#include <gtest/gtest.h>

#include <functional>

#include "engine/runtime/test_quant_program.h"
#include "engine/runtime/test_sandbox.h"

namespace carrel::testing {
namespace {

TestProgram conv_program(bool spill, WeightsMode weights) {
  ConvNetOptions o;
  o.spill = spill;
  o.weights = weights;
  return make_conv_net(o).program;
}
TestProgram planar_program(bool spill) {
  ConvNetOptions o;
  o.in_channels = 3;
  o.planar = true;
  o.spill = spill;
  return make_conv_net(o).program;
}
TestProgram all_operators() {
  uint64_t unused = 0;
  return many_operators(&unused);
}

Status validate(const TestProgram& program) {
  const std::vector<std::byte> blob = program.blob(1, IsaLevel::kGeneric);
  CARREL_ASSIGN(const ProgramView view, parse_program(blob));
  return validate_program(view);
}

TEST(Validate, AcceptsTheTestPrograms) {
  for (bool spill : {false, true}) {
    for (WeightsMode mode : {WeightsMode::kStreamed, WeightsMode::kResident}) {
      const Status status = validate(conv_program(spill, mode));
      EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message());
    }
  }
  const Status planar = validate(planar_program(true));
  EXPECT_TRUE(planar.ok()) << (planar.ok() ? "" : planar.error().message());
  const Status status = validate(all_operators());
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message());
}

size_t find_op(const TestProgram& p, Opcode opcode, size_t skip = 0) {
  for (size_t i = 0; i < p.ops.size(); ++i) {
    if (p.ops[i].opcode == opcode && skip-- == 0) return i;
  }
  ADD_FAILURE() << "no " << opcode_name(opcode);
  return 0;
}
OpDesc& op_in(TestProgram& p, Opcode opcode, size_t skip = 0) { return p.ops[find_op(p, opcode, skip)]; }

struct Breakage {
  const char* what;
  std::function<void(TestProgram&)> apply;
};

void expect_refused(const TestProgram& base, const std::vector<Breakage>& breakages) {
  ASSERT_TRUE(validate(base).ok());
  for (const Breakage& breakage : breakages) {
    TestProgram p = base;
    breakage.apply(p);
    EXPECT_FALSE(validate(p).ok()) << breakage.what;
  }
}

TEST(Validate, RefusesBrokenTables) {
  using P = TestProgram;
  expect_refused(conv_program(true, WeightsMode::kResident), {
      {"ring of no rows", [](P& p) { p.tensors[0].ring_rows = 0; }},
      {"ring larger than its memory", [](P& p) { ++p.tensors[0].ring_rows; }},
      {"tensor outside the arena", [](P& p) { p.tensors[0].arena_offset = p.arena_bytes; }},
      {"tensor offset wraps", [](P& p) { p.tensors[0].arena_offset = ~uint64_t{63}; }},
      {"misaligned tensor", [](P& p) { p.tensors[1].arena_offset += 4; }},
      {"tensor too wide", [](P& p) { p.tensors[0].width = 1u << 30; }},
      {"no channels", [](P& p) { p.tensors[0].channels = 0; }},
      {"unknown tensor kind", [](P& p) { p.tensors[0].kind = static_cast<TensorKind>(7); }},
      {"stream before the tiles", [](P& p) { p.streams[0].file_offset = 0; }},
      {"stream offset wraps", [](P& p) { p.streams[0].file_offset = ~uint64_t{63}; }},
      {"tile indices wrap", [](P& p) { p.streams[0].first_tile = ~uint64_t{0}; }},
      {"unknown weights", [](P& p) { p.streams[0].shape.kind = static_cast<WeightsKind>(9); }},
      {"no weights", [](P& p) { p.streams[0].shape.kind = WeightsKind::kNone; }},
      {"store outside the area", [](P& p) { p.stores.back().offset += 64; }},
      {"stores overlap", [](P& p) { p.stores[2].offset = p.stores[1].offset; }},
      {"nonce positions overlap", [](P& p) { p.stores[2].first_position = p.stores[1].first_position; }},
      {"nonce positions wrap", [](P& p) { p.stores[2].first_position = ~0u; }},
      {"empty blocks", [](P& p) { p.stores[0].block_bytes = 0; }},
      {"spill where an output belongs", [](P& p) { p.stores[1].kind = StoreKind::kSpill; }},
  });
}

TEST(Validate, RefusesBrokenPlanarMaps) {
  using P = TestProgram;
  const auto conv = [](P& p) -> OpDesc& { return op_in(p, Opcode::kConv); };
  const auto in = [&](P& p) -> TensorDesc& { return p.tensors[conv(p).in0]; };
  for (bool spill : {false, true}) {
    expect_refused(planar_program(spill), {
        {"fewer channels than its reader takes", [&](P& p) { in(p).channels = 2; }},
        {"a second block", [&](P& p) { conv(p).in_block = 1; }},
        {"ring larger than its memory", [&](P& p) { in(p).pad_right += 100; }},
        {"a zero point", [&](P& p) { in(p).zero = 1; }},
        {"unknown type", [&](P& p) { in(p).type = static_cast<ElementType>(3); }},
        {"pads too narrow", [&](P& p) { in(p).pad_left = 0; }},
        {"an output", [&](P& p) { p.tensors[conv(p).out].type = ElementType::kPlanarF32; }},
        {"read by another operator", [&](P& p) { conv(p).opcode = Opcode::kDepthwise; }},
        {"read as blocks of bytes", [&](P& p) { conv(p).opcode = Opcode::kQuantConv; }},
    });
  }
  ConvNetOptions many;
  many.in_channels = kMaxPlanarChannels + 1;
  EXPECT_TRUE(validate(make_conv_net(many).program).ok());
  many.planar = true;
  EXPECT_FALSE(validate(make_conv_net(many).program).ok());
  ConvNetOptions winograd;
  winograd.in_channels = 3;
  winograd.slab_rows = 4;
  winograd.algorithm = ConvAlgorithm::kWinograd2;
  EXPECT_TRUE(validate(make_conv_net(winograd).program).ok());
  winograd.planar = true;
  EXPECT_FALSE(validate(make_conv_net(winograd).program).ok());
}

TEST(Validate, RefusesBrokenConvolutions) {
  using P = TestProgram;
  const auto conv = [](P& p) -> OpDesc& { return op_in(p, Opcode::kConv); };
  expect_refused(conv_program(false, WeightsMode::kStreamed), {
      {"no stride", [&](P& p) { conv(p).window.stride_w = 0; }},
      {"no kernel", [&](P& p) { conv(p).window.kernel_h = 0; }},
      {"kernel unlike its stream", [&](P& p) { conv(p).window.kernel_w = 2; }},
      {"left pad beyond the map's", [&](P& p) { conv(p).window.pad_left = 2; }},
      {"right of the map's pads", [&](P& p) { conv(p).window.pad_left = 0; }},
      {"dilation leaves the pads", [&](P& p) { conv(p).window.dilation_w = 2; }},
      {"stride leaves the map", [&](P& p) { conv(p).window.stride_w = 2; }},
      {"input group too far", [&](P& p) { conv(p).in_block = 1; }},
      {"input group wraps", [&](P& p) { conv(p).in_block = ~0u; }},
      {"output group too far", [&](P& p) { conv(p).out_block = 1; }},
      {"channels unlike its stream", [&](P& p) { conv(p).out_channels -= 1; }},
      {"no channels", [&](P& p) { conv(p).in_channels = 0; }},
      {"in place", [&](P& p) { conv(p).out = conv(p).in0; }},
      {"residual of another shape", [&](P& p) { conv(p).in1 = conv(p).in0; }},
      {"residual over the output", [&](P& p) { conv(p).in1 = conv(p).out; }},
      {"residual never written", [&](P& p) {
         p.tensors.push_back(p.tensors[conv(p).out]);
         p.tensors.back().arena_offset = p.reserve(p.tensors.back().bytes);
         conv(p).in1 = static_cast<uint16_t>(p.tensors.size() - 1);
       }},
      {"no such tensor", [&](P& p) { conv(p).out = 99; }},
      {"no such stream", [&](P& p) { conv(p).stream = 5; }},
      {"no weights", [&](P& p) { conv(p).weights = WeightsMode::kNone; }},
      {"resident but never loaded", [&](P& p) { conv(p).weights = WeightsMode::kResident; }},
      {"unknown activation", [&](P& p) { conv(p).activation = UnaryFn::kCount; }},
      {"unknown opcode", [&](P& p) { conv(p).opcode = Opcode::kCount; }},
      {"overlapping maps", [&](P& p) { p.tensors[conv(p).out].arena_offset = p.tensors[conv(p).in0].arena_offset; }},
  });
  expect_refused(conv_program(false, WeightsMode::kResident), {
      {"weights outside the arena", [&](P& p) { conv(p).weights_offset = p.arena_bytes; }},
      {"weights elsewhere than loaded", [&](P& p) { conv(p).weights_offset -= 64; }},
      {"load outside the arena", [](P& p) { op_in(p, Opcode::kLoad).weights_offset = p.arena_bytes - 64; }},
      {"load misaligned", [](P& p) { op_in(p, Opcode::kLoad).weights_offset += 4; }},
  });
}

TEST(Validate, RefusesBrokenWinogradConvolutions) {
  using P = TestProgram;
  ConvNetOptions o;
  o.algorithm = ConvAlgorithm::kWinograd4;
  o.slab_rows = 4;
  const auto conv = [](P& p) -> OpDesc& { return op_in(p, Opcode::kConv); };
  const auto first_step = [](P& p) -> Step& { return p.steps[1]; };
  const TestProgram base = make_conv_net(o).program;
  ASSERT_EQ(base.ops[base.steps[1].op].opcode, Opcode::kConv);
  expect_refused(base, {
      {"unknown algorithm", [&](P& p) { conv(p).algorithm = static_cast<ConvAlgorithm>(3); }},
      {"not said in the header", [&](P& p) { p.winograd = false; }},
      {"scratch outside the arena", [&](P& p) { conv(p).scratch_offset = p.arena_bytes; }},
      {"scratch wraps", [&](P& p) { conv(p).scratch_offset = ~uint64_t{63}; }},
      {"scratch misaligned", [&](P& p) { conv(p).scratch_offset += 4; }},
      {"too little scratch", [&](P& p) { conv(p).scratch_bytes -= 4; }},
      {"half a tile", [&](P& p) { first_step(p).row_count = 3; }},
      {"starts inside a tile", [&](P& p) { first_step(p).row_begin = 2; }},
      {"tiles leave the pads", [&](P& p) { p.tensors[conv(p).in0].pad_right = 1; }},
      {"input rows left over", [&](P& p) { conv(p).window.pad_top = 5; }},
      {"stride", [&](P& p) { conv(p).window.stride_h = 2; }},
  });
}

TEST(Validate, RefusesBrokenFullyConnectedLayers) {
  using P = TestProgram;
  const auto dense = [](P& p) -> OpDesc& { return op_in(p, Opcode::kConv); };
  for (StoredType stored : {StoredType::kF32, StoredType::kI8, StoredType::kI4}) {
    DenseNetOptions o;
    o.stored = stored;
    expect_refused(make_dense_net(o), {
        {"a window smaller than the map",
         [&](P& p) { dense(p).window.kernel_h = 4, p.streams[0].shape.kernel_h = 4; }},
        {"a window above the map", [&](P& p) { dense(p).window.pad_top = 1; }},
        {"a window left of the map", [&](P& p) { dense(p).window.pad_left = 1; }},
        {"dilation", [&](P& p) { dense(p).window.dilation_h = 2; }},
        {"part of the input", [&](P& p) { dense(p).in_channels = p.streams[0].shape.in_channels = 16; }},
        {"part of the output", [&](P& p) { dense(p).out_channels = p.streams[0].shape.out_channels = 16; }},
        {"an input group", [&](P& p) { dense(p).in_block = 1; }},
        {"more than one output row", [&](P& p) { p.tensors[dense(p).out].height = 2; }},
        {"more than one output column",
         [&](P& p) { p.tensors[dense(p).out].width = 2, p.tensors[dense(p).out].bytes *= 2; }},
        {"channels unlike its stream", [&](P& p) { p.streams[0].shape.out_channels += 1; }},
        {"a residual", [&](P& p) { dense(p).in1 = p.map(o.out_channels, 1, 1, 0, 0); }},
        {"Winograd's algorithm", [&](P& p) { dense(p).algorithm = ConvAlgorithm::kWinograd4, p.winograd = true; }},
        {"unknown type", [&](P& p) { p.streams[0].shape.stored = static_cast<StoredType>(4); }},
        {"no such kind for a load", [&](P& p) { p.streams[0].shape.kind = static_cast<WeightsKind>(8); }},
    });
  }
  DenseNetOptions few;
  few.in_channels = 3;
  expect_refused(make_dense_net(few), {
      {"a planar input", [&](P& p) { p.tensors[dense(p).in0].type = ElementType::kPlanarF32; }},
  });
  expect_refused(conv_program(false, WeightsMode::kStreamed), {
      {"8 bits for a convolution", [](P& p) { p.streams[0].shape.stored = StoredType::kI8; }},
      {"4 bits for a convolution", [](P& p) { p.streams[0].shape.stored = StoredType::kI4; }},
      {"dense weights for a convolution", [](P& p) { p.streams[0].shape.kind = WeightsKind::kDense; }},
  });
  expect_refused(all_operators(), {
      {"8 bits for plain weights", [](P& p) { p.streams[0].shape.stored = StoredType::kI8; }},
  });
}

TEST(Validate, RefusesBrokenOperators) {
  using P = TestProgram;
  const auto set = [](Opcode opcode, auto change) {
    return [opcode, change](P& p) { change(op_in(p, opcode)); };
  };
  expect_refused(all_operators(), {
      {"depthwise streamed", set(Opcode::kDepthwise, [](OpDesc& o) { o.weights = WeightsMode::kStreamed; })},
      {"depthwise out of the pads", set(Opcode::kDepthwise, [](OpDesc& o) { o.window.pad_left = 0; })},
      {"pool without a stride", set(Opcode::kPool, [](OpDesc& o) { o.window.stride_h = 0; })},
      {"unknown pool", set(Opcode::kPool, [](OpDesc& o) { o.arg0 = 2; })},
      {"unknown global pool", set(Opcode::kGlobalPool, [](OpDesc& o) { o.arg0 = 2; })},
      {"global pool to a larger map", set(Opcode::kGlobalPool, [](OpDesc& o) { o.out = o.in0; })},
      {"slopes without weights", [](P& p) {
         OpDesc& o = op_in(p, Opcode::kUnary, 1);
         o.weights = WeightsMode::kNone;
         o.stream = kNone16;
       }},
      {"slopes read as scale and shift", [](P& p) { op_in(p, Opcode::kUnary, 1).arg0 = 0; }},
      {"maps differ", set(Opcode::kUnary, [](OpDesc& o) { o.out = 3; })},
      {"unknown function", set(Opcode::kBinary, [](OpDesc& o) { o.arg0 = 7; })},
      {"broadcast over itself", set(Opcode::kBinary, [](OpDesc& o) { o.out = o.in1; })},
      {"no second input", set(Opcode::kBinary, [](OpDesc& o) { o.in1 = kNone16; })},
      {"LRN over nothing", set(Opcode::kLrn, [](OpDesc& o) { o.arg0 = 0; })},
      {"LRN in place", set(Opcode::kLrn, [](OpDesc& o) { o.out = o.in0; })},
      {"softmax of another shape", set(Opcode::kSoftmax, [](OpDesc& o) { o.out = 0; })},
      {"channels beyond the output", set(Opcode::kCopy, [](OpDesc& o) { o.arg0 = 22; })},
      {"channels wrap", set(Opcode::kCopy, [](OpDesc& o) { o.arg0 = ~0u; })},
      {"tensor smaller than the map", [](P& p) { p.ints[1] -= 1; }},
      {"negative dimension", [](P& p) { p.ints[1] = -1; }},
      {"huge dimension", [](P& p) { p.ints[1] = INT64_MAX; }},
      {"unknown plain operator", set(Opcode::kPlain, [](OpDesc& o) { o.plain_op = 1000; })},
      {"operands out of range", set(Opcode::kPlain, [](OpDesc& o) { o.operand_begin = ~0u; })},
      {"too many operands", set(Opcode::kPlain, [](OpDesc& o) { o.input_count = 0xffff; })},
      {"no outputs", set(Opcode::kPlain, [](OpDesc& o) { o.output_count = 0; })},
      {"integers out of range", set(Opcode::kPlain, [](OpDesc& o) { o.int_count = 4000; })},
      {"floats out of range", set(Opcode::kPlain, [](OpDesc& o) { o.float_count = 1; })},
      {"scratch for a plain operator", set(Opcode::kPlain, [](OpDesc& o) { o.scratch_bytes = 64; })},
      {"operand is a map", [](P& p) { p.operands[0] = 0; }},
      {"output over input", [](P& p) { p.operands[2] = p.operands[0]; }},
      {"constant of another size", [](P& p) { --p.streams.back().shape.element_count; }},
      {"input from an output", set(Opcode::kInput, [](OpDesc& o) { o.store = 1; })},
      {"output of another size", set(Opcode::kOutput, [](OpDesc& o) { o.in0 = 0; })},
  });
}

TEST(Validate, RefusesBrokenSteps) {
  using P = TestProgram;
  const TestProgram base = conv_program(true, WeightsMode::kStreamed);
  const auto step_of = [](P& p, Opcode opcode, size_t skip = 0) -> Step& {
    for (Step& s : p.steps) {
      if (p.ops[s.op].opcode == opcode && skip-- == 0) return s;
    }
    ADD_FAILURE();
    return p.steps[0];
  };
  expect_refused(base, {
      {"no such operator", [](P& p) { p.steps[0].op = 999; }},
      {"no rows", [&](P& p) { step_of(p, Opcode::kConv).row_count = 0; }},
      {"rows past the end", [&](P& p) { step_of(p, Opcode::kConv).row_begin = 9; }},
      {"row index wraps", [&](P& p) { step_of(p, Opcode::kConv).row_begin = ~0u; }},
      {"more rows than the ring", [&](P& p) { step_of(p, Opcode::kConv).row_count = 4; }},
      {"spilled twice: one nonce, two plaintexts", [&](P& p) { step_of(p, Opcode::kSpill, 1).row_begin = 0; }},
      {"fetched before it is spilled", [&](P& p) { std::swap(step_of(p, Opcode::kSpill, 1), step_of(p, Opcode::kFetch, 2)); }},
      {"output written twice", [&](P& p) { step_of(p, Opcode::kOutput, 1).row_begin = 0; }},
      {"output left unwritten", [](P& p) { p.steps.pop_back(); }},
  });
}

TEST(Validate, RefusesBrokenHeaders) {
  const std::vector<std::byte> good = conv_program(false, WeightsMode::kStreamed).blob(2, IsaLevel::kGeneric);
  const auto refused = [&](auto change) {
    std::vector<std::byte> blob = good;
    change(reinterpret_cast<ProgramHeader*>(blob.data()));
    const auto view = parse_program(blob);
    return !view.ok() || !validate_program(*view).ok();
  };
  EXPECT_FALSE(refused([](ProgramHeader*) {}));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->magic ^= 1; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->version = kProgramVersion + 1; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->program_bytes += 8; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->planned_peak_bytes -= 1; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->budget_bytes -= 1; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->arena_bytes += 64; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->threads = 0; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->threads = 65; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->isa = 9; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->step_count += 1; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->step_count = ~0u; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) { h->tensor_count = 0; }));
  EXPECT_TRUE(refused([](ProgramHeader* h) {  // the peak still adds up
    h->tile_buffer_bytes = 64;
    h->planned_peak_bytes = runtime_reserve_bytes(2) + round_up(h->program_bytes, 64) + 2 * 64 + h->arena_bytes;
    h->budget_bytes = h->planned_peak_bytes;
  }));
}

// Overwrites one random field with a random, small, neighbouring or extreme value.
void corrupt(std::mt19937* generator, std::vector<std::byte>* blob) {
  const auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(*generator); };
  const size_t bytes = size_t{1} << pick(4);
  const size_t at = pick(blob->size() / bytes) * bytes;
  uint64_t value = 0;
  std::memcpy(&value, blob->data() + at, bytes);
  switch (pick(6)) {
    case 0: value = pick(20); break;
    case 1: value += 1; break;
    case 2: value -= 1; break;
    case 3: value = ~uint64_t{0} >> pick(64); break;
    case 4: value ^= uint64_t{1} << pick(64); break;
    default: std::memcpy(&value, blob->data() + pick(blob->size() / 8) * 8, sizeof(value)); break;
  }
  std::memcpy(blob->data() + at, &value, bytes);
}

TEST(Validate, CorruptedProgramsNeverLeaveTheirMemory) {
  constexpr uint32_t kSeed = 20240501, kRounds = 4000;
  ConvNetOptions winograd;
  winograd.algorithm = ConvAlgorithm::kWinograd2;
  winograd.slab_rows = 4;
  const std::vector<std::byte> bases[] = {make_conv_net(winograd).program.blob(1, isa_level(detect_cpu())),
                                          conv_program(true, WeightsMode::kStreamed).blob(1, isa_level(detect_cpu())),
                                          planar_program(true).blob(1, isa_level(detect_cpu())),
                                          conv_program(false, WeightsMode::kResident).blob(1, isa_level(detect_cpu())),
                                          all_operators().blob(1, isa_level(detect_cpu())),
                                          quant_operators().blob(1, isa_level(detect_cpu()))};
  std::mt19937 generator(kSeed);
  uint32_t ran = 0, refused = 0;
  for (const std::vector<std::byte>& base : bases) {
    ASSERT_EQ(run_in_sandbox(base), SandboxResult::kRan);
    for (uint32_t round = 0; round < kRounds; ++round) {
      std::vector<std::byte> blob = base;
      const uint32_t count = 1 + round % 3;
      for (uint32_t i = 0; i < count; ++i) corrupt(&generator, &blob);
      const SandboxResult result = run_in_sandbox(blob);
      if (result == SandboxResult::kRan) ++ran;
      if (result == SandboxResult::kRefused) ++refused;
    }
  }
  // Both sides of the line were visited.
  EXPECT_GT(ran, 100u);
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace carrel::testing
