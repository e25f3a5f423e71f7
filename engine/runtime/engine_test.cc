// What a session computes: the same bits however the work is cut, and exactly the memory that was planned.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/layout/plain_op.h"
#include "engine/runtime/test_programs.h"
#include "engine/runtime/test_session.h"

namespace carrel::testing {
namespace {

std::vector<float> infer_once(const TestProgram& program, std::span<const std::vector<float>> inputs,
                              const RunOptions& options = {}, RunStats* stats = nullptr) {
  TestSession session(program, options);
  EXPECT_TRUE(session.opened());
  if (!session.opened()) return {};
  const Status prepared = session.prepare();
  EXPECT_TRUE(prepared.ok()) << (prepared.ok() ? "" : prepared.error().message());
  if (!prepared.ok()) return {};
  RunStats run;
  const auto output = session.infer(1, inputs, &run);
  EXPECT_TRUE(output.ok()) << (output.ok() ? "" : output.error().message());
  if (!output.ok()) return {};
  EXPECT_EQ(run.peak_trusted_bytes, session.view().header->planned_peak_bytes);
  if (stats != nullptr) *stats = run;
  return *output;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<double> reference_conv(const ConvNet& net, const ConvNetOptions& o, const std::vector<float>& x) {
  std::vector<double> out(net.output_count);
  for (uint32_t oc = 0; oc < o.out_channels; ++oc) {
    for (uint32_t y = 0; y < o.height; ++y) {
      for (uint32_t px = 0; px < o.width; ++px) {
        double sum = net.bias[oc];
        for (uint32_t ic = 0; ic < o.in_channels; ++ic) {
          for (int k = 0; k < 9; ++k) {
            const int iy = static_cast<int>(y) + k / 3 - 1, ix = static_cast<int>(px) + k % 3 - 1;
            if (iy < 0 || ix < 0 || iy >= static_cast<int>(o.height) || ix >= static_cast<int>(o.width)) continue;
            sum += double{net.weights[(size_t{oc} * o.in_channels + ic) * 9 + static_cast<size_t>(k)]} *
                   x[(size_t{ic} * o.height + static_cast<size_t>(iy)) * o.width + static_cast<size_t>(ix)];
          }
        }
        out[(size_t{oc} * o.height + y) * o.width + px] = std::max(sum, 0.0);
      }
    }
  }
  return out;
}

void expect_near(const std::vector<float>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  double worst = 0, largest = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::abs(got[i] - want[i]));
    largest = std::max(largest, std::abs(want[i]));
  }
  EXPECT_LE(worst, tolerance * largest);
}

struct ConvCase {
  uint32_t in_channels, out_channels;
};
class ConvWays : public ::testing::TestWithParam<ConvCase> {};

// 3: several panels in a tile. 20: one panel in a tile. 50: a panel cut into chunks.
INSTANTIATE_TEST_SUITE_P(Tiles, ConvWays, ::testing::Values(ConvCase{3, 70}, ConvCase{20, 70}, ConvCase{50, 16}, ConvCase{50, 70}));

TEST_P(ConvWays, GiveTheSameBits) {
  ConvNetOptions o;
  o.in_channels = GetParam().in_channels;
  o.out_channels = GetParam().out_channels;
  const ConvNet streamed = make_conv_net(o);
  const std::vector<std::vector<float>> inputs = {random_floats(streamed.input_count, 3)};
  const std::vector<float> expected = infer_once(streamed.program, inputs);
  expect_near(expected, reference_conv(streamed, o, inputs[0]), 1e-6);

  EXPECT_TRUE(same_bits(expected, infer_once(streamed.program, inputs, {.map_model = false})));
  EXPECT_TRUE(same_bits(expected, infer_once(streamed.program, inputs, {.threads = 2})));
  EXPECT_TRUE(same_bits(expected, infer_once(streamed.program, inputs, {.threads = 5, .map_model = false})));
  o.weights = WeightsMode::kResident;
  const ConvNet resident = make_conv_net(o);
  EXPECT_TRUE(same_bits(expected, infer_once(resident.program, inputs)));
  EXPECT_TRUE(same_bits(expected, infer_once(resident.program, inputs, {.threads = 3, .map_model = false})));
  o.slab_rows = 1;
  EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs, {.threads = 2})));
  o.spill = true;
  o.weights = WeightsMode::kStreamed;
  RunStats stats;
  EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs, {.threads = 2}, &stats)));
  EXPECT_EQ(stats.bytes_spilled, stats.bytes_fetched);
  EXPECT_GT(stats.bytes_spilled, 0u);
}

TEST(Engine, PlanarInputsGiveTheSameBits) {
  for (uint32_t channels : {1u, 3u, 4u}) {
    ConvNetOptions o;
    o.in_channels = channels;
    const ConvNet blocked = make_conv_net(o);
    const std::vector<std::vector<float>> inputs = {random_floats(blocked.input_count, 3)};
    const std::vector<float> expected = infer_once(blocked.program, inputs);
    o.planar = true;
    EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs)));
    o.weights = WeightsMode::kResident;
    EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs, {.threads = 3})));
    o.spill = true;
    EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs, {.threads = 2})));
  }
}

TEST_P(ConvWays, GiveTheSameBitsByWinogradsAlgorithm) {
  for (ConvAlgorithm algorithm : {ConvAlgorithm::kWinograd2, ConvAlgorithm::kWinograd4}) {
    ConvNetOptions o;
    o.in_channels = GetParam().in_channels;
    o.out_channels = GetParam().out_channels;
    o.algorithm = algorithm;
    o.slab_rows = 12;
    const ConvNet streamed = make_conv_net(o);
    const std::vector<std::vector<float>> inputs = {random_floats(streamed.input_count, 3)};
    const std::vector<float> expected = infer_once(streamed.program, inputs);
    expect_near(expected, reference_conv(streamed, o, inputs[0]), 1e-5);

    o.scratch_threads = 3;
    EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs, {.threads = 3})));
    o.slab_rows = winograd_side(algorithm);
    EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs, {.threads = 2, .map_model = false})));
    o.weights = WeightsMode::kResident;
    EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs, {.threads = 3})));
    o.spill = true;
    EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs)));
    o.stored = StoredType::kF16;
    expect_near(infer_once(make_conv_net(o).program, inputs), reference_conv(streamed, o, inputs[0]), 1e-3);
  }
}

TEST(Engine, HalfPrecisionStorage) {
  ConvNetOptions o;
  o.in_channels = 50;
  o.stored = StoredType::kF16;
  const ConvNet streamed = make_conv_net(o);
  const std::vector<std::vector<float>> inputs = {random_floats(streamed.input_count, 4)};
  const std::vector<float> expected = infer_once(streamed.program, inputs);
  expect_near(expected, reference_conv(streamed, o, inputs[0]), 1e-3);
  EXPECT_TRUE(same_bits(expected, infer_once(streamed.program, inputs, {.threads = 2, .map_model = false})));
  o.weights = WeightsMode::kResident;
  EXPECT_TRUE(same_bits(expected, infer_once(make_conv_net(o).program, inputs, {.map_model = false})));
}

TEST(Engine, FullyConnectedLayersOfEveryStoredType) {
  DenseNetOptions o;
  const std::vector<std::vector<float>> inputs = {random_floats(uint64_t{o.in_channels} * o.side * o.side, 15)};
  const std::vector<float> exact = infer_once(make_dense_net(o), inputs);
  const double tolerances[] = {0, 0.01, 0.5, 4};  // of sums of 1250 products; here the codes are chosen carelessly
  uint64_t last = ~uint64_t{0};
  for (StoredType stored : {StoredType::kF32, StoredType::kF16, StoredType::kI8, StoredType::kI4}) {
    SCOPED_TRACE(static_cast<int>(stored));
    o.stored = stored;
    o.weights = WeightsMode::kStreamed;
    RunStats stats;
    const std::vector<float> expected = infer_once(make_dense_net(o), inputs, {}, &stats);
    for (size_t i = 0; i < exact.size(); ++i) {
      ASSERT_NEAR(expected[i], exact[i], tolerances[static_cast<size_t>(stored)]) << i;
    }
    EXPECT_LT(stats.bytes_decrypted, last);
    last = stats.bytes_decrypted;
    EXPECT_TRUE(same_bits(expected, infer_once(make_dense_net(o), inputs, {.threads = 2, .map_model = false})));
    EXPECT_TRUE(same_bits(expected, infer_once(make_dense_net(o), inputs, {.threads = 7})));
    o.weights = WeightsMode::kResident;
    EXPECT_TRUE(same_bits(expected, infer_once(make_dense_net(o), inputs, {.threads = 2})));
  }
}

TEST(Engine, EveryInstructionSetAgreesWithTheReference) {
  ConvNetOptions o;
  const ConvNet net = make_conv_net(o);
  const std::vector<std::vector<float>> inputs = {random_floats(net.input_count, 5)};
  const CpuMask masks[] = {kCpuGeneric, detect_cpu() & (kCpuAvx | kCpuAvx2 | kCpuAesNi), detect_cpu()};
  for (CpuMask mask : masks) expect_near(infer_once(net.program, inputs, {.cpu = mask}), reference_conv(net, o, inputs[0]), 1e-6);
}

TEST(Engine, KeepsOnceLoadedWeights) {
  ConvNetOptions o;
  o.weights = WeightsMode::kResident;
  o.once = true;
  const ConvNet net = make_conv_net(o);
  const std::vector<std::vector<float>> inputs = {random_floats(net.input_count, 6)};
  TestSession session(net.program, {});
  ASSERT_TRUE(session.opened() && session.prepare().ok());
  RunStats cold, warm;
  const auto first = session.infer(1, inputs, &cold);
  const auto second = session.infer(2, inputs, &warm);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(same_bits(*first, *second));
  EXPECT_GT(cold.bytes_decrypted, 0u);
  EXPECT_EQ(warm.bytes_decrypted, 0u);
  EXPECT_EQ(warm.peak_trusted_bytes, session.view().header->planned_peak_bytes);
}

TEST(Engine, CountsCrossingsExactly) {
  const ConvNet net = make_conv_net({});
  const std::vector<std::vector<float>> inputs = {random_floats(net.input_count, 6)};
  RunStats mapped, read, again;
  infer_once(net.program, inputs, {}, &mapped);
  infer_once(net.program, inputs, {.threads = 2, .map_model = false}, &read);
  infer_once(net.program, inputs, {.threads = 2, .map_model = false}, &again);
  EXPECT_EQ(mapped.crossings, 4u);  // request, two readings of the clock, reply
  EXPECT_GT(read.crossings, mapped.crossings);
  EXPECT_EQ(read.crossings, again.crossings);
}

TEST(Engine, ManyOperatorsDoNotDependOnThreads) {
  uint64_t input_count = 0;
  const TestProgram p = many_operators(&input_count);
  const std::vector<std::vector<float>> inputs = {random_floats(input_count, 7)};
  const std::vector<float> one = infer_once(p, inputs);
  ASSERT_FALSE(one.empty());
  for (float v : one) ASSERT_TRUE(std::isfinite(v));
  EXPECT_TRUE(same_bits(one, infer_once(p, inputs, {.threads = 2})));
  EXPECT_TRUE(same_bits(one, infer_once(p, inputs, {.threads = 7, .map_model = false})));
  EXPECT_FALSE(same_bits(one, infer_once(p, std::vector<std::vector<float>>{random_floats(input_count, 8)})));
}

TEST(Engine, PlainTensorsCrossInBlocks) {
  // One full block and a part of one.
  constexpr int64_t kCount = 4096 + 17;
  TestProgram p;
  const uint16_t x = p.plain({kCount}), y = p.plain({kCount});
  const uint16_t in_store = p.boundary(StoreKind::kInput, x), out_store = p.boundary(StoreKind::kOutput, y);
  p.operands = {x, y};
  OpDesc op{};
  op.opcode = Opcode::kPlain;
  op.plain_op = static_cast<uint16_t>(PlainOp::kUnary);
  op.activation = UnaryFn::kNeg;
  op.input_count = op.output_count = 1;
  p.step(p.op(transfer_of(Opcode::kInput, kNone16, x, in_store)), 0, 2);
  p.step(p.op(op), 0, 1);
  p.step(p.op(transfer_of(Opcode::kOutput, y, kNone16, out_store)), 0, 2);
  const std::vector<std::vector<float>> inputs = {random_floats(kCount, 9)};
  const std::vector<float> output = infer_once(p, inputs);
  ASSERT_EQ(output.size(), inputs[0].size());
  for (size_t i = 0; i < output.size(); ++i) ASSERT_EQ(output[i], -inputs[0][i]);
}

class Recorder : public TraceSink {
 public:
  void record(const TraceEvent& event) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    events.push_back(event);
  }
  std::vector<TraceEvent> events;

 private:
  std::mutex mutex_;
};

TEST(Engine, TraceDoesNotDependOnInputsOrWeights) {
  ConvNetOptions o;
  o.spill = true;
  Recorder traces[3];
  for (uint32_t i = 0; i < 3; ++i) {
    ConvNet net = make_conv_net(o);
    if (i == 2) {
      for (auto& stream : net.program.stream_bytes) {
        for (std::byte& b : stream) b ^= std::byte{1};
      }
    }
    const std::vector<std::vector<float>> inputs = {random_floats(net.input_count, 30 + i)};
    infer_once(net.program, inputs, {.map_model = false, .trace = &traces[i]});
  }
  EXPECT_GT(traces[0].events.size(), 50u);
  EXPECT_EQ(traces[0].events, traces[1].events);
  EXPECT_EQ(traces[0].events, traces[2].events);
}

TEST(Engine, RunsAProgramThatTheClientSealed) {
  const ConvNet net = make_conv_net({});
  const std::vector<std::vector<float>> inputs = {random_floats(net.input_count, 3)};
  const std::vector<float> expected = infer_once(net.program, inputs);
  TestSession session(net.program, {});
  ASSERT_TRUE(session.opened());
  std::vector<std::byte> sealed(session.blob().size() + kTagBytes);
  ASSERT_TRUE(seal_session_program(test_key(kSessionKeyFill), detect_cpu(), session.model().id, session.blob(), sealed).ok());
  const Status prepared = session.session().prepare_session_program(sealed);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message();
  const auto output = session.infer(1, inputs);
  ASSERT_TRUE(output.ok());
  EXPECT_TRUE(same_bits(expected, *output));
}

}  // namespace
}  // namespace carrel::testing
