// Partitioned == whole: random networks, sealed and run in a budget, against evaluation in plain memory; planned peak ==
// measured peak; equal bits over budgets, strategies and threads.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "apps/common/runner.h"
#include "base/bytes.h"
#include "compiler/eval/eval.h"
#include "compiler/seal/seal.h"
#include "tests/suite/oracle.h"
#include "tests/suite/random_graph.h"
#include "tests/suite/random_quantized.h"

namespace carrel {
namespace {

class Sealed {
 public:
  Sealed(const Graph& graph, StoredType stored) {
    std::memset(key.bytes, 7, sizeof key.bytes);
    path = std::filesystem::temp_directory_path() / ("carrel_partition_" + std::to_string(getpid()) + ".carrel");
    SealOptions options;
    options.stored = stored;
    std::vector<std::string> notes;
    const auto id = seal_model(graph, key, options, path, nullptr, &notes);
    EXPECT_TRUE(id.ok()) << id.error().message();
  }
  ~Sealed() { std::filesystem::remove(path); }
  SecretKey key;
  std::string path;
};

struct Case {
  Strategy strategy;
  uint64_t budget;
  uint32_t threads;
};

void run_cases(const Graph& graph, uint32_t seed, StoredType stored, double tolerance) {
  const Tensor input = random_tensor(graph.value(graph.inputs[0]).shape, seed);
  const auto expected = eval_graph(graph, {input});
  ASSERT_TRUE(expected.ok()) << expected.error().message();
  const Sealed sealed(graph, stored);
  std::vector<float> firsts[2];  // by ProgramHeader::winograd
  int runs = 0;
  for (const Case& c : {Case{Strategy::kWhole, 64 * kMiB, 1}, Case{Strategy::kChannel, 64 * kMiB, 2}, Case{Strategy::kYplane, 2 * kMiB, 1},
                        Case{Strategy::kAuto, 512 * kKiB, 1}, Case{Strategy::kAuto, 640 * kKiB, 2}, Case{Strategy::kAuto, kMiB, 3},
                        Case{Strategy::kAuto, 16 * kMiB, 1}}) {
    SCOPED_TRACE(std::string(strategy_name(c.strategy)) + " " + std::to_string(c.budget) + " threads " + std::to_string(c.threads));
    RunnerOptions options;
    options.model_path = sealed.path;
    options.memory_bytes = c.budget;
    options.strategy = c.strategy;
    options.threads = c.threads;
    options.platform = PlatformKind::kInproc;
    options.cpu = detect_cpu();
    auto runner = Runner::open(options, sealed.key);
    if (!runner.ok()) {
      EXPECT_EQ(runner.error().code(), ErrorCode::kBudgetTooSmall) << runner.error().message();
      continue;
    }
    for (int repeat = 0; repeat < 2; ++repeat) {
      RunStats stats;
      const auto got = (*runner)->run({input}, &stats);
      ASSERT_TRUE(got.ok()) << got.error().message();
      EXPECT_LE(suite::relative_error((*got)[0], (*expected)[0]), tolerance);
      EXPECT_EQ(stats.peak_trusted_bytes, (*runner)->program().planned_peak_bytes);
      const auto values = (*got)[0].f32();
      std::vector<float>& first = firsts[(*runner)->program().winograd];
      if (first.empty()) first.assign(values.begin(), values.end());
      EXPECT_EQ(0, std::memcmp(first.data(), values.data(), values.size_bytes())) << "bits differ";
      ++runs;
    }
  }
  EXPECT_GE(runs, 8);
}

TEST(Partition, RandomNetworksEqualPlainEvaluation) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    run_cases(random_graph(seed), seed, StoredType::kF32, 1e-4);
    if (HasFatalFailure()) return;
  }
}

// To the bit.
TEST(Partition, QuantizedNetworksEqualPlainEvaluation) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    run_cases(random_quantized(seed), seed, StoredType::kF32, 0);
    if (HasFatalFailure()) return;
  }
}

TEST(Partition, HalfPrecisionStorageStaysClose) {
  for (uint32_t seed = 100; seed <= 110; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    run_cases(random_graph(seed), seed, StoredType::kF16, 1e-2);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace carrel
