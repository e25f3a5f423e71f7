// The host's memory never holds a plaintext weight, nor an activation: the memory of a whole
// process that launched an enclave, the area it shares with it and the model file are searched for
// a recognisable number.
//
// The network is made and sealed in a child process, so that this one never had its weights. All
// weights and biases are one number w; with an input of zeros the first layer gives w everywhere,
// the second (2 on its diagonal) 2 w: an activation that is no weight.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <fstream>

#include "base/bytes.h"
#include "tests/hostile/whole_model.h"

namespace carrel::testing {
namespace {

constexpr int64_t kChannels = 64, kSide = 32;

// The numbers searched for are never in this process: it knows them only masked, and compares
// masked.
constexpr uint32_t kMask = 0x5aa5c33c;
constexpr uint32_t kMaskedWeight = 0x3d9e3b57u ^ kMask;  // w = 0.0772616
constexpr uint32_t kMaskedActivation =
    (0x3d9e3b57u + (1u << 23)) ^ kMask;                    // 2 w: one more in the exponent
constexpr uint32_t kMaskedHalves = 0x2cf22cf2u ^ kMask;    // w as fp16, twice
constexpr uint32_t kMaskedExpanded = 0x3d9e4000u ^ kMask;  // that as fp32

constexpr uint32_t kAllMasked[] = {kMaskedWeight, kMaskedActivation, kMaskedHalves,
                                   kMaskedExpanded};

// Found this often in a row, it is no coincidence.
constexpr uint32_t kRun = 8;

// Longest run of the number at any byte alignment.
uint32_t longest_run(std::span<const std::byte> bytes, uint32_t masked) {
  uint32_t longest = 0;
  for (size_t shift = 0; shift < 4; ++shift) {
    uint32_t run = 0;
    for (size_t at = shift; at + 4 <= bytes.size(); at += 4) {
      uint32_t word;
      std::memcpy(&word, bytes.data() + at, sizeof(word));
      run = (word ^ kMask) == masked ? run + 1 : 0;
      longest = std::max(longest, run);
    }
  }
  return longest;
}

struct Found {
  uint64_t scanned_bytes = 0;
  std::string where;  // the mappings that hold it; empty: none
};

// All readable memory of this process but the window through which it looks.
Found search_memory(uint32_t masked) {
  constexpr size_t kWindow = 1 << 20;
  // Shared: the kernel would merge a private mapping with its neighbours, which then would be left out with it.
  static std::byte* const window = static_cast<std::byte*>(
      mmap(nullptr, kWindow, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  EXPECT_GE(memory, 0);
  Found found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    char access[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, access) != 3 || access[0] != 'r')
      continue;
    const auto own = reinterpret_cast<unsigned long>(window);
    bool hit = false;
    // Windows overlap, so that no run is cut.
    for (unsigned long at = begin; at < end && !hit; at += kWindow - 4 * kRun) {
      const size_t wanted = std::min<size_t>(kWindow, end - at);
      if (at < own + kWindow && own < at + wanted) continue;
      const ssize_t count = pread(memory, window, wanted, static_cast<off_t>(at));
      if (count <= 0) continue;
      found.scanned_bytes += static_cast<uint64_t>(count);
      hit = longest_run({window, static_cast<size_t>(count)}, masked) >= kRun;
    }
    if (hit) found.where += line + "\n";
  }
  close(memory);
  return found;
}

// Through a mapping that goes again: what it finds must not stay in this process.
bool in_file(const std::string& path, uint32_t masked) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const off_t bytes = lseek(file, 0, SEEK_END);
  EXPECT_GT(bytes, 0);
  const auto size = static_cast<size_t>(bytes);
  void* map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  EXPECT_NE(map, MAP_FAILED);
  const bool found = longest_run({static_cast<const std::byte*>(map), size}, masked) >= kRun;
  munmap(map, size);
  return found;
}

class Network {
 public:
  explicit Network(float w) : w_(w) {
    Value input;
    input.name = "input";
    input.shape = {1, kChannels, kSide, kSide};
    input.shape_known = true;
    x_ = graph_.add_value(input);
    graph_.inputs = {x_};
  }
  // Every weight `all`, but `diagonal` where in == out.
  ValueId conv(ValueId x, int64_t kernel, float all, float diagonal, float bias) {
    std::vector<float> weights(static_cast<size_t>(kChannels * kChannels * kernel * kernel), all);
    for (int64_t c = 0; c < kChannels && all != diagonal; ++c)
      weights[static_cast<size_t>(c * kChannels + c)] = diagonal;
    const std::vector<float> biases(static_cast<size_t>(kChannels), bias);
    Node node;
    node.op = OpType::kConv;
    const int64_t pad = kernel / 2;
    node.attributes.ints = {
        {"strides", {1, 1}}, {"dilations", {1, 1}}, {"group", {1}}, {"pads", {pad, pad, pad, pad}}};
    node.inputs = {x, constant({kChannels, kChannels, kernel, kernel}, weights),
                   constant({kChannels}, biases)};
    return add(std::move(node));
  }
  ValueId sum(ValueId a, ValueId b) {
    Node node;
    node.op = OpType::kAdd;
    node.inputs = {a, b};
    return add(std::move(node));
  }
  // 2 w is needed again at the end: where memory is short it leaves for the host's memory, sealed.
  Graph done() {
    const ValueId first = conv(x_, 3, w_, w_, w_);
    const ValueId twice = conv(first, 1, 0, 2, 0);
    ValueId x = twice;
    for (int i = 0; i < 3; ++i) x = conv(x, 3, w_, w_, w_);
    graph_.outputs = {sum(x, twice)};
    graph_.name = "pattern";
    return std::move(graph_);
  }

 private:
  ValueId constant(const Shape& shape, const std::vector<float>& values) {
    return graph_.add_const("c" + std::to_string(graph_.values.size()),
                            Tensor::from_f32(shape, values));
  }
  ValueId add(Node node) {
    Value out;
    node.name = std::string(op_name(node.op)) + std::to_string(graph_.nodes.size());
    out.name = node.name + "_out";
    out.shape = {1, kChannels, kSide, kSide};
    out.shape_known = true;
    const ValueId id = graph_.add_value(out);
    node.outputs = {id};
    graph_.add_node(std::move(node));
    return id;
  }
  Graph graph_;
  float w_;
  ValueId x_;
};

// 0, and the file is there.
int seal_pattern(const std::string& path, const SecretKey& key, StoredType stored,
                 uint64_t* least_bytes) {
  const Graph graph = Network(std::bit_cast<float>(kMaskedWeight ^ kMask)).done();
  const auto streams = plan_streams(graph, stored);
  if (!streams.ok()) return 2;
  const auto least = least_budget(graph, *streams, request_of(0));
  if (!least.ok()) return 3;
  *least_bytes = *least;
  SealOptions options;
  options.stored = stored;
  options.programs = {request_of(*least)};
  std::vector<std::string> notes;
  if (!seal_model(graph, key, options, path, {}, &notes).ok()) return 4;
  // What the search of files would find if nothing were sealed.
  const std::span<const float> plain = graph.value(graph.node(0).inputs[1]).constant->f32();
  write_bytes(path + ".plain", std::as_bytes(plain));
  return 0;
}

class HostMemory : public ::testing::TestWithParam<StoredType> {
 protected:
  void SetUp() override {
    ASSERT_EQ(search_memory(kMaskedWeight).where, "") << "this process must not know the number";
    auto* least = static_cast<uint64_t*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    const pid_t child = fork();
    if (child == 0) _exit(seal_pattern(path_, key_, GetParam(), least));
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    least_bytes_ = *least;
    munmap(least, 4096);
  }
  std::unique_ptr<Runner> open(PlatformKind platform) {
    RunnerOptions options;
    options.model_path = path_;
    options.memory_bytes = least_bytes_;
    options.platform = platform;
    options.cpu = detect_cpu();
    options.enclave_path = enclave_path();
    auto runner = Runner::open(options, key_);
    EXPECT_TRUE(runner.ok()) << runner.error().message();
    return runner.ok() ? std::move(*runner) : nullptr;
  }
  void run(Runner* runner) {
    const Tensor zeros = Tensor::zeros(DType::kF32, {1, kChannels, kSide, kSide});
    RunStats stats;
    const auto output = runner->run({zeros}, &stats);
    ASSERT_TRUE(output.ok()) << output.error().message();
    spilled_bytes_ = stats.bytes_spilled;
  }
  ScratchFolder folder_;
  const std::string path_ = folder_.file("pattern.carrel");
  const SecretKey key_ = filled_key(6);
  uint64_t least_bytes_ = 0, spilled_bytes_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Stored, HostMemory, ::testing::Values(StoredType::kF32, StoredType::kF16),
                         [](const auto& stored) {
                           return stored.param == StoredType::kF32 ? "Fp32" : "Fp16";
                         });

TEST_P(HostMemory, HoldsNoWeightAndNoActivation) {
  const auto runner = open(PlatformKind::kProcess);
  ASSERT_NE(runner, nullptr);
  EXPECT_EQ(search_memory(kMaskedWeight).where, "") << "after the start";
  for (int repeat = 0; repeat < 3; ++repeat) {
    run(runner.get());
    for (uint32_t masked : kAllMasked) EXPECT_EQ(search_memory(masked).where, "") << "after a run";
  }
  EXPECT_GT(spilled_bytes_, 0u) << "no activation went through the host's memory";
  for (uint32_t masked : kAllMasked) EXPECT_FALSE(in_file(path_, masked));
}

// The same search of an engine without a wall finds both, and an unsealed file's weights.
TEST_P(HostMemory, TheSearchFindsWhatIsThere) {
  {
    const auto runner = open(PlatformKind::kInproc);
    ASSERT_NE(runner, nullptr);
    run(runner.get());
    const Found weights =
        search_memory(GetParam() == StoredType::kF32 ? kMaskedWeight : kMaskedExpanded);
    EXPECT_NE(weights.where, "");
    EXPECT_GT(weights.scanned_bytes, 2 * kMiB);
    EXPECT_NE(search_memory(kMaskedActivation).where, "");
  }
  EXPECT_TRUE(in_file(path_ + ".plain", kMaskedWeight));
  for (uint32_t masked : kAllMasked)
    EXPECT_EQ(search_memory(masked).where, "") << "the engine's end wipes it";
}

// Shared and private mappings alike, at any alignment.
TEST(HostMemorySearch, SeesEveryKindOfMapping) {
  for (int flags : {MAP_SHARED, MAP_PRIVATE}) {
    auto* area = static_cast<std::byte*>(
        mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0));
    ASSERT_EQ(search_memory(kMaskedActivation).where, "");
    for (size_t i = 0; i < kRun; ++i) {
      const uint32_t word = kMaskedActivation ^ kMask;
      std::memcpy(area + 4093 + 4 * i, &word, sizeof(word));
    }
    EXPECT_NE(search_memory(kMaskedActivation).where, "");
    munmap(area, 1 << 16);
  }
}

}  // namespace
}  // namespace carrel::testing
