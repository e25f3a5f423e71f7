#pragma once
// The fixture of the tests with a hostile file: one sealed network, its honest client and what it
// should answer.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "tests/hostile/whole_model.h"
#include "tests/suite/random_graph.h"

namespace carrel::testing {

namespace fs = std::filesystem;
using StartOptions = HonestClient::StartOptions;

// Inproc reads tiles from the file; the process maps them or reads them.
inline constexpr StartOptions kInproc{PlatformKind::kInproc, false};
inline constexpr StartOptions kProcessMaps{PlatformKind::kProcess, true};
inline constexpr StartOptions kProcessReads{PlatformKind::kProcess, false};

inline ErrorCode code_of(const Status& status) {
  EXPECT_FALSE(status.ok());
  return status.ok() ? ErrorCode::kCancelled : status.error().code();
}
template <typename T>
inline ErrorCode code_of(const Result<T>& result) {
  EXPECT_FALSE(result.ok());
  return result.ok() ? ErrorCode::kCancelled : result.error().code();
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// MobileNetV2 at its narrowest: 53 streams of every kind of convolution, 7 MB, a few milliseconds a
// run.
inline Graph network(uint64_t seed) {
  return zoo_graph({.name = "mobilenetv2", .seed = seed, .width = 0.35, .resolution = 32});
}

// Less than its weights: some are read again in every inference.
inline constexpr uint64_t kBudget = kMiB;

class HostileFile : public ::testing::Test {
 protected:
  void SetUp() override {
    static const Graph graph = network(1);
    ASSERT_TRUE(seal_to(path_, graph, key_, {request_of(kBudget)}));
    graph_ = &graph;
    auto client = HonestClient::open(path_, key_, 0);
    ASSERT_TRUE(client.ok()) << client.error().message();
    client_ = std::move(*client);
    const auto output = client_->run_all(path_, kInproc);
    ASSERT_TRUE(output.ok()) << output.error().message();
    expected_ = *output;
  }

  void flip(uint64_t offset, int bit) {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(file.get() ^ (1 << bit));
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
    ASSERT_TRUE(file.good());
  }
  // The command line's way: the client's own checks, then the engine's.
  Result<std::vector<float>> run_as_owner(const SecretKey& key,
                                          const ModelId* pinned = nullptr) const {
    RunnerOptions options;
    options.model_path = path_;
    options.memory_bytes = kBudget;
    options.platform = PlatformKind::kInproc;
    options.cpu = detect_cpu();
    options.pin_model = pinned != nullptr;
    if (pinned != nullptr) options.expected_model = *pinned;
    CARREL_ASSIGN(const std::unique_ptr<Runner> runner, Runner::open(options, key));
    RunStats stats;
    const Tensor input = random_tensor(runner->inputs()[0].shape, 3);
    CARREL_ASSIGN(const std::vector<Tensor> outputs, runner->run({input}, &stats));
    return std::vector<float>(outputs[0].f32().begin(), outputs[0].f32().end());
  }
  // With one bit of `range` wrong: the engine on its own and the owner's run both fail.
  void expect_found(const FileRange& range, uint64_t at, const StartOptions& platform) {
    SCOPED_TRACE(range.name + ", byte " + std::to_string(at));
    const int bit = static_cast<int>(at * 5 % 8);
    flip(range.offset + at, bit);
    const ErrorCode code = code_of(client_->run_all(path_, platform));
    const bool magic = range.name == "magic";
    EXPECT_EQ(code, magic ? ErrorCode::kInvalidInput : ErrorCode::kAuthentication);
    EXPECT_FALSE(run_as_owner(key_).ok());
    flip(range.offset + at, bit);
  }
  void expect_intact(const StartOptions& platform) {
    const auto output = client_->run_all(path_, platform);
    ASSERT_TRUE(output.ok()) << output.error().message();
    EXPECT_TRUE(same_bits(*output, expected_));
  }

  ScratchFolder folder_;
  const std::string path_ = folder_.file("model.carrel");
  const SecretKey key_ = filled_key(7);
  const Graph* graph_ = nullptr;
  std::unique_ptr<HonestClient> client_;
  std::vector<float> expected_;
};

}  // namespace carrel::testing
