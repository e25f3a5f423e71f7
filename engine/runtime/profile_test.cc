// A profile says where the time went, changes nothing, and lands only where nothing else is.
#include <gtest/gtest.h>

#include <cstring>
#include <mutex>

#include "engine/runtime/test_programs.h"
#include "engine/runtime/test_session.h"

namespace carrel::testing {
namespace {

ConvNet spilling_net() {
  ConvNetOptions o;
  o.in_channels = 50;
  o.out_channels = 70;
  o.spill = true;
  return make_conv_net(o);
}

struct ProfiledRun {
  std::vector<float> output;
  std::vector<StepProfile> steps;
  RunStats stats;
};

uint64_t offset_behind_stores(const TestSession& session) { return round_up(session.view().header->store_bytes, 64); }

ProfiledRun run_profiled(const ConvNet& net, RunOptions options) {
  options.profile_room = true;
  TestSession session(net.program, options);
  ProfiledRun run;
  const std::vector<std::vector<float>> inputs = {random_floats(net.input_count, 3)};
  if (!session.opened() || !session.prepare().ok() || !session.seal_inputs(1, inputs).ok()) return run;
  const uint64_t offset = offset_behind_stores(session);
  const auto stats = session.session().run(1, offset);
  if (!stats.ok()) return run;
  run.stats = *stats;
  run.steps.resize(session.view().steps.size());
  std::memcpy(run.steps.data(), session.session().shared_area().data() + offset, run.steps.size() * sizeof(StepProfile));
  run.output = *session.open_output(1);
  return run;
}

void expect_plausible(const ProfiledRun& run, uint64_t threads) {
  uint64_t wall = 0, decrypt = 0, bytes = 0;
  for (const StepProfile& step : run.steps) {
    EXPECT_GT(step.wall_ticks, 0u);
    EXPECT_LE(step.busy_ticks, threads * step.wall_ticks);
    EXPECT_LE(step.decrypt_ticks, step.busy_ticks);
    wall += step.wall_ticks;
    decrypt += step.decrypt_ticks;
    bytes += step.bytes;
  }
  EXPECT_LE(wall, run.stats.ticks);
  EXPECT_GT(decrypt, 0u);
  EXPECT_EQ(bytes, run.stats.bytes_decrypted + run.stats.bytes_spilled + run.stats.bytes_fetched);
}

TEST(Profile, AccountsForEveryStepAndByte) {
  const ConvNet net = spilling_net();
  for (uint32_t threads : {1u, 3u}) {
    const ProfiledRun run = run_profiled(net, {.threads = threads});
    ASSERT_FALSE(run.steps.empty());
    expect_plausible(run, threads);
  }
}

TEST(Profile, ChangesNeitherBitsNorMemory) {
  const ConvNet net = spilling_net();
  const std::vector<std::vector<float>> inputs = {random_floats(net.input_count, 3)};
  TestSession plain(net.program, {});
  ASSERT_TRUE(plain.opened() && plain.prepare().ok());
  RunStats stats;
  const auto expected = plain.infer(1, inputs, &stats);
  ASSERT_TRUE(expected.ok());
  const ProfiledRun run = run_profiled(net, {});
  EXPECT_EQ(run.output, *expected);
  EXPECT_EQ(run.stats.peak_trusted_bytes, stats.peak_trusted_bytes);
  EXPECT_EQ(run.stats.crossings, stats.crossings);
}

TEST(Profile, IsRefusedWhereStoresLieOrNothingDoes) {
  const ConvNet net = spilling_net();
  TestSession session(net.program, {.profile_room = true});
  ASSERT_TRUE(session.opened() && session.prepare().ok());
  const std::vector<std::vector<float>> inputs = {random_floats(net.input_count, 3)};
  ASSERT_TRUE(session.seal_inputs(1, inputs).ok());
  const uint64_t stores = session.view().header->store_bytes, good = offset_behind_stores(session);
  const uint64_t area = session.session().shared_area().size();
  const uint64_t bytes = session.view().steps.size() * sizeof(StepProfile);
  for (uint64_t offset : {uint64_t{8}, stores - 8, good + 4, area - bytes + 8, area, ~uint64_t{7}}) {
    const auto refused = session.session().run(1, offset);
    ASSERT_FALSE(refused.ok()) << offset;
    EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidInput);
  }
  EXPECT_TRUE(session.session().run(1, good).ok());
}

class ProfileRecorder : public TraceSink {
 public:
  void record(const TraceEvent& event) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (event.kind == TraceKind::kProfile) events.push_back(event);
  }
  std::vector<TraceEvent> events;

 private:
  std::mutex mutex_;
};

TEST(Profile, WritesOncePerStepAtPlacesThatAreKnownBefore) {
  const ConvNet net = spilling_net();
  ProfileRecorder recorder;
  const ProfiledRun run = run_profiled(net, {.trace = &recorder});
  ASSERT_EQ(recorder.events.size(), run.steps.size());
  for (uint32_t step = 0; step < recorder.events.size(); ++step) {
    EXPECT_EQ(recorder.events[step].step, step);
    EXPECT_EQ(recorder.events[step].offset, recorder.events[0].offset + step * sizeof(StepProfile));
  }
}

}  // namespace
}  // namespace carrel::testing
