// What the wrapper lets through and what it refuses, reply by reply.
#include "engine/host/checked_host.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

namespace carrel {
namespace {

constexpr uint64_t kModelBytes = 1000;

// Answers as it is told; counts the calls.
class TestHost final : public Host {
 public:
  std::function<Result<uint64_t>(uint64_t, std::span<std::byte>)> on_read;
  Result<uint64_t> size = uint64_t{kModelBytes};
  std::span<const std::byte> map;
  std::span<std::byte> area;
  Status grown = ok_status(), replied = ok_status();
  Result<Request> request = Request{RequestKind::kRun, 0, {7, 8, 9, 10}};
  uint64_t asked_bytes = 0, calls = 0, woken = 0, waits = 0;

  Result<uint64_t> read_model(uint64_t offset, std::span<std::byte> dst) override {
    ++calls;
    return on_read(offset, dst);
  }
  Result<uint64_t> model_bytes() override { return ++calls, size; }
  std::span<const std::byte> model_map() override { return ++calls, map; }
  std::span<std::byte> shared_area() override { return ++calls, area; }
  Status grow_shared_area(uint64_t bytes) override {
    ++calls;
    asked_bytes = bytes;
    return grown;
  }
  Result<Request> receive() override { return ++calls, request; }
  Status reply(const Reply&) override { return ++calls, replied; }
  uint64_t nanoseconds() override { return ++calls; }
  void wait(const uint32_t*, uint32_t) override { ++waits; }
  void wake_all(const uint32_t*) override { ++woken; }
};

class Checked : public ::testing::Test {
 protected:
  // One piece of memory: [before][trusted][after], so that ranges can touch and straddle.
  static constexpr uint64_t kPart = 4096;
  Checked() : trusted_(std::span(memory_.bytes).subspan(kPart, kPart)) {}
  Status attach() { return checked_.attach(&host_, trusted_); }
  std::byte* trusted_begin() { return trusted_.data(); }
  std::byte* trusted_end() { return trusted_.data() + kPart; }
  std::span<std::byte> before() { return {trusted_begin() - kPart, kPart}; }
  std::span<std::byte> after() { return {trusted_end(), kPart}; }

  struct alignas(64) Memory {
    std::byte bytes[3 * kPart] = {};
  } memory_;
  std::span<std::byte> trusted_;
  TestHost host_;
  CheckedHost checked_;
};

template <typename T>
ErrorCode code_of(const Result<T>& result) {
  EXPECT_FALSE(result.ok());
  return result.ok() ? ErrorCode::kInvalidInput : result.error().code();
}

// Every code there is, and some that are not.
constexpr uint8_t kCodesTried = 12;
ErrorCode let_through(ErrorCode code) {
  const bool allowed =
      code == ErrorCode::kIo || code == ErrorCode::kPlatform || code == ErrorCode::kCancelled;
  return allowed ? code : ErrorCode::kPlatform;
}

TEST_F(Checked, ErrorsOfTheHostCannotImitateTheEngines) {
  ASSERT_TRUE(attach().ok());
  std::byte buffer[8];
  for (uint8_t i = 0; i < kCodesTried; ++i) {
    const ErrorCode code = static_cast<ErrorCode>(i), expected = let_through(code);
    const Error error = Error(code, "%s", "no %s%n").with_detail(5);
    host_.size = error;
    EXPECT_EQ(code_of(attach()), expected);
    host_.size = kModelBytes;
    host_.on_read = [&](uint64_t, std::span<std::byte>) -> Result<uint64_t> { return error; };
    EXPECT_EQ(code_of(checked_.read_model_exact(0, buffer)), expected);
    host_.grown = host_.replied = error;
    host_.request = error;
    EXPECT_EQ(code_of(checked_.fix_shared_area(64)), expected);
    EXPECT_EQ(code_of(checked_.reply(Reply())), expected);
    const Result<Request> request = checked_.receive();
    EXPECT_EQ(code_of(request), expected);
    EXPECT_STREQ(request.error().message(), "no %s%n");
    EXPECT_EQ(request.error().detail(), 0u) << "a detail is the engine's word";
  }
}

TEST_F(Checked, LongMessagesAreCut) {
  ASSERT_TRUE(attach().ok());
  const std::string text(1000, 'x');
  host_.request = Error(ErrorCode::kIo, "%s", text.c_str());
  const Result<Request> request = checked_.receive();
  ASSERT_FALSE(request.ok());
  EXPECT_EQ(std::strlen(request.error().message()), Error::kMessageBytes - 1);
}

TEST_F(Checked, MapsThatAreNotOutside) {
  // Begins inside, ends inside, encloses, lies within, ends one byte in, begins at the last byte.
  const std::span<const std::byte> wrong[] = {
      {trusted_begin() + 100, kPart},
      {trusted_begin() - 100, 200},
      {memory_.bytes, sizeof(memory_.bytes)},
      {trusted_begin() + 10, 20},
      {trusted_begin() - 10, 11},
      {trusted_end() - 1, 10},
  };
  for (const auto& map : wrong) {
    host_.map = map;
    host_.size = uint64_t{map.size()};
    EXPECT_EQ(code_of(attach()), ErrorCode::kPlatform);
  }
  // Up to either edge of the engine's block.
  for (std::span<const std::byte> map :
       {std::span<const std::byte>(before()), std::span<const std::byte>(after())}) {
    host_.map = map;
    host_.size = uint64_t{map.size()};
    EXPECT_TRUE(attach().ok());
    EXPECT_EQ(checked_.model_map().data(), map.data());
    EXPECT_EQ(checked_.model_bytes(), map.size());
  }
}

TEST_F(Checked, MapsThatCannotBe) {
  host_.map = {static_cast<const std::byte*>(nullptr), 10};
  host_.size = uint64_t{10};
  EXPECT_EQ(code_of(attach()), ErrorCode::kPlatform);
  host_.map = {reinterpret_cast<const std::byte*>(~uintptr_t{3}), 10};  // wraps
  EXPECT_EQ(code_of(attach()), ErrorCode::kPlatform);
}

TEST_F(Checked, MapAndSizeMustAgree) {
  host_.map = before();
  for (uint64_t size : {uint64_t{0}, kPart - 1, kPart + 1, ~uint64_t{0}}) {
    host_.size = size;
    EXPECT_EQ(code_of(attach()), ErrorCode::kPlatform) << size;
  }
}

TEST_F(Checked, SizeAndMapAreAskedOnce) {
  host_.map = before();
  host_.size = kPart;
  ASSERT_TRUE(attach().ok());
  const uint64_t calls = host_.calls;
  host_.map = trusted_;
  host_.size = uint64_t{1};
  EXPECT_EQ(checked_.model_map().data(), before().data());
  EXPECT_EQ(checked_.model_bytes(), kPart);
  EXPECT_EQ(host_.calls, calls);
}

TEST_F(Checked, ReadsStayInsideTheModel) {
  ASSERT_TRUE(attach().ok());
  std::byte buffer[16];
  host_.on_read = [](uint64_t, std::span<std::byte> dst) { return Result<uint64_t>(dst.size()); };
  const uint64_t calls = host_.calls;
  for (uint64_t offset :
       {kModelBytes - 15, kModelBytes, kModelBytes + 1, ~uint64_t{0} - 15, ~uint64_t{0}}) {
    EXPECT_EQ(code_of(checked_.read_model_exact(offset, buffer)), ErrorCode::kAuthentication)
        << offset;
  }
  EXPECT_EQ(host_.calls, calls) << "nothing to ask for";
  EXPECT_TRUE(checked_.read_model_exact(kModelBytes - 16, buffer).ok());
  EXPECT_TRUE(checked_.read_model_exact(kModelBytes, {}).ok());
}

TEST_F(Checked, ShortReadsAreContinuedWhereTheyEnded) {
  ASSERT_TRUE(attach().ok());
  std::vector<uint64_t> offsets;
  host_.on_read = [&](uint64_t offset, std::span<std::byte> dst) -> Result<uint64_t> {
    offsets.push_back(offset);
    const uint64_t count = std::min<uint64_t>(dst.size(), 3);
    for (uint64_t i = 0; i < count; ++i) dst[i] = std::byte(offset + i);
    return count;
  };
  std::byte buffer[8];
  ASSERT_TRUE(checked_.read_model_exact(100, buffer).ok());
  EXPECT_EQ(offsets, (std::vector<uint64_t>{100, 103, 106}));
  for (uint64_t i = 0; i < 8; ++i) EXPECT_EQ(buffer[i], std::byte(100 + i));
}

TEST_F(Checked, ReadsThatClaimTooMuchOrNothing) {
  ASSERT_TRUE(attach().ok());
  std::byte buffer[8];
  for (uint64_t claimed : {uint64_t{9}, uint64_t{1} << 32, ~uint64_t{0}}) {
    host_.on_read = [&](uint64_t, std::span<std::byte>) { return Result<uint64_t>(claimed); };
    EXPECT_EQ(code_of(checked_.read_model_exact(0, buffer)), ErrorCode::kPlatform) << claimed;
  }
  // After a part: too much is judged by what is left.
  host_.on_read = [&](uint64_t offset, std::span<std::byte>) {
    return Result<uint64_t>(offset == 0 ? 5 : 4);
  };
  EXPECT_EQ(code_of(checked_.read_model_exact(0, buffer)), ErrorCode::kPlatform);
  host_.on_read = [&](uint64_t offset, std::span<std::byte>) {
    return Result<uint64_t>(offset == 0 ? 5 : 0);
  };
  EXPECT_EQ(code_of(checked_.read_model_exact(0, buffer)), ErrorCode::kAuthentication);
}

TEST_F(Checked, SharedAreaIsFixedOnce) {
  ASSERT_TRUE(attach().ok());
  host_.area = after();
  ASSERT_TRUE(checked_.fix_shared_area(1000).ok());
  EXPECT_EQ(host_.asked_bytes, 1000u);
  EXPECT_EQ(checked_.shared_area().data(), after().data());
  host_.area = trusted_;
  EXPECT_EQ(checked_.shared_area().data(), after().data());
  // A refused one is not kept.
  EXPECT_EQ(code_of(checked_.fix_shared_area(1000)), ErrorCode::kPlatform);
  EXPECT_EQ(checked_.shared_area().data(), after().data());
}

TEST_F(Checked, SharedAreasThatWillNotDo) {
  ASSERT_TRUE(attach().ok());
  const std::span<std::byte> wrong[] = {
      after().first(999),            // too small
      after().subspan(1),            // misaligned
      after().subspan(32),           // misaligned
      trusted_,                      // the engine's own
      {trusted_begin() - 64, 1000},  // ends in it
      {trusted_end() - 64, 1000},    // begins in it
      {static_cast<std::byte*>(nullptr), 1000},
      {reinterpret_cast<std::byte*>(~uintptr_t{63}), 1000},  // wraps
  };
  for (const auto& area : wrong) {
    host_.area = area;
    EXPECT_EQ(code_of(checked_.fix_shared_area(1000)), ErrorCode::kPlatform);
    EXPECT_EQ(code_of(checked_.shared_area_now(1000)), ErrorCode::kPlatform);
    EXPECT_TRUE(checked_.shared_area().empty());
  }
}

TEST_F(Checked, NoSharedAreaWhereNoneIsNeeded) {
  ASSERT_TRUE(attach().ok());
  EXPECT_TRUE(checked_.fix_shared_area(0).ok());
  EXPECT_TRUE(checked_.shared_area().empty());
  EXPECT_EQ(code_of(checked_.shared_area_now(1)), ErrorCode::kPlatform);
}

TEST_F(Checked, OnlyKnownRequests) {
  ASSERT_TRUE(attach().ok());
  for (uint32_t kind : {1u, 2u, 3u}) {
    host_.request = Request{static_cast<RequestKind>(kind), 0, {7, 8, 9, 10}};
    const Result<Request> request = checked_.receive();
    ASSERT_TRUE(request.ok()) << kind;
    EXPECT_EQ(static_cast<uint32_t>(request->kind), kind);
    EXPECT_EQ(request->args[3], 10u);
  }
  for (uint32_t kind : {0u, 4u, 255u, 0x100u, 0x80000001u, ~0u}) {
    host_.request = Request{static_cast<RequestKind>(kind), 0, {}};
    EXPECT_EQ(code_of(checked_.receive()), ErrorCode::kPlatform) << kind;
  }
}

TEST_F(Checked, CrossingsAreTheCallsThatDoNotDependOnTiming) {
  ASSERT_TRUE(attach().ok());
  host_.area = after();
  host_.on_read = [](uint64_t, std::span<std::byte> dst) { return Result<uint64_t>(dst.size()); };
  std::byte buffer[8];
  ASSERT_TRUE(checked_.read_model_exact(0, buffer).ok());
  ASSERT_TRUE(checked_.fix_shared_area(64).ok());
  ASSERT_TRUE(checked_.receive().ok());
  ASSERT_TRUE(checked_.reply(Reply()).ok());
  EXPECT_GT(checked_.nanoseconds(), 0u);
  EXPECT_EQ(checked_.crossings(), host_.calls);
  const uint32_t word = 0;
  checked_.wait(&word, 0);
  checked_.wake_all(&word);
  EXPECT_EQ(checked_.crossings(), host_.calls);
  EXPECT_EQ(host_.waits, 1u);
  EXPECT_EQ(host_.woken, 1u);
}

}  // namespace
}  // namespace carrel
