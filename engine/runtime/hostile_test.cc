// What a hostile host can try: every attempt ends with an error, and a failed authentication ends the session.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "engine/host/checked_host.h"
#include "engine/runtime/test_programs.h"
#include "engine/runtime/test_session.h"

namespace carrel::testing {
namespace {

ConvNetOptions spilling() {
  ConvNetOptions o;
  o.spill = true;
  return o;
}

// An engine behind a host that the test can make lie.
class LyingHost : public InprocHost, public TraceSink {
 public:
  std::function<void()> before_spill_in;  // once: spilled rows lie outside, the first is about to be fetched
  std::function<Result<uint64_t>(uint64_t, std::span<std::byte>)> on_read;
  std::function<std::span<const std::byte>(std::span<const std::byte>)> on_map;
  std::function<Result<uint64_t>(uint64_t)> on_size;
  std::function<std::span<std::byte>(std::span<std::byte>)> on_area;
  std::vector<Request> requests;  // answered one after another; then the channel is broken
  std::vector<Reply> replies;

  Result<uint64_t> read_model(uint64_t offset, std::span<std::byte> dst) override {
    return on_read ? on_read(offset, dst) : InprocHost::read_model(offset, dst);
  }
  std::span<const std::byte> model_map() override {
    return on_map ? on_map(InprocHost::model_map()) : InprocHost::model_map();
  }
  Result<uint64_t> model_bytes() override {
    const Result<uint64_t> bytes = InprocHost::model_bytes();
    return on_size ? on_size(*bytes) : bytes;
  }
  std::span<std::byte> shared_area() override {
    return on_area ? on_area(InprocHost::shared_area()) : InprocHost::shared_area();
  }
  Result<Request> receive() override {
    if (next_ == requests.size()) return Error(ErrorCode::kPlatform, "closed");
    return requests[next_++];
  }
  void record(const TraceEvent& event) override {
    if (event.kind == TraceKind::kSpillIn && before_spill_in) std::exchange(before_spill_in, nullptr)();
  }
  Status reply(const Reply& reply) override {
    replies.push_back(reply);
    return ok_status();
  }

 private:
  size_t next_ = 0;
};

class Hostile : public ::testing::TestWithParam<bool> {
 protected:
  explicit Hostile(const ConvNetOptions& options = spilling())
      : net_(make_conv_net(options)),
        blob_(net_.program.blob(1, isa_level(detect_cpu()))),
        view_(*parse_program(blob_)),
        model_(seal_model(net_.program, {blob_}, test_key(kModelKeyFill))),
        client_(test_key(kSessionKeyFill), detect_cpu()),
        inputs_{random_floats(net_.input_count, 3)} {
    EXPECT_TRUE(host_.allocate_shared(view_.header->store_bytes).ok());
  }
  Status open(SessionSecrets secrets = test_secrets()) {
    host_.use_memory(model_.file, GetParam());
    return Engine::open(&host_, {block_, 1, detect_cpu(), &host_}, &secrets, &engine_);
  }
  // A new engine in the place of one that is dead or was never opened.
  void reopen() {
    std::destroy_at(&engine_);
    std::construct_at(&engine_);
    ASSERT_TRUE(open().ok() && prepare().ok());
  }
  Request prepare_request() const {
    return {RequestKind::kPrepare, 0, {model_.program_offsets[0], model_.program_bytes[0], 0, 0}};
  }
  static Request run_request(uint64_t counter) { return {RequestKind::kRun, 0, {counter, 0, 0, 0}}; }
  Status prepare() { return engine_.prepare(prepare_request()); }
  Status seal(uint64_t counter) {
    return client_.seal_input(*boundary_tensor(view_, 0), counter, inputs_, host_.InprocHost::shared_area());
  }
  Status run(uint64_t counter) {
    CARREL_RETURN_IF_ERROR(seal(counter));
    return engine_.run(run_request(counter), &stats_);
  }
  Status open_output(uint64_t counter) {
    std::vector<float> values(net_.output_count);
    return client_.open_output(*boundary_tensor(view_, 1), counter, host_.InprocHost::shared_area(), values);
  }
  // The whole of it; the first error.
  Status all() {
    CARREL_RETURN_IF_ERROR(open());
    CARREL_RETURN_IF_ERROR(prepare());
    CARREL_RETURN_IF_ERROR(run(1));
    return open_output(1);
  }
  void expect_wiped() const {
    for (std::byte b : block_) {
      if (b != std::byte{0}) {
        ADD_FAILURE() << "the block still holds data";
        return;
      }
    }
  }
  void expect_dead() {
    expect_wiped();
    EXPECT_FALSE(prepare().ok());
    EXPECT_FALSE(run(99).ok());
  }
  const StoreDesc& store() const { return net_.program.stores[2]; }
  std::byte* spilled(uint32_t block) { return host_.InprocHost::shared_area().data() + block_offset(store(), block); }
  uint64_t tile_offset() const { return net_.program.streams[0].file_offset; }

  ConvNet net_;
  std::vector<std::byte> blob_;
  ProgramView view_;
  TestModel model_;
  SessionBoundary client_;
  std::vector<float> inputs_;
  struct Block {
    explicit Block(uint64_t bytes) : memory(map_memory(bytes)) {}
    ~Block() { unmap_memory(memory); }
    std::span<std::byte> memory;
  } memory_{view_.header->planned_peak_bytes};
  std::span<std::byte> block_ = memory_.memory;
  LyingHost host_;
  Engine engine_;
  RunStats stats_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Hostile, ::testing::Values(true, false),
                         [](const auto& way) { return way.param ? "Mapped" : "Read"; });

ErrorCode code_of(const Status& status) {
  EXPECT_FALSE(status.ok());
  return status.ok() ? ErrorCode::kCancelled : status.error().code();
}

TEST_P(Hostile, HonestHostWorks) {
  const Status status = all();
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message());
}

TEST_P(Hostile, AnyFlippedBitOfTheHeader) {
  for (size_t i = 0; i < sizeof(SealedHeader); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      model_.file[i] ^= std::byte{1} << bit;
      const ErrorCode code = code_of(open());
      EXPECT_TRUE(code == ErrorCode::kAuthentication || (i < sizeof(kSealedMagic) && code == ErrorCode::kInvalidInput)) << i;
      model_.file[i] ^= std::byte{1} << bit;
    }
  }
}

TEST_P(Hostile, FlippedBitOfATile) {
  ASSERT_TRUE(open().ok() && prepare().ok());
  model_.file[tile_offset()] ^= std::byte{1};
  EXPECT_EQ(code_of(run(1)), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, FlippedBitOfATag) {
  ASSERT_TRUE(open().ok() && prepare().ok());
  const TileGrid grid = *make_tile_grid(net_.program.streams[0].shape);
  model_.file[tile_offset() + grid.max_stored_bytes + 15] ^= std::byte{1};
  EXPECT_EQ(code_of(run(1)), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, SwappedTiles) {
  ASSERT_TRUE(open().ok() && prepare().ok());
  const TileGrid grid = *make_tile_grid(net_.program.streams[0].shape);
  ASSERT_GE(grid.tile_count, 2u);
  const uint32_t bytes = grid.max_stored_bytes + kTagBytes;
  std::byte* first = model_.file.data() + tile_offset();
  std::swap_ranges(first, first + bytes, first + bytes);
  EXPECT_EQ(code_of(run(1)), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, TilesOfAnotherSealing) {
  const TestModel other = seal_model(net_.program, {blob_}, test_key(kModelKeyFill), 9);
  ASSERT_TRUE(open().ok() && prepare().ok());
  std::copy(other.file.begin() + kTilesOffset, other.file.begin() + static_cast<std::ptrdiff_t>(net_.program.tiles_end),
            model_.file.begin() + kTilesOffset);
  EXPECT_EQ(code_of(run(1)), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, FlippedBitOfTheProgram) {
  ASSERT_TRUE(open().ok());
  model_.file[model_.program_offsets[0] + 200] ^= std::byte{1};
  EXPECT_EQ(code_of(prepare()), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, ProgramNamedByAnotherIndexOrLength) {
  ASSERT_TRUE(open().ok());
  Request request = prepare_request();
  request.args[1] -= 8;
  EXPECT_EQ(code_of(engine_.prepare(request)), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, ImpossibleProgramPlaces) {
  const uint64_t wild[] = {0, 1, 95, UINT32_MAX, uint64_t{1} << 40, ~uint64_t{0} - 20, ~uint64_t{0}};
  for (uint64_t offset : wild) {
    for (uint64_t bytes : wild) {
      for (uint64_t index : {uint64_t{0}, kSessionProgram}) {
        LyingHost host;
        Engine engine;
        SessionSecrets secrets = test_secrets();
        host.use_memory(model_.file, GetParam());
        ASSERT_TRUE(Engine::open(&host, {block_, 1, detect_cpu(), nullptr}, &secrets, &engine).ok());
        EXPECT_FALSE(engine.prepare({RequestKind::kPrepare, 0, {offset, bytes, index, 0}}).ok());
      }
    }
  }
}

TEST_P(Hostile, SpilledBlockChangedWhileAway) {
  const size_t block_bytes = store().block_bytes;
  for (size_t bit : {size_t{0}, 8 * block_bytes - 1, 8 * (block_bytes + kTagBytes) - 1}) {
    SCOPED_TRACE(bit);
    reopen();
    host_.before_spill_in = [&] { spilled(0)[bit / 8] ^= std::byte{1} << bit % 8; };
    EXPECT_EQ(code_of(run(1)), ErrorCode::kAuthentication);
    expect_dead();
  }
}

TEST_P(Hostile, ReplayedSpilledBlock) {
  ASSERT_TRUE(open().ok() && prepare().ok());
  ASSERT_TRUE(run(1).ok());
  const std::vector<std::byte> old(spilled(0), spilled(1));
  host_.before_spill_in = [&] { std::copy(old.begin(), old.end(), spilled(0)); };
  EXPECT_EQ(code_of(run(2)), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, SwappedSpilledRows) {
  ASSERT_TRUE(open().ok() && prepare().ok());
  host_.before_spill_in = [&] { std::swap_ranges(spilled(0), spilled(1), spilled(1)); };
  EXPECT_EQ(code_of(run(1)), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, InputOfAnotherImage) {
  ASSERT_TRUE(open().ok() && prepare().ok());
  ASSERT_TRUE(run(1).ok());
  EXPECT_EQ(code_of(engine_.run(run_request(2), &stats_)), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, ChangedOutputIsSeenByTheClient) {
  ASSERT_TRUE(open().ok() && prepare().ok() && run(1).ok());
  std::byte* output = host_.InprocHost::shared_area().data() + net_.program.stores[1].offset;
  EXPECT_TRUE(open_output(1).ok());
  EXPECT_EQ(code_of(open_output(2)), ErrorCode::kAuthentication);
  output[5] ^= std::byte{1};
  EXPECT_EQ(code_of(open_output(1)), ErrorCode::kAuthentication);
}

TEST_P(Hostile, TruncatedModel) {
  const std::vector<std::byte> whole = model_.file;
  for (size_t bytes : {size_t{0}, size_t{255}, size_t{256}, size_t{4096}, size_t{tile_offset() + 100}, whole.size() - 1}) {
    model_.file.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
    const ErrorCode code = code_of(all());
    EXPECT_TRUE(code == ErrorCode::kAuthentication || (bytes < 256 && code == ErrorCode::kInvalidInput)) << bytes;
  }
}

TEST_P(Hostile, ModelThatShrinksWhileRunning) {
  if (GetParam()) GTEST_SKIP() << "a map cannot shrink";
  ASSERT_TRUE(open().ok() && prepare().ok());
  model_.file.resize(tile_offset() + 64);
  host_.use_memory(model_.file, false);
  EXPECT_EQ(code_of(run(1)), ErrorCode::kAuthentication);
  expect_dead();
}

TEST_P(Hostile, ShortReadsAreContinued) {
  host_.on_read = [&](uint64_t offset, std::span<std::byte> dst) {
    return host_.InprocHost::read_model(offset, dst.first(std::min<size_t>(dst.size(), 333)));
  };
  EXPECT_TRUE(all().ok());
}

TEST_P(Hostile, ReadsThatClaimTooMuch) {
  if (GetParam()) GTEST_SKIP() << "nothing is read";
  for (uint64_t claimed : {uint64_t{1} << 20, ~uint64_t{0}}) {
    host_.on_read = [&](uint64_t, std::span<std::byte>) { return Result<uint64_t>(claimed); };
    EXPECT_EQ(code_of(open()), ErrorCode::kPlatform);
  }
}

TEST_P(Hostile, ErrorsCannotImitateAuthentication) {
  if (GetParam()) GTEST_SKIP() << "nothing is read";
  ASSERT_TRUE(open().ok() && prepare().ok());
  host_.on_read = [](uint64_t, std::span<std::byte>) -> Result<uint64_t> {
    return Error(ErrorCode::kAuthentication, "go away");
  };
  EXPECT_EQ(code_of(run(1)), ErrorCode::kPlatform);
  host_.on_read = nullptr;
  EXPECT_TRUE(run(2).ok());
}

TEST_P(Hostile, RangesInsideTheEngine) {
  host_.on_map = [&](std::span<const std::byte>) -> std::span<const std::byte> {
    return {block_.data() + 64, model_.file.size()};
  };
  EXPECT_EQ(code_of(open()), ErrorCode::kPlatform);
  host_.on_map = nullptr;
  Engine fresh;
  SessionSecrets secrets = test_secrets();
  ASSERT_TRUE(Engine::open(&host_, {block_, 1, detect_cpu(), nullptr}, &secrets, &fresh).ok());
  host_.on_area = [&](std::span<std::byte>) { return block_; };
  EXPECT_EQ(code_of(fresh.prepare(prepare_request())), ErrorCode::kPlatform);
  host_.on_area = [&](std::span<std::byte> area) { return area.subspan(1); };
  EXPECT_EQ(code_of(fresh.prepare(prepare_request())), ErrorCode::kPlatform);
  host_.on_area = [&](std::span<std::byte> area) { return area.first(area.size() - 64); };
  EXPECT_EQ(code_of(fresh.prepare(prepare_request())), ErrorCode::kPlatform);
}

TEST_P(Hostile, SharedAreaThatMovesIsNotAskedAgain) {
  ASSERT_TRUE(open().ok() && prepare().ok());
  host_.on_area = [&](std::span<std::byte>) { return block_; };
  ASSERT_TRUE(run(1).ok());
  EXPECT_TRUE(open_output(1).ok());
}

TEST_P(Hostile, SizeAndMapMustAgree) {
  host_.on_size = [](uint64_t bytes) { return Result<uint64_t>(bytes + 1); };
  EXPECT_FALSE(all().ok());
}

TEST_P(Hostile, WrongKeyIsToldFromAChangedFile) {
  EXPECT_EQ(code_of(open(test_secrets(0x77))), ErrorCode::kWrongKey);
}

TEST_P(Hostile, WrongExpectedModel) {
  SessionSecrets secrets = test_secrets();
  secrets.pin_model = 1;
  secrets.expected_model = model_.id;
  secrets.expected_model.bytes[3] ^= 1;
  EXPECT_EQ(code_of(open(secrets)), ErrorCode::kAuthentication);
  secrets.expected_model = model_.id;
  EXPECT_TRUE(open(secrets).ok());
}

TEST_P(Hostile, CountersNeverRepeat) {
  ASSERT_TRUE(open().ok() && prepare().ok());
  ASSERT_TRUE(run(5).ok());
  EXPECT_EQ(code_of(run(5)), ErrorCode::kInvalidInput);
  EXPECT_EQ(code_of(run(4)), ErrorCode::kInvalidInput);
  EXPECT_TRUE(run(6).ok());
  EXPECT_TRUE(open_output(6).ok());
}

TEST_P(Hostile, OrderOfRequests) {
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(code_of(run(1)), ErrorCode::kInvalidInput);
  ASSERT_TRUE(prepare().ok());
  EXPECT_EQ(code_of(prepare()), ErrorCode::kInvalidInput);
  EXPECT_TRUE(run(1).ok());
}

TEST_P(Hostile, BudgetBelowThePlan) {
  block_ = block_.first(view_.header->planned_peak_bytes - runtime_reserve_bytes(1) - 64);
  ASSERT_TRUE(open().ok());
  const Status status = prepare();
  EXPECT_EQ(code_of(status), ErrorCode::kBudgetTooSmall);
  EXPECT_EQ(status.error().detail(), view_.header->planned_peak_bytes);
  expect_wiped();
}

TEST_P(Hostile, SecretsAreWipedByOpen) {
  SessionSecrets secrets = test_secrets();
  host_.use_memory(model_.file, GetParam());
  ASSERT_TRUE(Engine::open(&host_, {block_, 1, detect_cpu(), nullptr}, &secrets, &engine_).ok());
  const SessionSecrets zero{};
  EXPECT_EQ(std::memcmp(&secrets, &zero, sizeof(zero)), 0);
}

TEST_P(Hostile, ServeAnswersUntilTheChannelBreaks) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(seal(1).ok());
  host_.requests = {run_request(1), prepare_request(), run_request(1), run_request(1), run_request(2), run_request(3),
                    {RequestKind::kClose, 0, {}}, run_request(4)};
  serve(&engine_);
  // Too early, prepared, done, counter used, input of another image, dead, closed: nothing after that.
  const uint32_t expected[] = {0, 1, 1, 0, 0, 0, 1};
  ASSERT_EQ(host_.replies.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) EXPECT_EQ(host_.replies[i].ok, expected[i]) << i;
  EXPECT_EQ(host_.replies[2].stats.peak_trusted_bytes, view_.header->planned_peak_bytes);
  EXPECT_EQ(static_cast<ErrorCode>(host_.replies[4].error_code), ErrorCode::kAuthentication);
  // A reply is its text and zeros: nothing of the trusted stack.
  for (const Reply& reply : host_.replies) {
    const char* end = reply.message + sizeof(reply.message);
    EXPECT_TRUE(std::all_of(reply.message + strnlen(reply.message, sizeof(reply.message)), end, [](char c) { return c == 0; }));
  }
  expect_wiped();
}

TEST_P(Hostile, ServeRefusesUnknownRequests) {
  ASSERT_TRUE(open().ok());
  host_.requests = {{static_cast<RequestKind>(77), 0, {}}, prepare_request()};
  serve(&engine_);
  EXPECT_TRUE(host_.replies.empty());
}

}  // namespace
}  // namespace carrel::testing
