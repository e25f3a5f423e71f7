#include "platform/epcsim/epc.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "platform/epcsim/test_userfaultfd.h"

namespace carrel {
namespace {

constexpr uint64_t kPage = kEpcPageBytes;

#define OPEN_OR_SKIP(epc, ...)                                          \
  SKIP_WITHOUT_USERFAULTFD();                                           \
  Result<std::unique_ptr<Epc>> epc##_result = Epc::open({__VA_ARGS__}); \
  ASSERT_TRUE(epc##_result.ok()) << epc##_result.error().message(); \
  const std::unique_ptr<Epc>& epc = *epc##_result

volatile uint64_t* word(const Epc& epc, uint64_t page, uint64_t index = 0) {
  return reinterpret_cast<volatile uint64_t*>(epc.memory().data() + page * kPage) + index;
}

void add(volatile uint64_t* place, uint64_t value) { *place = *place + value; }

// The kernel's own count.
uint64_t resident_pages(std::span<std::byte> memory) {
  std::vector<unsigned char> there(memory.size() / kPage);
  EXPECT_EQ(mincore(memory.data(), memory.size(), there.data()), 0);
  return static_cast<uint64_t>(std::count_if(there.begin(), there.end(), [](unsigned char c) { return (c & 1) != 0; }));
}

TEST(Epc, FreshMemoryIsZeroAndKeepsWhatWasWritten) {
  OPEN_OR_SKIP(epc, 64 * kPage, 8, detect_cpu());
  std::mt19937_64 random(1);
  std::vector<uint64_t> expected(64 * kPage / sizeof(uint64_t));
  for (int i = 0; i < 20000; ++i) {
    const size_t at = random() % expected.size();
    volatile uint64_t* place = word(*epc, 0, at);
    ASSERT_EQ(*place, expected[at]);
    *place = expected[at] = random();
  }
  EXPECT_EQ(std::memcmp(epc->memory().data(), expected.data(), 64 * kPage), 0);
  const EpcCounters counters = epc->counters();
  EXPECT_EQ(counters.touches, 64u);
  EXPECT_GT(counters.loads, 10000u);
  EXPECT_EQ(counters.faults() - counters.evictions, resident_pages(epc->memory()));
}

// Large enough that pages leave in batches.
TEST(Epc, ManyPagesLeaveTogether) {
  constexpr uint64_t kPages = 1000;
  OPEN_OR_SKIP(epc, kPages * kPage, 300, detect_cpu());
  for (uint64_t round = 0; round < 5; ++round) {
    for (uint64_t page = 0; page < kPages; ++page) {
      ASSERT_EQ(*word(*epc, page, page % 512), round * page);
      add(word(*epc, page, page % 512), page);
    }
  }
  EXPECT_LE(resident_pages(epc->memory()), 300u);
}

// After every access: the kernel does not count all pages at one moment while others move.
TEST(Epc, ResidentPagesNeverExceedTheCapInTheKernelsView) {
  OPEN_OR_SKIP(epc, 256 * kPage, 40, detect_cpu());
  std::mt19937_64 random(2);
  uint64_t most = 0;
  for (int i = 0; i < 5000; ++i) {
    *word(*epc, random() % 256) = 1;
    most = std::max(most, resident_pages(epc->memory()));
  }
  EXPECT_EQ(most, 40u);
  EXPECT_EQ(epc->counters().most_resident, 40u);
}

TEST(Epc, PagesThatFitNeverFaultAgain) {
  OPEN_OR_SKIP(epc, 32 * kPage, 32, detect_cpu());
  for (int round = 0; round < 3; ++round) {
    for (uint64_t page = 0; page < 32; ++page) add(word(*epc, page), page);
  }
  EXPECT_EQ(epc->counters().touches, 32u);
  EXPECT_EQ(epc->counters().loads + epc->counters().evictions, 0u);
}

// Each thread has a word of its own on every page: an update that an eviction swallowed would show.
TEST(Epc, TwoThreadsOnTheSamePagesLoseNothing) {
  constexpr uint64_t kPages = 24, kRounds = 20000;
  OPEN_OR_SKIP(epc, kPages * kPage, 12, detect_cpu());
  uint64_t counts[2][kPages] = {};
  const auto work = [&](uint64_t thread) {
    std::mt19937_64 random(thread);
    for (uint64_t i = 0; i < kRounds; ++i) {
      const uint64_t page = random() % kPages;
      add(word(*epc, page, 8 * thread), 1);
      ++counts[thread][page];
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  for (uint64_t thread = 0; thread < 2; ++thread) {
    for (uint64_t page = 0; page < kPages; ++page) EXPECT_EQ(*word(*epc, page, 8 * thread), counts[thread][page]);
  }
}

TEST(Epc, TraceShowsEveryFaultAndEviction) {
  EpcTrace trace(16);
  OPEN_OR_SKIP(epc, 8 * kPage, 4, detect_cpu(), &trace);
  trace.set_step(7);
  for (uint64_t page = 0; page < 5; ++page) *word(*epc, page) = page;
  EXPECT_EQ(*word(*epc, 0), 0u);
  using enum EpcEventKind;
  const std::vector<EpcEvent> expected = {{7, 0, kTouch}, {7, 1, kTouch}, {7, 2, kTouch}, {7, 3, kTouch}, {7, 0, kEvict},
                                          {7, 4, kTouch}, {7, 1, kEvict}, {7, 0, kLoad}};
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), trace.events().begin(), trace.events().end()));
  for (uint64_t i = 0; i < 40; ++i) add(word(*epc, i % 8), 1);
  EXPECT_EQ(trace.events().size(), 16u);
  EXPECT_GT(trace.dropped(), 0u);
}

TEST(Epc, TooFewPagesAreRefused) {
  const Result<std::unique_ptr<Epc>> epc = Epc::open({8 * kPage, 3, detect_cpu()});
  ASSERT_FALSE(epc.ok());
  EXPECT_EQ(epc.error().code(), ErrorCode::kBudgetTooSmall);
  EXPECT_EQ(epc.error().detail(), kLeastResidentPages * kPage);
  const Result<std::unique_ptr<Epc>> two = Epc::open({64 * kPage, 7, detect_cpu(), nullptr, 2});
  ASSERT_FALSE(two.ok());
  EXPECT_EQ(two.error().detail(), 2 * kLeastResidentPages * kPage);
}

// The hostile host. Each test makes its region in the process that is to die: a fork has its faults no more.
class EpcDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_USERFAULTFD(); }
  // Pages 0 to 7 written, the first four evicted, then `attack`, then all read.
  template <class Attack>
  static void run(Attack attack) {
    const std::unique_ptr<Epc> epc = Epc::open({8 * kPage, 4, detect_cpu()}).value();
    for (uint64_t page = 0; page < 8; ++page) *word(*epc, page) = page + 1;
    attack(*epc);
    for (uint64_t page = 0; page < 8; ++page) {
      if (*word(*epc, page) != page + 1) _exit(3);
    }
    _exit(0);
  }
};

TEST_F(EpcDeathTest, UntouchedPagesComeBack) {
  EXPECT_EXIT(run([](Epc&) {}), ::testing::ExitedWithCode(0), "");
}

TEST_F(EpcDeathTest, AChangedPageIsCaught) {
  EXPECT_EXIT(run([](Epc& epc) { epc.stored_page(1)[100] ^= std::byte{1}; }), ::testing::ExitedWithCode(1),
              "page 1 was changed");
}

TEST_F(EpcDeathTest, AChangedTagIsCaught) {
  EXPECT_EXIT(run([](Epc& epc) { epc.stored_tag(2)[15] ^= std::byte{128}; }), ::testing::ExitedWithCode(1),
              "page 2 was changed");
}

TEST_F(EpcDeathTest, SwappedPagesAreCaught) {
  const auto swap = [](Epc& epc) {
    std::swap_ranges(epc.stored_page(0).begin(), epc.stored_page(0).end(), epc.stored_page(3).begin());
    std::swap_ranges(epc.stored_tag(0).begin(), epc.stored_tag(0).end(), epc.stored_tag(3).begin());
  };
  EXPECT_EXIT(run(swap), ::testing::ExitedWithCode(1), "page 0 was changed");
}

// Authentic once, but not the newest: the page has been in, changed, and out again since.
TEST_F(EpcDeathTest, AnOlderVersionIsCaught) {
  const auto replay = [](Epc& epc) {
    std::vector<std::byte> page(epc.stored_page(0).begin(), epc.stored_page(0).end());
    std::vector<std::byte> tag(epc.stored_tag(0).begin(), epc.stored_tag(0).end());
    *word(epc, 0) = 99;
    for (uint64_t other = 1; other < 8; ++other) *word(epc, other) = other + 1;
    if (epc.resident(0)) _exit(4);
    std::copy(page.begin(), page.end(), epc.stored_page(0).begin());
    std::copy(tag.begin(), tag.end(), epc.stored_tag(0).begin());
  };
  EXPECT_EXIT(run(replay), ::testing::ExitedWithCode(1), "page 0 was changed");
}

}  // namespace
}  // namespace carrel
