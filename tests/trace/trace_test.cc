// The sequence of everything observable (tiles read, blocks that cross, arena ranges handed out,
// reads asked of the host) does not depend on inputs or weights: whole networks, every strategy,
// budgets down to the least.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>

#include "base/bytes.h"
#include "engine/runtime/engine.h"
#include "platform/inproc/inproc_host.h"
#include "tests/hostile/whole_model.h"
#include "tests/suite/random_graph.h"
#include "tests/suite/random_quantized.h"

namespace carrel::testing {
namespace {

struct HostRead {
  uint64_t offset, bytes;
  auto operator<=>(const HostRead&) const = default;
};

struct Observed {
  std::vector<TraceEvent> events;
  // What the host really was asked for. Threads may ask in any order: then sorted.
  std::vector<HostRead> reads;
  RunStats stats;
  std::vector<std::byte> program;
  uint64_t file_bytes = 0;
  std::vector<float> output;

  uint64_t count(TraceKind kind) const {
    return static_cast<uint64_t>(std::count_if(
        events.begin(), events.end(), [&](const TraceEvent& e) { return e.kind == kind; }));
  }
};

class Recorder : public TraceSink {
 public:
  explicit Recorder(Observed* observed) : observed_(observed) {}
  void record(const TraceEvent& event) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    observed_->events.push_back(event);
  }

 private:
  std::mutex mutex_;
  Observed* observed_;
};

class WatchingHost : public InprocHost {
 public:
  explicit WatchingHost(Observed* observed) : observed_(observed) {}
  Result<uint64_t> read_model(uint64_t offset, std::span<std::byte> dst) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    observed_->reads.push_back({offset, dst.size()});
    return InprocHost::read_model(offset, dst);
  }

 private:
  std::mutex mutex_;
  Observed* observed_;
};

// Engine and threads over a block of its own.
class WatchedEngine {
 public:
  explicit WatchedEngine(const ProgramHeader& header)
      : block_(map_memory(header.budget_bytes - runtime_reserve_bytes(header.threads))),
        threads_(header.threads) {}
  ~WatchedEngine() {
    engine_->close();
    for (std::thread& worker : workers_) worker.join();
    engine_.reset();
    unmap_memory(block_);
  }
  Status open(InprocHost* host, SessionSecrets secrets, TraceSink* trace) {
    CARREL_RETURN_IF_ERROR(
        Engine::open(host, {block_, threads_, detect_cpu(), trace}, &secrets, engine_.get()));
    for (uint32_t i = 1; i < threads_; ++i)
      workers_.emplace_back([this, i] { engine_->worker_loop(i); });
    return ok_status();
  }
  Engine* operator->() { return engine_.get(); }

 private:
  std::span<std::byte> block_;
  uint32_t threads_;
  std::unique_ptr<Engine> engine_ = std::make_unique<Engine>();
  std::vector<std::thread> workers_;
};

// Two inferences: the second finds weights resident.
Status observe(HonestClient* client, const std::string& path, size_t index, uint32_t input_seed,
               Observed* observed) {
  constexpr uint64_t kImages = 2;
  const ProgramHeader& header = *client->program().header;
  Recorder recorder(observed);
  WatchingHost host(observed);
  WatchedEngine engine(header);
  CARREL_RETURN_IF_ERROR(host.use_file(path));
  CARREL_RETURN_IF_ERROR(host.allocate_shared(header.store_bytes));
  CARREL_RETURN_IF_ERROR(engine.open(&host, client->secrets(), &recorder));
  const ProgramRecord& record = client->info().programs[index];
  CARREL_RETURN_IF_ERROR(
      engine->prepare({RequestKind::kPrepare, 0, {record.offset, record.program_bytes, index, 0}}));
  client->make_inputs(input_seed);
  for (uint64_t counter = 1; counter <= kImages; ++counter) {
    CARREL_RETURN_IF_ERROR(client->seal_inputs(counter, host.shared_area()));
    CARREL_RETURN_IF_ERROR(
        engine->run({RequestKind::kRun, 0, {counter, 0, 0, 0}}, &observed->stats));
  }
  CARREL_ASSIGN(observed->output, client->open_outputs(kImages, host.shared_area()));
  if (header.threads > 1) {
    std::sort(observed->reads.begin(), observed->reads.end());
    std::sort(observed->events.begin(), observed->events.end());
  }
  observed->program.assign(client->blob().begin(), client->blob().end());
  observed->file_bytes = std::filesystem::file_size(path);
  return ok_status();
}

Observed observe_or_fail(const std::string& path, const SecretKey& key, size_t index,
                         uint32_t input_seed) {
  Observed observed;
  auto client = HonestClient::open(path, key, index);
  EXPECT_TRUE(client.ok()) << client.error().message();
  if (!client.ok()) return observed;
  const Status status = observe(client->get(), path, index, input_seed, &observed);
  EXPECT_TRUE(status.ok()) << status.error().message();
  return observed;
}

// Where two sequences part, or an empty text.
std::string difference(const Observed& a, const Observed& b) {
  const auto text = [](const TraceEvent& e) {
    return "kind " + std::to_string(static_cast<int>(e.kind)) + " step " + std::to_string(e.step) +
           " offset " + std::to_string(e.offset) + " bytes " + std::to_string(e.bytes);
  };
  for (size_t i = 0; i < std::min(a.events.size(), b.events.size()); ++i) {
    if (!(a.events[i] == b.events[i]))
      return "event " + std::to_string(i) + ": " + text(a.events[i]) + " / " + text(b.events[i]);
  }
  if (a.events.size() != b.events.size()) return "more events";
  if (a.reads != b.reads) return "reads of the host";
  if (a.program != b.program) return "program";
  if (a.file_bytes != b.file_bytes) return "file size";
  const auto figures = [](const RunStats& s) {
    return std::vector<uint64_t>{s.peak_trusted_bytes, s.bytes_decrypted, s.bytes_spilled,
                                 s.bytes_fetched, s.crossings};
  };
  return figures(a.stats) == figures(b.stats) ? "" : "figures";
}

// The same network with other weights: every float constant drawn anew.
Graph with_other_weights(Graph graph, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> jitter(-1.5f, 1.5f);
  for (Value& value : graph.values) {
    if (!value.is_const() || value.type != DType::kF32) continue;
    Tensor changed = *value.constant;
    for (float& v : changed.f32()) v *= jitter(generator);
    value.constant = std::make_shared<Tensor>(std::move(changed));
  }
  return graph;
}

// Other bytes as weights and biases; scales are what they were.
Graph with_other_bytes(Graph graph, uint32_t seed) {
  std::mt19937 generator(seed);
  for (Value& value : graph.values) {
    if (!value.is_const() || (value.type != DType::kI8 && value.type != DType::kI32)) continue;
    Tensor changed = *value.constant;
    const size_t step = value.type == DType::kI8 ? 1 : 4;  // of a bias the lowest byte
    for (size_t i = 0; i < changed.data.size(); i += step) changed.data[i] = static_cast<std::byte>(generator());
    value.constant = std::make_shared<Tensor>(std::move(changed));
  }
  return graph;
}

// Every strategy at its least budget, where memory is scarcest, and at one with room; one and two
// threads.
std::vector<PlanRequest> requests_for(const Graph& graph) {
  const auto streams = plan_streams(graph, StoredType::kF32);
  EXPECT_TRUE(streams.ok());
  std::vector<PlanRequest> requests;
  for (Strategy strategy :
       {Strategy::kAuto, Strategy::kYplane, Strategy::kChannel, Strategy::kWhole}) {
    for (uint32_t threads : {1u, 2u}) {
      const auto least = least_budget(graph, *streams, request_of(0, strategy, threads));
      EXPECT_TRUE(least.ok()) << least.error().message();
      if (!least.ok()) continue;
      requests.push_back(request_of(*least, strategy, threads));
      if (strategy == Strategy::kAuto)
        requests.push_back(request_of(2 * *least, strategy, threads));
    }
  }
  return requests;
}

// Counts over everything observed, so that a test can ask whether it saw spill at all.
struct Seen {
  uint64_t tiles = 0, spilled = 0, fetched = 0, programs = 0;
  uint64_t telling = 0;  // programs whose outputs followed inputs and weights
};

Seen expect_oblivious(const Graph& graph, const Graph& other_weights) {
  const ScratchFolder folder;
  const SecretKey key = filled_key(3);
  const std::string first = folder.file("first.carrel"), second = folder.file("second.carrel");
  const std::vector<PlanRequest> requests = requests_for(graph);
  Seen seen;
  if (!seal_to(first, graph, key, requests) || !seal_to(second, other_weights, key, requests))
    return seen;
  for (size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(std::string(strategy_name(requests[i].strategy)) + ", " +
                 std::to_string(requests[i].budget_bytes) + " bytes, " +
                 std::to_string(requests[i].threads) + " threads");
    const Observed a = observe_or_fail(first, key, i, 1);
    const Observed b = observe_or_fail(first, key, i, 2);
    const Observed c = observe_or_fail(second, key, i, 1);
    EXPECT_GT(a.events.size(), 20u);
    EXPECT_EQ(difference(a, b), "") << "two inputs";
    EXPECT_EQ(difference(a, c), "") << "two weight sets";
    if (a.output != b.output && a.output != c.output) ++seen.telling;
    seen.tiles += a.count(TraceKind::kTile);
    seen.spilled += a.count(TraceKind::kSpillOut);
    seen.fetched += a.count(TraceKind::kSpillIn);
    ++seen.programs;
    if (::testing::Test::HasFailure()) return seen;
  }
  return seen;
}

class ZooTrace : public ::testing::TestWithParam<ZooOptions> {};
INSTANTIATE_TEST_SUITE_P(
    Networks, ZooTrace,
    ::testing::Values(ZooOptions{.name = "mobilenetv2", .width = 0.35, .resolution = 96},
                      ZooOptions{.name = "squeezenet1_1", .resolution = 64},
                      ZooOptions{.name = "resnet18", .resolution = 64}),
    [](const auto& zoo) { return zoo.param.name; });

TEST_P(ZooTrace, SaysNothingOfInputsOrWeights) {
  ZooOptions other = GetParam();
  other.seed = 2;
  const Seen seen = expect_oblivious(zoo_graph(GetParam()), zoo_graph(other));
  EXPECT_EQ(seen.programs, 10u);
  EXPECT_EQ(seen.telling, 10u);
  EXPECT_GT(seen.tiles, 100u);
  EXPECT_GT(seen.spilled, 0u) << "no budget was small enough to spill";
  EXPECT_GT(seen.fetched, 0u);
}

// Of `seeds` random networks, the programs whose answers depend on the weights.
template <class Make, class Change>
uint64_t telling_programs(uint32_t seeds, Make make, Change with_others) {
  uint64_t telling = 0;
  for (uint32_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Graph graph = make(seed);
    const Seen seen = expect_oblivious(graph, with_others(graph, seed + 1000));
    EXPECT_EQ(seen.programs, 10u);
    telling += seen.telling;
    if (::testing::Test::HasFailure()) break;
  }
  return telling;
}

TEST(Trace, RandomNetworksSayNothing) {
  // A few end in units that no input reaches.
  EXPECT_GT(telling_programs(12, random_graph, with_other_weights), 60u);
}

TEST(Trace, RandomQuantizedNetworksSayNothing) {
  // Some saturate whatever comes in.
  EXPECT_GE(telling_programs(8, random_quantized, with_other_bytes), 40u);
}

// Weights that tempt a shortcut: all zeros, infinities, denormals, the same number everywhere.
TEST(Trace, ExtremeValuesSayNothing) {
  const Graph graph = random_graph(4);
  const ScratchFolder folder;
  const SecretKey key = filled_key(3);
  const PlanRequest request = requests_for(graph)[0];
  ASSERT_TRUE(seal_to(folder.file("model.carrel"), graph, key, {request}));
  const Observed usual = observe_or_fail(folder.file("model.carrel"), key, 0, 1);
  for (float fill : {0.0f, 1e-40f, 3e38f}) {
    SCOPED_TRACE(fill);
    Graph filled = graph;
    for (Value& value : filled.values) {
      if (!value.is_const() || value.type != DType::kF32) continue;
      Tensor changed = *value.constant;
      std::fill(changed.f32().begin(), changed.f32().end(), fill);
      value.constant = std::make_shared<Tensor>(std::move(changed));
    }
    ASSERT_TRUE(seal_to(folder.file("filled.carrel"), filled, key, {request}));
    EXPECT_EQ(difference(usual, observe_or_fail(folder.file("filled.carrel"), key, 0, 1)), "");
  }
}

// The comparison can fail: it tells architectures, strategies and budgets apart.
TEST(Trace, TellsArchitecturesAndPlansApart) {
  const ScratchFolder folder;
  const SecretKey key = filled_key(3);
  const std::string narrow = folder.file("narrow.carrel"), wide = folder.file("wide.carrel");
  const std::vector<PlanRequest> requests = {request_of(2 * kMiB), request_of(3 * kMiB),
                                             request_of(3 * kMiB, Strategy::kChannel)};
  ASSERT_TRUE(seal_to(narrow, zoo_graph({.name = "mobilenetv2", .width = 0.35, .resolution = 64}),
                      key, requests));
  ASSERT_TRUE(seal_to(wide, zoo_graph({.name = "mobilenetv2", .width = 0.5, .resolution = 64}), key,
                      requests));
  const Observed base = observe_or_fail(narrow, key, 0, 1);
  EXPECT_EQ(difference(base, observe_or_fail(narrow, key, 0, 1)), "");
  EXPECT_NE(difference(base, observe_or_fail(wide, key, 0, 1)), "");
  EXPECT_NE(difference(base, observe_or_fail(narrow, key, 1, 1)), "");
  EXPECT_NE(difference(base, observe_or_fail(narrow, key, 2, 1)), "");
  EXPECT_NE(base.reads, observe_or_fail(wide, key, 0, 1).reads);
}

}  // namespace
}  // namespace carrel::testing
