// `verify` finds any single flipped bit.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "base/bytes.h"
#include "tests/hostile/whole_model.h"
#include "tests/suite/random_graph.h"

namespace carrel::testing {
namespace {

namespace fs = std::filesystem;

// Every byte of a small network of many kinds of layers.
TEST(HostileVerify, EveryByteOfASmallModel) {
  const ScratchFolder folder;
  const std::string path = folder.file("small.carrel");
  const SecretKey key = filled_key(9);
  ASSERT_TRUE(seal_to(path, random_graph(3), key, {request_of(4 * kMiB)}));
  const std::vector<std::byte> whole = read_bytes(path);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](size_t at, std::byte value) {
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(value));
    file.flush();
  };
  for (size_t at = 0; at < whole.size(); ++at) {
    put(at, whole[at] ^ static_cast<std::byte>(1 << (at * 5 % 8)));
    ASSERT_FALSE(verify_sealed(path, key, {}).ok()) << "byte " << at;
    put(at, whole[at]);
  }
  EXPECT_TRUE(verify_sealed(path, key, {}).ok());
}

void verify_random_positions(const ZooOptions& options, uint64_t least_bytes, uint32_t positions,
                             uint32_t seed) {
  const ScratchFolder folder;
  const std::string path = folder.file("large.carrel");
  const SecretKey key = filled_key(9);
  ASSERT_TRUE(seal_to(path, zoo_graph(options), key, {request_of(16 * kMiB)}));
  const uint64_t bytes = fs::file_size(path);
  ASSERT_GE(bytes, least_bytes);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  std::mt19937_64 generator(seed);
  for (uint32_t i = 0; i < positions; ++i) {
    const auto at = static_cast<std::streamoff>(generator() % bytes);
    const int bit = static_cast<int>(generator() % 8);
    file.seekg(at);
    const char byte = static_cast<char>(file.get());
    const auto put = [&](char value) {
      file.seekp(at);
      file.put(value);
      file.flush();
    };
    put(static_cast<char>(byte ^ (1 << bit)));
    ASSERT_FALSE(verify_sealed(path, key, {}).ok())
        << "bit " << bit << " of byte " << at << ", seed " << seed;
    put(byte);
  }
  EXPECT_TRUE(verify_sealed(path, key, {}).ok());
}

TEST(HostileVerify, RandomPositionsOfAnExport) {
  verify_random_positions({.name = "squeezenet1_1", .resolution = 64}, 4 * kMiB, 200, 5);
}

TEST(HostileVerifyLarge, TenThousandPositions) {
  verify_random_positions({.name = "resnet50", .resolution = 64}, 50'000'000, 10000, 6);
}

}  // namespace
}  // namespace carrel::testing
