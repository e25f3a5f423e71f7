// A host that changes, cuts, swaps or mixes sealed files of whole networks: every attempt ends with
// an error and no output, on engines that trust no check of the host's side.
#include "tests/hostile/hostile_file.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <random>
#include <thread>

namespace carrel::testing {
namespace {

std::vector<uint64_t> first_middle_last(const FileRange& range) {
  return {0, range.bytes / 2, range.bytes - 1};
}

TEST_F(HostileFile, AFlippedBitOfTheHeaderOrAProgram) {
  for (const FileRange& range : header_fields()) {
    for (uint64_t at : first_middle_last(range)) expect_found(range, at, kInproc);
    expect_found(range, range.bytes / 3, kProcessMaps);
  }
  for (const FileRange& range : program_parts(client_->info())) {
    for (uint64_t at : first_middle_last(range)) expect_found(range, at, kInproc);
    expect_found(range, range.bytes / 3, kProcessMaps);
    expect_found(range, range.bytes / 3, kProcessReads);
  }
  expect_intact(kInproc);
}

// The engine's first tile of each stream, its last, and tags; the client's own checks know nothing
// of tiles.
TEST_F(HostileFile, AFlippedBitOfAnyStream) {
  const std::vector<FileRange> tiles = tile_parts(client_->info());
  ASSERT_GE(tiles.size(), 200u);
  for (size_t i = 0; i < tiles.size(); i += 3) {
    expect_found(tiles[i], i * 37 % tiles[i].bytes, kInproc);
    if (i % 10 == 0) expect_found(tiles[i], tiles[i].bytes - 1 - i % kTagBytes, kProcessMaps);
    if (i % 10 == 5) expect_found(tiles[i], 0, kProcessReads);
  }
  expect_intact(kProcessMaps);
}

// The engine does not read the manifest; the owner does, before anything starts.
TEST_F(HostileFile, AFlippedBitOfTheManifest) {
  for (const FileRange& range : manifest_parts(client_->info())) {
    for (uint64_t at : first_middle_last(range)) {
      SCOPED_TRACE(range.name + ", byte " + std::to_string(at));
      flip(range.offset + at, 3);
      EXPECT_FALSE(run_as_owner(key_).ok());
      EXPECT_FALSE(verify_sealed(path_, key_, {}).ok());
      flip(range.offset + at, 3);
    }
  }
  EXPECT_TRUE(run_as_owner(key_).ok());
}

// Whatever bit it is: an error, or an answer that the bit has no part in.
TEST_F(HostileFile, AnyBitGivesAnErrorOrTheRightAnswer) {
  constexpr uint32_t kSeed = 71, kRounds = 200;
  std::mt19937_64 generator(kSeed);
  const uint64_t file_bytes = fs::file_size(path_);
  for (uint32_t round = 0; round < kRounds; ++round) {
    // A third each: anywhere, before the tiles, behind them.
    const uint64_t behind = client_->info().header.manifest_offset;
    const uint64_t draw = generator();
    const uint64_t at = round % 3 == 0   ? draw % file_bytes
                        : round % 3 == 1 ? draw % kTilesOffset
                                         : behind + draw % (file_bytes - behind);
    SCOPED_TRACE("byte " + std::to_string(at));
    flip(at, static_cast<int>(draw >> 61));
    const auto output = client_->run_all(path_, kInproc);
    if (output.ok()) {
      EXPECT_TRUE(same_bits(*output, expected_));
    }
    EXPECT_FALSE(verify_sealed(path_, key_, {}).ok());
    flip(at, static_cast<int>(draw >> 61));
  }
}

TEST_F(HostileFile, TruncatedAtEveryBoundary) {
  const std::vector<std::byte> whole = read_bytes(path_);
  std::vector<uint64_t> ends = {0, 1, whole.size() - 1};
  const auto add = [&](const std::vector<FileRange>& ranges) {
    for (const FileRange& range : ranges)
      ends.insert(ends.end(), {range.offset, range.offset + range.bytes});
  };
  add(header_fields());
  add(manifest_parts(client_->info()));
  add(program_parts(client_->info()));
  for (const StreamDesc& stream : client_->info().streams) ends.push_back(stream.file_offset);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  for (uint64_t end : ends) {
    if (end >= whole.size()) continue;
    SCOPED_TRACE("cut at " + std::to_string(end));
    write_bytes(path_, std::span(whole).first(end));
    const ErrorCode code = code_of(client_->run_all(path_, end % 5 == 0 ? kProcessMaps : kInproc));
    EXPECT_TRUE(code == ErrorCode::kAuthentication ||
                (end < sizeof(SealedHeader) && code == ErrorCode::kInvalidInput));
    EXPECT_FALSE(run_as_owner(key_).ok());
  }
  std::vector<std::byte> longer = whole;
  longer.push_back(std::byte{0});
  write_bytes(path_, longer);
  EXPECT_FALSE(client_->run_all(path_, kInproc).ok());
}

// Two tiles of the same size trade places: within a stream, and between streams.
TEST_F(HostileFile, SwappedTiles) {
  const std::vector<FileRange> tiles = tile_parts(client_->info());
  const std::vector<std::byte> whole = read_bytes(path_);
  const auto tile_bytes = [&](const FileRange& tile) {
    return std::span(whole).subspan(tile.offset, tile.bytes);
  };
  uint32_t swaps = 0;
  for (size_t i = 0; i < tiles.size() && swaps < 25; i += 7) {
    const auto same = [&](const FileRange& other) {
      return other.offset > tiles[i].offset && other.bytes == tiles[i].bytes;
    };
    const auto other = swaps % 2 == 0 ? std::find_if(tiles.begin(), tiles.end(), same)
                                      : std::find_if(tiles.rbegin(), tiles.rend(), same).base() - 1;
    if (other == tiles.end() || !same(*other)) continue;
    SCOPED_TRACE(tiles[i].name + " with " + other->name);
    overwrite_at(path_, tiles[i].offset, tile_bytes(*other));
    overwrite_at(path_, other->offset, tile_bytes(tiles[i]));
    EXPECT_EQ(code_of(client_->run_all(path_, swaps % 8 == 0 ? kProcessMaps : kInproc)),
              ErrorCode::kAuthentication);
    overwrite_at(path_, tiles[i].offset, tile_bytes(tiles[i]));
    overwrite_at(path_, other->offset, tile_bytes(*other));
    ++swaps;
  }
  EXPECT_GE(swaps, 15u);
  expect_intact(kInproc);
}

// Tiles, programs, header and manifest of another file of the very same layout, sealed under the
// same key.
class MixedFiles : public HostileFile, public ::testing::WithParamInterface<uint64_t> {
 protected:
  void SetUp() override {
    HostileFile::SetUp();
    const Graph other = GetParam() == 1 ? *graph_ : network(GetParam());
    ASSERT_TRUE(seal_to(other_path_, other, key_, {request_of(kBudget)}));
    ASSERT_EQ(fs::file_size(other_path_), fs::file_size(path_));
    EXPECT_TRUE(verify_sealed(other_path_, key_, {}).ok());
  }
  void expect_refused(const FileRange& range, const StartOptions& platform) {
    SCOPED_TRACE(range.name);
    const std::vector<std::byte> mine = read_bytes(path_), other = read_bytes(other_path_);
    overwrite_at(path_, range.offset, std::span(other).subspan(range.offset, range.bytes));
    EXPECT_EQ(code_of(client_->run_all(path_, platform)), ErrorCode::kAuthentication);
    EXPECT_FALSE(verify_sealed(path_, key_, {}).ok());
    overwrite_at(path_, range.offset, std::span(mine).subspan(range.offset, range.bytes));
  }
  const std::string other_path_ = folder_.file("other.carrel");
};
INSTANTIATE_TEST_SUITE_P(From, MixedFiles, ::testing::Values(1, 2), [](const auto& param) {
  return param.param == 1 ? "AnotherSealing" : "AnotherModel";
});

TEST_P(MixedFiles, OneTile) {
  const std::vector<FileRange> tiles = tile_parts(client_->info());
  for (size_t i = 0; i < tiles.size(); i += 11)
    expect_refused(tiles[i], i % 44 == 0 ? kProcessMaps : kInproc);
  expect_intact(kInproc);
}

TEST_P(MixedFiles, AllTilesOrAProgramOrTheHeader) {
  const SealedHeader& header = client_->info().header;
  const uint64_t file_bytes = fs::file_size(path_);
  for (const StartOptions& platform : {kInproc, kProcessMaps, kProcessReads}) {
    expect_refused({"all tiles", kTilesOffset, header.tiles_bytes}, platform);
    expect_refused(program_parts(client_->info())[0], platform);
    expect_refused(
        {"everything but the tiles", header.manifest_offset, file_bytes - header.manifest_offset},
        platform);
    expect_refused({"header", 0, sizeof(SealedHeader)}, platform);
  }
}

// The whole other file is a true one: only the pinned id tells.
TEST_P(MixedFiles, TheWholeFile) {
  const ModelId mine = client_->info().header.model_id;
  EXPECT_TRUE(run_as_owner(key_, &mine).ok());
  fs::copy_file(other_path_, path_, fs::copy_options::overwrite_existing);
  EXPECT_TRUE(run_as_owner(key_).ok());
  EXPECT_EQ(code_of(run_as_owner(key_, &mine)), ErrorCode::kAuthentication);
  client_->secrets().pin_model = 1;
  client_->secrets().expected_model = mine;
  for (const StartOptions& platform : {kInproc, kProcessMaps}) {
    EXPECT_EQ(code_of(client_->start(path_, platform)), ErrorCode::kAuthentication);
  }
}

TEST_F(HostileFile, WrongKeyIsToldFromAChangedFile) {
  EXPECT_EQ(code_of(run_as_owner(filled_key(8))), ErrorCode::kWrongKey);
  EXPECT_EQ(code_of(verify_sealed(path_, filled_key(8), {})), ErrorCode::kWrongKey);
  client_->secrets().model_key = filled_key(8);
  for (const StartOptions& platform : {kInproc, kProcessMaps}) {
    EXPECT_EQ(code_of(client_->start(path_, platform)), ErrorCode::kWrongKey);
  }
  client_->secrets().model_key = key_;
  flip(offsetof(SealedHeader, key_check), 0);
  EXPECT_EQ(code_of(run_as_owner(key_)), ErrorCode::kAuthentication);
  EXPECT_EQ(code_of(client_->start(path_, kInproc)), ErrorCode::kAuthentication);
}

// At any moment of a run: the answer is right or an error, never a death, and the end is an error.
void while_it_runs(const HonestClient& client, const std::string& path,
                   const StartOptions& platform, const std::vector<float>& expected,
                   std::chrono::microseconds delay, const std::function<void()>& attack) {
  auto session = client.start(path, platform);
  ASSERT_TRUE(session.ok()) << session.error().message();
  ASSERT_TRUE(client.prepare(**session).ok());
  std::thread host([&] {
    std::this_thread::sleep_for(delay);
    attack();
  });
  Result<std::vector<float>> output = std::vector<float>();
  uint64_t counter = 0;
  while (output.ok() && counter < 2000) {
    output = client.infer(**session, ++counter);
    if (output.ok()) {
      EXPECT_TRUE(same_bits(*output, expected));
    }
  }
  host.join();
  EXPECT_EQ(code_of(output), ErrorCode::kAuthentication);
  EXPECT_FALSE(client.infer(**session, counter + 1).ok()) << "the session must be dead";
}

// Streams that every inference reads again; the others stay in trusted memory after the first.
std::vector<StreamDesc> streams_read_again(const ProgramView& program) {
  std::vector<StreamDesc> streams;
  for (const OpDesc& op : program.ops) {
    const bool loads = op.opcode == Opcode::kLoad && op.once == 0;
    if (loads || op.weights == WeightsMode::kStreamed)
      streams.push_back(program.streams[op.stream]);
  }
  return streams;
}

TEST_F(HostileFile, ShrinkingOrChangingWhileItRuns) {
  const std::vector<std::byte> whole = read_bytes(path_);
  const std::vector<StreamDesc> streams = streams_read_again(client_->program());
  ASSERT_GE(streams.size(), 2u);
  for (const StartOptions& platform : {kInproc, kProcessMaps, kProcessReads}) {
    for (int trial = 0; trial < 4; ++trial) {
      const std::chrono::microseconds delay(2000 + 1700 * trial);
      // One bit; then everything from there on.
      const uint64_t at = streams[streams.size() * static_cast<size_t>(trial) / 4].file_offset + 9;
      while_it_runs(*client_, path_, platform, expected_, delay, [&] { flip(at, 2); });
      write_bytes(path_, whole);
      while_it_runs(*client_, path_, platform, expected_, delay,
                    [&] { fs::resize_file(path_, at); });
      write_bytes(path_, whole);
    }
  }
}

TEST_F(HostileFile, AddedProgramsKeepTheModelAndOldManifestsDoNotMix) {
  const std::vector<std::byte> before = read_bytes(path_);
  const auto streams = sealed_streams(client_->info());
  ASSERT_TRUE(streams.ok());
  const auto plan = plan_program(client_->info().architecture, *streams,
                                 request_of(2 * kBudget, Strategy::kAuto, 2));
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  ASSERT_TRUE(add_program(path_, key_, client_->info().header.model_id, plan->program).ok());
  const auto added = HonestClient::open(path_, key_, 1);
  ASSERT_TRUE(added.ok()) << added.error().message();
  EXPECT_EQ((*added)->info().header.model_id, client_->info().header.model_id);
  EXPECT_TRUE(verify_sealed(path_, key_, {}).ok());
  for (const StartOptions& platform : {kInproc, kProcessMaps}) {
    const auto output = (*added)->run_all(path_, platform);
    ASSERT_TRUE(output.ok()) << output.error().message();
    EXPECT_TRUE(same_bits(*output, expected_));
  }
  // The header from before on the file of now, and the other way round.
  const std::vector<std::byte> now = read_bytes(path_);
  overwrite_at(path_, 0, std::span(before).first(sizeof(SealedHeader)));
  EXPECT_FALSE((*added)->run_all(path_, kInproc).ok());
  EXPECT_FALSE(run_as_owner(key_).ok());
  write_bytes(path_, before);
  overwrite_at(path_, 0, std::span(now).first(sizeof(SealedHeader)));
  EXPECT_FALSE(client_->run_all(path_, kInproc).ok());
  EXPECT_FALSE(run_as_owner(key_).ok());
}

}  // namespace
}  // namespace carrel::testing
