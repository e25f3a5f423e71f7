// The unmodified engine (baseline/) against evaluation in plain memory: networks and random graphs;
// in exactly the memory it asks for.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fstream>
#include <map>

#include "baseline/unmodified.h"
#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/zoo/zoo.h"
#include "tests/suite/oracle.h"
#include "tests/suite/random_graph.h"
#include "tests/suite/random_quantized.h"
#include "tests/suite/sealed_network.h"

namespace carrel::suite {
namespace {

constexpr size_t kPage = 4096;

// Zeroed memory that ends where nothing may be touched.
class GuardedRegion {
 public:
  explicit GuardedRegion(size_t bytes) : bytes_(bytes) {
    void* all = mmap(nullptr, bytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    begin_ = static_cast<std::byte*>(all) + kPage;
    EXPECT_EQ(0, mprotect(begin_, bytes, PROT_READ | PROT_WRITE));
  }
  ~GuardedRegion() { munmap(begin_ - kPage, bytes_ + 2 * kPage); }
  GuardedRegion(const GuardedRegion&) = delete;
  GuardedRegion& operator=(const GuardedRegion&) = delete;
  std::span<std::byte> bytes() const { return {begin_, bytes_}; }
  size_t resident_bytes() const {
    std::vector<unsigned char> pages(bytes_ / kPage);
    EXPECT_EQ(0, mincore(begin_, bytes_, pages.data()));
    size_t resident = 0;
    for (unsigned char page : pages) resident += (page & 1) * kPage;
    return resident;
  }

 private:
  std::byte* begin_;
  size_t bytes_;
};

Result<SealedNetwork> seal(const Graph& graph, const WeightTypes& stored) {
  return SealedNetwork::make(graph, stored, {});
}

std::vector<Tensor> inputs_for(const Graph& graph, uint32_t seed) {
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs) inputs.push_back(random_tensor(graph.value(id).shape, seed++));
  return inputs;
}

// Two runs on different inputs, so that a tensor that outlives its time shows.
void check(const Graph& graph, StoredType stored, uint32_t threads, double tolerance) {
  const auto sealed = seal(graph, stored);
  ASSERT_TRUE(sealed.ok()) << sealed.error().message();
  const auto engine = UnmodifiedEngine::open(sealed->path(), sealed->key(), threads);
  ASSERT_TRUE(engine.ok()) << engine.error().message();
  const GuardedRegion region((*engine)->memory_bytes());
  const Status loaded = (*engine)->load(region.bytes());
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  for (uint32_t seed : {7u, 8u}) {
    const std::vector<Tensor> inputs = inputs_for(graph, seed);
    const auto expected = eval_graph(graph, inputs);
    ASSERT_TRUE(expected.ok()) << expected.error().message();
    uint32_t layers = 0;
    const auto got = (*engine)->run(inputs, [&](uint32_t i) { EXPECT_EQ(i, layers++); });
    ASSERT_TRUE(got.ok()) << got.error().message();
    EXPECT_EQ(layers, (*engine)->layers().size());
    ASSERT_EQ(got->size(), expected->size());
    for (size_t i = 0; i < got->size(); ++i)
      EXPECT_LE(relative_error((*got)[i], (*expected)[i]), tolerance);
  }
}

Graph zoo(const std::string& name, int64_t resolution, double width = 1) {
  ZooOptions options;
  options.name = name;
  options.resolution = resolution;
  options.width = width;
  auto graph = make_zoo_model(options);
  EXPECT_TRUE(graph.ok()) << graph.error().message();
  auto optimized = optimize(std::move(*graph), eval_node);
  EXPECT_TRUE(optimized.ok()) << optimized.error().message();
  return std::move(*optimized);
}

// fp16 storage rounds the weights: that error, not the engine's, is what the tolerance allows.
constexpr double kTolerance = 1e-4, kHalfTolerance = 2e-2;

TEST(Unmodified, Networks) {
  const std::map<std::string, Graph> networks = {
      {"mobilenetv2", zoo("mobilenetv2", 64, 0.25)}, {"squeezenet1_1", zoo("squeezenet1_1", 64)},
      {"densenet121", zoo("densenet121", 32)},       {"resnet18", zoo("resnet18", 32)},
      {"inception_v1", zoo("inception_v1", 64)},
  };
  for (const auto& [name, graph] : networks) {
    SCOPED_TRACE(name);
    check(graph, StoredType::kF32, 1, kTolerance);
    check(graph, StoredType::kF16, 2, kHalfTolerance);
  }
}

TEST(Unmodified, RandomGraphs) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    check(random_graph(seed), StoredType::kF32, 1 + seed % 3, kTolerance);
  }
}

TEST(Unmodified, MemoryIsWhatItSays) {
  const Graph graph = zoo("resnet18", 64);
  const auto sealed = seal(graph, StoredType::kF32);
  ASSERT_TRUE(sealed.ok());
  const auto engine = UnmodifiedEngine::open(sealed->path(), sealed->key(), 1);
  ASSERT_TRUE(engine.ok());
  const uint64_t bytes = (*engine)->memory_bytes();
  const GuardedRegion region(bytes);
  const Status refused = (*engine)->load(region.bytes().first(bytes - 1));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall);
  EXPECT_EQ(refused.error().detail(), bytes);
  EXPECT_EQ(region.resident_bytes(), 0u);
  ASSERT_TRUE((*engine)->load(region.bytes()).ok());
  ASSERT_TRUE((*engine)->run(inputs_for(graph, 1), nullptr).ok());
  EXPECT_EQ(region.resident_bytes(), bytes);
  uint64_t end = 0;
  for (const Place& place : (*engine)->places()) end = std::max(end, place.offset + place.bytes);
  EXPECT_LE(end, bytes);
  EXPECT_GT(end + kPage, bytes);
}

TEST(Unmodified, AChangedTileIsRefused) {
  const auto sealed = seal(random_graph(3), StoredType::kF32);
  ASSERT_TRUE(sealed.ok());
  const auto engine = UnmodifiedEngine::open(sealed->path(), sealed->key(), 1);
  ASSERT_TRUE(engine.ok());
  std::fstream file(sealed->path(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(kTilesOffset) + 5);
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(kTilesOffset) + 5);
  file.put(static_cast<char>(byte ^ 1));
  file.close();
  const GuardedRegion region((*engine)->memory_bytes());
  const Status loaded = (*engine)->load(region.bytes());
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code(), ErrorCode::kAuthentication);
  SecretKey other = sealed->key();
  other.bytes[0] ^= 1;
  const auto opened = UnmodifiedEngine::open(sealed->path(), other, 1);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code(), ErrorCode::kWrongKey);
}

void expect_unsupported(const Graph& graph, const WeightTypes& stored, const char* reason) {
  const auto sealed = seal(graph, stored);
  ASSERT_TRUE(sealed.ok()) << sealed.error().message();
  const auto engine = UnmodifiedEngine::open(sealed->path(), sealed->key(), 1);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(std::string(engine.error().message()).find(reason), std::string::npos)
      << engine.error().message();
}

TEST(Unmodified, QuantizedModelsAreNotForIt) {
  expect_unsupported(random_quantized(1), {}, "runs float operators only");
  expect_unsupported(zoo("mobilenetv1", 32, 0.25), {StoredType::kF32, StoredType::kI8},
                     "weights stored as int8; the unmodified engine runs fp32 and fp16");
  expect_unsupported(zoo("mobilenetv1", 32, 0.25), {StoredType::kF16, StoredType::kI4},
                     "weights stored as int4; the unmodified engine runs fp32 and fp16");
}

TEST(Unmodified, WrongInputsAreRefused) {
  const Graph graph = random_graph(3);
  const auto sealed = seal(graph, StoredType::kF32);
  ASSERT_TRUE(sealed.ok());
  const auto engine = UnmodifiedEngine::open(sealed->path(), sealed->key(), 1);
  ASSERT_TRUE(engine.ok());
  const GuardedRegion region((*engine)->memory_bytes());
  ASSERT_TRUE((*engine)->load(region.bytes()).ok());
  EXPECT_FALSE((*engine)->run({}, nullptr).ok());
  EXPECT_FALSE((*engine)->run({random_tensor({1, 2}, 1)}, nullptr).ok());
}

}  // namespace
}  // namespace carrel::suite
