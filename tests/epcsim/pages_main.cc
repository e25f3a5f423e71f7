// The engine where so few pages are resident that every change of page is a fault: what the operator of an enclave sees,
// at the resolution it sees it. The sequence must not depend on inputs or weights, and the simulator must not change a bit.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "apps/common/runner.h"
#include "platform/epcsim/test_userfaultfd.h"
#include "tests/hostile/whole_model.h"

namespace carrel::testing {
namespace {

constexpr uint64_t kTraceEvents = 8u << 20;
constexpr uint64_t kFewPages = 12;

struct Observed {
  std::vector<EpcEvent> events;
  std::vector<float> output;
};

class SealedNetwork {
 public:
  explicit SealedNetwork(ZooOptions zoo, uint32_t threads = 1) : threads_(threads) {
    const Graph graph = zoo_graph(zoo);
    const auto streams = plan_streams(graph, StoredType::kF32);
    EXPECT_TRUE(streams.ok());
    const auto least = least_budget(graph, *streams, request_of(0, Strategy::kAuto, threads));
    EXPECT_TRUE(least.ok());
    budget_ = 2 * *least;
    EXPECT_TRUE(seal_to(path(), graph, key_, {request_of(budget_, Strategy::kAuto, threads)}));
  }
  std::string path() const { return folder_.file("model.carrel"); }

  Result<std::unique_ptr<Runner>> open(PlatformKind platform, uint64_t resident_pages) const {
    RunnerOptions options;
    options.model_path = path();
    options.memory_bytes = budget_;
    options.threads = threads_;
    options.platform = platform;
    options.cpu = detect_cpu();
    options.trace_events = kTraceEvents;
    options.resident_pages = resident_pages;
    return Runner::open(options, key_);
  }

 private:
  ScratchFolder folder_;
  SecretKey key_ = filled_key(3);
  uint32_t threads_;
  uint64_t budget_ = 0;
};

// A session of its own, so that every trace begins with the same pages.
Observed observe(Runner* runner, const std::function<float()>& number) {
  std::vector<Tensor> inputs;
  for (const TensorInfo& input : runner->inputs()) {
    inputs.push_back(Tensor::zeros(DType::kF32, input.shape));
    for (float& value : inputs.back().f32()) value = number();
  }
  RunStats stats;
  const auto outputs = runner->run(inputs, &stats);
  EXPECT_TRUE(outputs.ok()) << outputs.error().message();
  Observed observed;
  if (!outputs.ok()) return observed;
  observed.output.assign((*outputs)[0].f32().begin(), (*outputs)[0].f32().end());
  if (runner->epcsim() == nullptr) return observed;
  const EpcTrace& trace = *runner->epcsim()->trace();
  EXPECT_EQ(trace.dropped(), 0u);
  observed.events.assign(trace.events().begin(), trace.events().end());
  return observed;
}

std::function<float()> random_numbers(uint32_t seed) {
  return [generator = std::mt19937(seed)]() mutable { return std::uniform_real_distribution<float>(-2, 2)(generator); };
}

std::string difference(const Observed& a, const Observed& b) {
  for (size_t i = 0; i < std::min(a.events.size(), b.events.size()); ++i) {
    if (!(a.events[i] == b.events[i])) return "event " + std::to_string(i) + ", step " + std::to_string(a.events[i].step);
  }
  return a.events.size() == b.events.size() ? "" : "more events";
}

class PageTrace : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Zoo, PageTrace, ::testing::ValuesIn(zoo_names().begin(), zoo_names().end()),
                         [](const auto& name) { return std::string(name.param); });

ZooOptions small(const std::string& name, uint64_t seed) {
  const bool scalable = name == "mobilenetv1" || name == "mobilenetv2";
  return {.name = name, .seed = seed, .width = scalable ? 0.35 : 1.0, .resolution = 64};
}

TEST_P(PageTrace, SaysNothingOfInputsOrWeights) {
  SKIP_WITHOUT_USERFAULTFD();
  const SealedNetwork first(small(GetParam(), 1)), second(small(GetParam(), 2));
  const auto seen = [&](const SealedNetwork& network, const std::function<float()>& number) {
    const auto runner = network.open(PlatformKind::kEpcsim, kFewPages);
    EXPECT_TRUE(runner.ok()) << runner.error().message();
    return runner.ok() ? observe(runner->get(), number) : Observed{};
  };
  const Observed usual = seen(first, random_numbers(1));
  ASSERT_GT(usual.events.size(), 1000u);
  std::vector<std::pair<std::string, std::function<float()>>> inputs = {
      {"zeros", [] { return 0.0f; }}, {"NaN", [] { return std::numeric_limits<float>::quiet_NaN(); }}};
  for (uint32_t seed = 2; seed <= 20; ++seed) inputs.emplace_back("input " + std::to_string(seed), random_numbers(seed));
  for (const auto& [name, number] : inputs) {
    const Observed other = seen(first, number);
    EXPECT_EQ(difference(usual, other), "") << name;
    EXPECT_NE(usual.output, other.output) << name;
    if (HasFailure()) return;
  }
  const Observed other_weights = seen(second, random_numbers(1));
  EXPECT_EQ(difference(usual, other_weights), "") << "two weight sets";
  EXPECT_NE(usual.output, other_weights.output);
}

TEST(SameBits, InsideAndOutside) {
  SKIP_WITHOUT_USERFAULTFD();
  for (const uint32_t threads : {1u, 2u}) {
    const SealedNetwork network(small("mobilenetv2", 1), threads);
    const auto outside = network.open(PlatformKind::kInproc, 0);
    ASSERT_TRUE(outside.ok());
    const Observed expected = observe(outside->get(), random_numbers(7));
    for (const uint64_t pages : {uint64_t{0}, kFewPages, threads * kLeastResidentPages}) {
      const auto inside = network.open(PlatformKind::kEpcsim, pages);
      ASSERT_TRUE(inside.ok()) << inside.error().message();
      const Observed got = observe(inside->get(), random_numbers(7));
      EXPECT_EQ(got.output, expected.output) << threads << " threads, " << pages << " pages";
      if (pages == 0) continue;
      EXPECT_LE((*inside)->epcsim()->counters().most_resident, pages);
      EXPECT_GT((*inside)->epcsim()->counters().loads, 1000u);
    }
  }
}

}  // namespace
}  // namespace carrel::testing
