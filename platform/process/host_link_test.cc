// The wall itself: carrel-enclave-probe locks itself down as the real enclave does, then tries what
// it must not.
#include "platform/process/host_link.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "engine/format/boundary.h"
#include "platform/process/probe.h"

namespace carrel {
namespace {

namespace fs = std::filesystem;

class EnclaveLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/carrel_link_XXXXXX";
    const int fd = mkstemp(name);
    ASSERT_GE(fd, 0);
    close(fd);
    options_.model_path = name;
    options_.enclave_path =
        fs::read_symlink("/proc/self/exe").parent_path() / "carrel-enclave-probe";
    options_.budget_bytes = 2 * kMiB;
    options_.cpu = detect_cpu();
    options_.shared_bytes = 64 * kKiB;
    options_.request_timeout_ms = 20 * 1000;
    write_model(64 * kKiB);
  }
  void TearDown() override { unlink(options_.model_path.c_str()); }

  void write_model(size_t bytes) {
    std::ofstream(options_.model_path, std::ios::binary) << std::string(bytes, 'w');
  }
  static DeliverSecrets deliver(size_t bytes = sizeof(SessionSecrets)) {
    return [bytes](int fd) -> Status {
      const std::vector<char> secrets(bytes, 7);
      if (write(fd, secrets.data(), bytes) != static_cast<ssize_t>(bytes)) {
        return Error(ErrorCode::kIo, "key channel not writable");
      }
      return ok_status();
    };
  }
  std::unique_ptr<EnclaveLink> open() {
    auto link = EnclaveLink::open(options_, deliver());
    if (!link.ok()) ADD_FAILURE() << link.error().message();
    return link.ok() ? std::move(*link) : nullptr;
  }
  static Result<uint64_t> ask(EnclaveLink& link, Probe probe, uint64_t argument = 0) {
    Request request;
    request.kind = static_cast<RequestKind>(probe);
    request.args[0] = argument;
    CARREL_ASSIGN(const Reply reply, link.call(request));
    return reply.stats.crossings;
  }

  LinkOptions options_;
};

std::string status_line(pid_t pid, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return line.substr(name.size() + 2);
  }
  return "";
}

bool exists(pid_t pid) { return kill(pid, 0) == 0 || errno == EPERM; }

TEST_F(EnclaveLinkTest, StartsAnswersAndLeavesNothingBehind) {
  const auto begin = std::chrono::steady_clock::now();
  auto link = open();
  ASSERT_NE(link, nullptr);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  printf("start to ready: %.2f ms\n", took.count());
  const auto answer = ask(*link, Probe::kEcho, 42);
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  EXPECT_EQ(*answer, 42u);
  const pid_t pid = link->pid();
  EXPECT_TRUE(exists(pid));
  link.reset();
  EXPECT_FALSE(exists(pid));  // gone, and reaped
}

TEST_F(EnclaveLinkTest, LocksItselfDown) {
  options_.threads = 2;
  auto link = open();
  ASSERT_NE(link, nullptr);
  EXPECT_EQ(status_line(link->pid(), "Seccomp"), "2");
  EXPECT_EQ(status_line(link->pid(), "NoNewPrivs"), "1");
  EXPECT_EQ(status_line(link->pid(), "Threads"), "2");
  const std::string stack = [&] {
    std::ifstream limits("/proc/" + std::to_string(link->pid()) + "/limits");
    std::string all((std::istreambuf_iterator<char>(limits)), {});
    return all;
  }();
  EXPECT_NE(stack.find("Max stack size            262144               262144"), std::string::npos)
      << stack;
  EXPECT_NE(stack.find("Max core file size        0                    0"), std::string::npos);
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"})
    EXPECT_EQ(status_line(link->pid(), set), "0000000000000000") << set;
  if (geteuid() == 0) {
    // As nobody a launcher without CAP_KILL could not end it.
    const uint64_t own = strtoull(status_line(getpid(), "CapEff").c_str(), nullptr, 16);
    const bool may_kill = (own >> CAP_KILL) & 1;
    EXPECT_EQ(status_line(link->pid(), "Uid"),
              may_kill ? "65534\t65534\t65534\t65534" : "0\t0\t0\t0");
    EXPECT_EQ(link->protection_notes().find("CAP_KILL") == std::string::npos, may_kill)
        << link->protection_notes();
  }
  // A second thread is under the same filter and works.
  const auto workers = ask(*link, Probe::kAskWorkers);
  ASSERT_TRUE(workers.ok()) << workers.error().message();
  EXPECT_EQ(*workers, 1u);
}

TEST_F(EnclaveLinkTest, HasNoDescriptorsBeyondItsChannels) {
  if (geteuid() != 0) GTEST_SKIP() << "only root sees the descriptors of an undumpable process";
  // An inheritable descriptor of the caller must not leak in.
  const int stray = ::open("/etc/hostname", O_RDONLY);
  auto link = open();
  close(stray);
  ASSERT_NE(link, nullptr);
  std::vector<std::string> found;
  const fs::path folder = "/proc/" + std::to_string(link->pid()) + "/fd";
  for (const auto& entry : fs::directory_iterator(folder)) {
    found.push_back(entry.path().filename().string() + " " + fs::read_symlink(entry).string());
  }
  std::sort(found.begin(), found.end());
  ASSERT_EQ(found.size(), 5u);
  for (int fd = 0; fd <= 2; ++fd) EXPECT_EQ(found[fd], std::to_string(fd) + " /dev/null");
  EXPECT_TRUE(found[3].starts_with("3 socket:")) << found[3];
  EXPECT_EQ(found[4], "4 " + options_.model_path);
  std::ifstream info("/proc/" + std::to_string(link->pid()) + "/fdinfo/4");
  std::string text((std::istreambuf_iterator<char>(info)), {});
  const size_t at = text.find("flags:");
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(strtoul(text.c_str() + at + 6, nullptr, 8) & O_ACCMODE,
            static_cast<unsigned long>(O_RDONLY));
}

class ForbiddenCall : public EnclaveLinkTest, public testing::WithParamInterface<Probe> {};

TEST_P(ForbiddenCall, EndsTheWholeProcess) {
  options_.threads = 2;
  auto link = open();
  ASSERT_NE(link, nullptr);
  const auto answer = ask(*link, GetParam());
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), ErrorCode::kPlatform);
  EXPECT_NE(std::string(answer.error().message()).find("system-call filter"), std::string::npos)
      << answer.error().message();
  EXPECT_FALSE(ask(*link, Probe::kEcho).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Calls, ForbiddenCall,
    testing::Values(Probe::kOpen, Probe::kSocket, Probe::kMapExecutable, Probe::kMapWritable,
                    Probe::kProtectExecutable, Probe::kFork, Probe::kPtrace, Probe::kExec,
                    Probe::kWriteElsewhere, Probe::kReadElsewhere, Probe::kThread,
#if defined(__x86_64__)
                    Probe::kOldSystemCall,
#endif
                    Probe::kKill),
    [](const auto& param) { return "Probe" + std::to_string(uint32_t(param.param)); });

TEST_F(EnclaveLinkTest, StackIsBounded) {
  auto link = open();
  ASSERT_NE(link, nullptr);
  EXPECT_TRUE(ask(*link, Probe::kDeepStack, 128 * kKiB).ok());
  const auto answer = ask(*link, Probe::kDeepStack, 512 * kKiB);
  ASSERT_FALSE(answer.ok());
  EXPECT_NE(std::string(answer.error().message()).find("SIGSEGV"), std::string::npos);
}

TEST_F(EnclaveLinkTest, DeathDuringARequestIsAnError) {
  auto link = open();
  ASSERT_NE(link, nullptr);
  const pid_t pid = link->pid();
  std::thread killer([pid] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    kill(pid, SIGKILL);
  });
  const auto answer = ask(*link, Probe::kSleep);
  killer.join();
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), ErrorCode::kPlatform);
  EXPECT_NE(std::string(answer.error().message()).find("SIGKILL"), std::string::npos);
}

TEST_F(EnclaveLinkTest, HangEndsWithTheTimeout) {
  options_.request_timeout_ms = 300;
  auto link = open();
  ASSERT_NE(link, nullptr);
  const pid_t pid = link->pid();
  const auto answer = ask(*link, Probe::kSleep);
  ASSERT_FALSE(answer.ok());
  EXPECT_NE(std::string(answer.error().message()).find("did not answer"), std::string::npos);
  EXPECT_FALSE(exists(pid));
}

// The launcher dies without a chance to clean up; a busy enclave must not stay.
TEST_F(EnclaveLinkTest, DiesWithItsLauncher) {
  int report[2];
  ASSERT_EQ(pipe2(report, O_CLOEXEC), 0);
  const pid_t launcher = fork();
  if (launcher == 0) {
    auto link = EnclaveLink::open(options_, deliver());
    const pid_t pid = link.ok() ? (*link)->pid() : -1;
    (void)!write(report[1], &pid, sizeof(pid));
    if (link.ok()) (void)ask(**link, Probe::kSleep);
    _exit(0);
  }
  pid_t enclave = -1;
  ASSERT_EQ(read(report[0], &enclave, sizeof(enclave)), static_cast<ssize_t>(sizeof(enclave)));
  ASSERT_GT(enclave, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(exists(enclave));
  kill(launcher, SIGKILL);
  waitpid(launcher, nullptr, 0);
  bool gone = false;
  for (int i = 0; i < 500 && !gone; ++i) {
    // An orphan may wait for its adoptive parent as a zombie: ended all the same.
    gone = !exists(enclave) || status_line(enclave, "State").starts_with("Z");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(gone);
  close(report[0]);
  close(report[1]);
}

// The thread that opened a session may end before the session does.
TEST_F(EnclaveLinkTest, SurvivesTheThreadThatOpenedIt) {
  std::unique_ptr<EnclaveLink> link;
  std::thread([&] { link = open(); }).join();
  ASSERT_NE(link, nullptr);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(ask(*link, Probe::kEcho).ok());
}

TEST_F(EnclaveLinkTest, ShrinkingModelIsNoCrash) {
  for (const ModelAccess access : {ModelAccess::kMap, ModelAccess::kRead}) {
    write_model(64 * kKiB);
    options_.model_access = access;
    auto link = open();
    ASSERT_NE(link, nullptr);
    const Probe probe = access == ModelAccess::kMap ? Probe::kMapByte : Probe::kReadByte;
    EXPECT_EQ(*ask(*link, probe, 40 * kKiB), uint64_t{'w'});
    fs::resize_file(options_.model_path, 8 * kKiB);
    const auto gone = ask(*link, probe, 50 * kKiB);
    ASSERT_TRUE(gone.ok()) << gone.error().message();
    EXPECT_EQ(*gone, access == ModelAccess::kMap ? 0u : 256u);
    EXPECT_EQ(*ask(*link, probe, 4 * kKiB), uint64_t{'w'});
  }
}

// In a child without root's powers: can `reader` get at the enclave's memory? Bits: 1 mem opened, 2
// read by process_vm_readv, 4 attached by ptrace.
int attack(pid_t enclave, uint64_t address, bool as_nobody) {
  const pid_t attacker = fork();
  if (attacker == 0) {
    if (as_nobody && (setgid(65533) != 0 || setuid(65533) != 0)) _exit(64);
    int got = 0;
    const int mem = ::open(("/proc/" + std::to_string(enclave) + "/mem").c_str(), O_RDONLY);
    uint64_t word = 0;
    if (mem >= 0 && pread(mem, &word, 8, static_cast<off_t>(address)) == 8 && word == kProbeMarker)
      got |= 1;
    iovec here{&word, 8}, there{reinterpret_cast<void*>(address), 8};
    word = 0;
    if (process_vm_readv(enclave, &here, 1, &there, 1, 0) == 8 && word == kProbeMarker) got |= 2;
    if (ptrace(PTRACE_SEIZE, enclave, nullptr, nullptr) == 0) got |= 4;
    _exit(got);
  }
  int status = 0;
  waitpid(attacker, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(EnclaveLinkTest, OtherUsersCannotReadIt) {
  auto link = open();
  ASSERT_NE(link, nullptr);
  const auto address = ask(*link, Probe::kMarker);
  ASSERT_TRUE(address.ok());
  if (geteuid() == 0) {
    EXPECT_EQ(attack(link->pid(), *address, true), 0);
    const int root = attack(link->pid(), *address, false);
    printf("root, passively: %s\n", (root & 3) ? "CAN read the block" : "cannot read the block");
    // memfd_secret holds even against root's passive reads; that is hardening, no boundary.
    if ((link->ready().lost & kLostSecretBlock) == 0) {
      EXPECT_EQ(root & 3, 0);
    }
  } else {
    // The same user: undumpable keeps even the launcher out.
    EXPECT_EQ(attack(link->pid(), *address, false), 0);
  }
}

// The enclave runs as nobody when root starts it: nobody's other processes must be kept out too.
TEST_F(EnclaveLinkTest, TheSameUserCannotReadIt) {
  if (geteuid() != 0) GTEST_SKIP() << "OtherUsersCannotReadIt covers it for an ordinary user";
  auto link = open();
  ASSERT_NE(link, nullptr);
  const auto address = ask(*link, Probe::kMarker);
  ASSERT_TRUE(address.ok());
  const pid_t attacker = fork();
  if (attacker == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(64);
    _exit(attack(link->pid(), *address, false));
  }
  int status = 0;
  waitpid(attacker, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(EnclaveLinkTest, CrashLeavesNoCoreFile) {
  rlimit old{};
  getrlimit(RLIMIT_CORE, &old);
  const rlimit wanted{old.rlim_max, old.rlim_max};
  setrlimit(RLIMIT_CORE, &wanted);
  auto link = open();
  ASSERT_NE(link, nullptr);
  kill(link->pid(), SIGABRT);
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(link->pid()), &info, WEXITED | WNOWAIT), 0);
  setrlimit(RLIMIT_CORE, &old);
  EXPECT_EQ(info.si_code, CLD_KILLED);  // not CLD_DUMPED
}

TEST_F(EnclaveLinkTest, KernelsFigureStaysWithinTheBudget) {
  for (const uint64_t mib : {1, 2, 4, 16, 64}) {
    options_.budget_bytes = mib * kMiB;
    options_.threads = 2;
    auto link = open();
    ASSERT_NE(link, nullptr);
    ASSERT_TRUE(ask(*link, Probe::kTouchBlock).ok());
    const uint64_t bytes = link->kernel_private_bytes();
    printf("%2llu MiB: %llu KiB, %lld KiB over the block\n", static_cast<unsigned long long>(mib),
           static_cast<unsigned long long>(bytes / kKiB),
           static_cast<long long>(bytes - (options_.budget_bytes - kProbeReserveBytes)) / 1024);
    EXPECT_GE(bytes, options_.budget_bytes - kProbeReserveBytes);
    EXPECT_LE(bytes, options_.budget_bytes + 2 * kMiB);
    if (!link->protection_notes().empty()) printf("  %s\n", link->protection_notes().c_str());
  }
}

TEST_F(EnclaveLinkTest, WorksWithoutSecretMemoryAndSaysSo) {
  options_.allow_secret_memory = false;
  auto link = open();
  ASSERT_NE(link, nullptr);
  ASSERT_TRUE(ask(*link, Probe::kTouchBlock).ok());
  EXPECT_NE(link->protection_notes().find("ordinary memory"), std::string::npos);
  EXPECT_LE(link->kernel_private_bytes(), options_.budget_bytes + 2 * kMiB);
}

// The whole way as an ordinary user with a small locked-memory limit.
TEST_F(EnclaveLinkTest, WorksAsAnOrdinaryUser) {
  if (geteuid() != 0) GTEST_SKIP() << "this test's other cases already run as an ordinary user";
  fs::permissions(options_.model_path, fs::perms::others_read, fs::perm_options::add);
  options_.budget_bytes = 16 * kMiB;
  const pid_t child = fork();
  if (child == 0) {
    const rlimit lock{kMiB, kMiB};
    if (setrlimit(RLIMIT_MEMLOCK, &lock) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
      _exit(64);
    auto link = EnclaveLink::open(options_, deliver());
    if (!link.ok()) {
      fprintf(stderr, "%s\n", link.error().message());
      _exit(access(options_.enclave_path.c_str(), X_OK) == 0 ? 1 : 77);
    }
    printf("ordinary user: %s\n", (*link)->protection_notes().c_str());
    fflush(stdout);
    const bool told = (*link)->protection_notes().find("not keys") != std::string::npos;
    const bool fits =
        (*link)->kernel_private_bytes() <= 18 * kMiB && (*link)->kernel_private_bytes() > 0;
    _exit(ask(**link, Probe::kTouchBlock).ok() && told && fits ? 0 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "the build folder is closed to other users";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(EnclaveLinkTest, ShortKeyChannelIsAnError) {
  for (const size_t bytes : {size_t{0}, sizeof(SessionSecrets) - 1}) {
    const auto link = EnclaveLink::open(options_, deliver(bytes));
    ASSERT_FALSE(link.ok());
    EXPECT_NE(std::string(link.error().message()).find("key channel"), std::string::npos);
  }
}

TEST_F(EnclaveLinkTest, BudgetBelowTheReserveSaysHowMuchWouldDo) {
  options_.budget_bytes = 1000;
  const auto link = EnclaveLink::open(options_, deliver());
  ASSERT_FALSE(link.ok());
  EXPECT_EQ(link.error().code(), ErrorCode::kBudgetTooSmall);
  EXPECT_GT(link.error().detail(), kProbeReserveBytes);
}

TEST_F(EnclaveLinkTest, MissingFilesAreClearErrors) {
  LinkOptions no_model = options_;
  no_model.model_path = "/nonexistent/model.carrel";
  EXPECT_NE(std::string(EnclaveLink::open(no_model, deliver()).error().message())
                .find("No such file"),
            std::string::npos);
  LinkOptions folder = options_;
  folder.model_path = "/tmp";
  EXPECT_NE(std::string(EnclaveLink::open(folder, deliver()).error().message()).find("not a regular"),
            std::string::npos);
  LinkOptions no_enclave = options_;
  no_enclave.enclave_path = "/nonexistent/carrel-enclave";
  EXPECT_NE(std::string(EnclaveLink::open(no_enclave, deliver()).error().message())
                .find("no trusted process"),
            std::string::npos);
  LinkOptions not_an_enclave = options_;
  not_an_enclave.enclave_path = "/bin/true";
  const auto link = EnclaveLink::open(not_an_enclave, deliver());
  ASSERT_FALSE(link.ok());
  EXPECT_EQ(link.error().code(), ErrorCode::kPlatform);
}

}  // namespace
}  // namespace carrel
