// What Gcm does to memory that another party can change: every load and store that touches a
// watched region is caught, one instruction at a time, and the other party changes bytes right
// after they were read. The region is inaccessible; a fault opens it for a single step of the
// processor (trap flag) and closes it again. So the test sees exactly the accesses of the compiled
// code.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "engine/crypto/gcm.h"

namespace carrel {
namespace {

using Bytes = std::vector<std::byte>;

constexpr size_t kRegionBytes = 16384;
constexpr size_t kTagOffset = kRegionBytes - 64;
constexpr size_t kMaxAccesses = 4096;
constexpr greg_t kTrapFlag = 0x100;
constexpr greg_t kWriteFault = 2;  // in the page fault's error code

struct Access {
  size_t offset;
  bool write;
};

// Signal handlers need it in one known place.
struct Watch {
  std::byte* region = nullptr;
  Access accesses[kMaxAccesses];
  size_t count = 0;
  size_t change_from = 0;  // index of the access after which changes begin
  void (*change)(const Access& access) = nullptr;
} g_watch;

void on_fault(int, siginfo_t* info, void* context) {
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto* address = static_cast<const std::byte*>(info->si_addr);
  if (address < g_watch.region || address >= g_watch.region + kRegionBytes ||
      g_watch.count == kMaxAccesses) {
    signal(SIGSEGV, SIG_DFL);
    return;
  }
  g_watch.accesses[g_watch.count++] = {static_cast<size_t>(address - g_watch.region),
                                       (registers[REG_ERR] & kWriteFault) != 0};
  mprotect(g_watch.region, kRegionBytes, PROT_READ | PROT_WRITE);
  registers[REG_EFL] |= kTrapFlag;
}

void on_step(int, siginfo_t*, void* context) {
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
  if (g_watch.change != nullptr && g_watch.count > g_watch.change_from) {
    g_watch.change(g_watch.accesses[g_watch.count - 1]);
  }
  mprotect(g_watch.region, kRegionBytes, PROT_NONE);
}

void flip(size_t offset, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) g_watch.region[offset + i] ^= std::byte{0xff};
}
// What one instruction of the VAES path, or half a tag, has just read.
void flip_what_was_read(const Access& access) {
  flip(access.offset, access.offset >= kTagOffset ? 8 : 64);
}
void flip_everything(const Access&) { flip(0, kRegionBytes); }

class GcmFetchTest : public testing::TestWithParam<CpuMask> {
 protected:
  GcmFetchTest() {
    void* address =
        mmap(nullptr, kRegionBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) abort();
    g_watch.region = static_cast<std::byte*>(address);
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = on_fault;
    sigaction(SIGSEGV, &action, &old_fault_);
    action.sa_sigaction = on_step;
    sigaction(SIGTRAP, &action, &old_step_);
  }
  ~GcmFetchTest() override {
    sigaction(SIGSEGV, &old_fault_, nullptr);
    sigaction(SIGTRAP, &old_step_, nullptr);
    munmap(g_watch.region, kRegionBytes);
    g_watch.region = nullptr;
  }

  // Runs `body` with the region watched; `change` acts after each access from number `from` on.
  template <typename Body>
  std::vector<Access> watch(void (*change)(const Access&), size_t from, Body body) {
    g_watch.count = 0;
    g_watch.change = change;
    g_watch.change_from = from;
    mprotect(g_watch.region, kRegionBytes, PROT_NONE);
    body();
    mprotect(g_watch.region, kRegionBytes, PROT_READ | PROT_WRITE);
    return {g_watch.accesses, g_watch.accesses + g_watch.count};
  }

  // Seals `plain_` into the region (ciphertext at kSkew, tag at kTagOffset).
  void put_message(size_t bytes) {
    std::mt19937_64 random(bytes);
    plain_.resize(bytes);
    for (std::byte& b : plain_) b = static_cast<std::byte>(random());
    gcm_.seal(tile_nonce(bytes), aad_, plain_.data(), cipher(), bytes, tag());
  }
  bool open(Bytes* out) {
    out->assign(plain_.size(), std::byte{0});
    return gcm_.open_from_untrusted(tile_nonce(plain_.size()), aad_, cipher(), out->data(),
                                    plain_.size(), tag());
  }

  // Ciphertext that is not aligned, so that loads cross lines and pages.
  static constexpr size_t kSkew = 24;
  static std::byte* cipher() { return g_watch.region + kSkew; }
  static std::byte* tag() { return g_watch.region + kTagOffset; }
  bool fetches_once() const { return (GetParam() & kCpuVaes) != 0; }

  const Gcm gcm_{SecretKey{{1, 2, 3}}, GetParam()};
  const Bytes aad_ = Bytes(32, std::byte{7});
  Bytes plain_;
  struct sigaction old_fault_, old_step_;
};

std::vector<CpuMask> masks() {
  std::vector<CpuMask> all = {kCpuGeneric};
  if (detect_cpu() & kCpuAvx2) all.push_back(kCpuAesNi | kCpuAvx | kCpuAvx2);
  if (detect_cpu() & kCpuVaes) all.push_back(detect_cpu());
  return all;
}
INSTANTIATE_TEST_SUITE_P(Implementations, GcmFetchTest, testing::ValuesIn(masks()),
                         [](const auto& param) {
                           std::string name = Gcm(SecretKey{}, param.param).implementation();
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
                           return name;
                         });

constexpr size_t kSizes[] = {1, 16, 64, 65, 511, 512, 513, 1000, 1024, 4096, 5000, 9999};

// Offsets of the accesses to ciphertext: 64-byte pieces, each once.
void expect_each_piece_once(const std::vector<Access>& accesses, size_t skew, size_t bytes) {
  std::vector<size_t> offsets, expected;
  for (const Access& access : accesses) {
    if (access.offset < kTagOffset) offsets.push_back(access.offset);
  }
  for (size_t done = 0; done < bytes; done += 64) expected.push_back(skew + done);
  std::sort(offsets.begin(), offsets.end());
  EXPECT_EQ(offsets, expected);
}

TEST_P(GcmFetchTest, OpenLoadsEachCiphertextByteOnce) {
  if (!fetches_once()) GTEST_SKIP() << "copies first";
  for (size_t bytes : kSizes) {
    put_message(bytes);
    Bytes out;
    bool authentic = false;
    // Whatever has been read is worthless from then on, and that makes no difference.
    const auto accesses = watch(flip_what_was_read, 0, [&] { authentic = open(&out); });
    EXPECT_TRUE(authentic) << bytes;
    EXPECT_EQ(out, plain_) << bytes;
    expect_each_piece_once(accesses, kSkew, bytes);
    for (const Access& access : accesses) EXPECT_FALSE(access.write);
  }
}

TEST_P(GcmFetchTest, TagIsReadOnce) {
  put_message(1000);
  Bytes out;
  bool authentic = false;
  const auto accesses = watch(nullptr, 0, [&] { authentic = open(&out); });
  EXPECT_TRUE(authentic);
  std::vector<size_t> offsets;
  for (const Access& access : accesses) {
    if (access.offset >= kTagOffset) offsets.push_back(access.offset - kTagOffset);
  }
  EXPECT_EQ(offsets, (std::vector<size_t>{0, 8}));
}

// The host changes everything between two accesses, at every possible moment: what comes out is the
// right plaintext or nothing.
TEST_P(GcmFetchTest, ChangeAtAnyMomentIsHarmless) {
  for (size_t bytes : {100u, 700u, 2000u}) {
    put_message(bytes);
    Bytes out;
    const size_t count = watch(nullptr, 0, [&] { open(&out); }).size();
    size_t accepted = 0;
    for (size_t moment = 0; moment < count; ++moment) {
      put_message(bytes);
      bool authentic = false;
      watch(flip_everything, moment, [&] { authentic = open(&out); });
      ASSERT_EQ(out, authentic ? plain_ : Bytes(bytes)) << bytes << " bytes, access " << moment;
      accepted += authentic;
    }
    // Only a change after the last access can go unnoticed. (memcpy may load some bytes twice.)
    if (fetches_once()) {
      EXPECT_EQ(accepted, 1u) << bytes;
    } else {
      EXPECT_LT(accepted, count) << bytes;
    }
  }
}

TEST_P(GcmFetchTest, SealNeverReadsWhatItWrote) {
  for (size_t bytes : kSizes) {
    put_message(bytes);
    const Bytes expected(cipher(), cipher() + bytes);
    std::byte sealed_tag[kTagBytes], expected_tag[kTagBytes];
    memcpy(expected_tag, tag(), kTagBytes);
    const auto accesses = watch(nullptr, 0, [&] {
      gcm_.seal(tile_nonce(bytes), aad_, plain_.data(), cipher(), bytes, sealed_tag);
    });
    EXPECT_EQ(Bytes(cipher(), cipher() + bytes), expected);
    EXPECT_EQ(memcmp(sealed_tag, expected_tag, kTagBytes), 0);
    EXPECT_FALSE(accesses.empty());
    for (const Access& access : accesses) EXPECT_TRUE(access.write) << bytes;
    if (fetches_once()) expect_each_piece_once(accesses, kSkew, bytes);
  }
}

}  // namespace
}  // namespace carrel
