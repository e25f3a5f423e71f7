// A hostile launcher: the enclave checks everything it is started with, and answers or ends in
// order.
#include "platform/process/enclave_start.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "base/bytes.h"
#include "platform/process/host_find.h"

namespace carrel {
namespace {

class HostileLauncher : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    control_.reset(ends[0]);
    enclave_control_.reset(ends[1]);
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    key_out_.reset(ends[0]);
    key_in_.reset(ends[1]);
    const char secrets[sizeof(SessionSecrets)] = {};
    ASSERT_EQ(write(key_in_.get(), secrets, sizeof(secrets)),
              static_cast<ssize_t>(sizeof(secrets)));
    shared_.reset(memfd_create("shared", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(ftruncate(shared_.get(), 8192), 0);
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
    model_.reset(open(self.c_str(), O_RDONLY | O_CLOEXEC));
    probe_ = self.parent_path() / "carrel-enclave-probe";
    start_.budget_bytes = kMiB;
    start_.launcher_pid = getpid();
    start_.cpu = detect_cpu();
  }
  void seal_shared() { ASSERT_EQ(fcntl(shared_.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0); }

  void launch() {
    ASSERT_EQ(send(control_.get(), &start_, sizeof(start_), MSG_NOSIGNAL),
              static_cast<ssize_t>(sizeof(start_)));
    const auto probe = find_enclave(probe_);
    ASSERT_TRUE(probe.ok()) << probe.error().message();
    auto process = EnclaveProcess::spawn(
        *probe, {enclave_control_.get(), model_.get(), shared_.get(), key_out_.get()});
    ASSERT_TRUE(process.ok()) << process.error().message();
    process_ = std::move(*process);
    enclave_control_.reset();
  }
  // The enclave's answer; ok = 99 if it ended without one.
  ReadyMessage ready() {
    ReadyMessage message;
    message.ok = 99;
    pollfd waiting{control_.get(), POLLIN, 0};
    EXPECT_EQ(poll(&waiting, 1, 10000), 1);
    ReadyMessage received;
    const ssize_t count = recv(control_.get(), &received, sizeof(received), 0);
    return count == static_cast<ssize_t>(sizeof(received)) ? received : message;
  }
  void expect_refusal(const char* text) {
    launch();
    const ReadyMessage message = ready();
    EXPECT_EQ(message.ok, 0u);
    EXPECT_NE(std::string(message.message).find(text), std::string::npos) << message.message;
    EXPECT_NE(process_->describe_end(5000).find("status 0"), std::string::npos)
        << process_->describe_end(0);
  }

  OwnedFd control_, enclave_control_, key_out_, key_in_, shared_, model_;
  std::string probe_;
  StartMessage start_;
  std::unique_ptr<EnclaveProcess> process_;
};

TEST_F(HostileLauncher, AnHonestOneIsServed) {
  seal_shared();
  launch();
  EXPECT_EQ(ready().ok, 1u);
}

TEST_F(HostileLauncher, SharedAreaThatCouldShrinkIsRefused) { expect_refusal("not sealed"); }

TEST_F(HostileLauncher, SharedAreaThatIsNoMemfdIsRefused) {
  shared_.reset(dup(model_.get()));
  expect_refusal("not sealed");
}

TEST_F(HostileLauncher, WritableModelIsRefused) {
  seal_shared();
  model_.reset(memfd_create("model", MFD_CLOEXEC));
  expect_refusal("writable");
}

TEST_F(HostileLauncher, ModelThatIsNoFileIsRefused) {
  seal_shared();
  model_.reset(dup(key_out_.get()));
  expect_refusal("not a file");
}

TEST_F(HostileLauncher, AbsurdThreadsAreRefused) {
  seal_shared();
  start_.threads = 0;
  expect_refusal("0 threads");
}

TEST_F(HostileLauncher, TooManyThreadsAreRefused) {
  seal_shared();
  start_.threads = 4000;
  expect_refusal("4000 threads");
}

TEST_F(HostileLauncher, AbsurdBudgetIsRefused) {
  seal_shared();
  start_.budget_bytes = ~uint64_t{0};
  expect_refusal("trusted memory");
}

TEST_F(HostileLauncher, UnknownModelAccessIsRefused) {
  seal_shared();
  start_.model_access = static_cast<ModelAccess>(7);
  expect_refusal("model access");
}

TEST_F(HostileLauncher, AnotherProtocolEndsIt) {
  seal_shared();
  start_.version = 99;
  launch();
  EXPECT_EQ(ready().ok, 99u);
  EXPECT_NE(process_->describe_end(5000).find("protocol"), std::string::npos)
      << process_->describe_end(0);
}

TEST_F(HostileLauncher, AnotherParentEndsIt) {
  seal_shared();
  start_.launcher_pid = 1;
  launch();
  EXPECT_EQ(ready().ok, 99u);
  EXPECT_NE(process_->describe_end(5000).find("launcher"), std::string::npos)
      << process_->describe_end(0);
}

TEST_F(HostileLauncher, RequestOfAnotherSizeEndsIt) {
  for (const size_t bytes : {size_t{1}, sizeof(Request) + 8}) {
    SetUp();
    seal_shared();
    launch();
    ASSERT_EQ(ready().ok, 1u);
    const char request[sizeof(Request) + 8] = {};
    ASSERT_GT(send(control_.get(), request, bytes, MSG_NOSIGNAL), 0);
    EXPECT_NE(process_->describe_end(5000).find("status 0"), std::string::npos)
        << process_->describe_end(0);
  }
}

// Runs `body` in a child, traced like every process and thread that it starts from then on; its
// wait status, -1 if this system forbids tracing.
int run_traced(const std::function<int()>& body) {
  int go[2];
  EXPECT_EQ(pipe2(go, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    close(go[1]);
    char byte;
    (void)!read(go[0], &byte, 1);  // ends when the parent has attached
    _exit(body());
  }
  const long descendants = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
  const bool traced = ptrace(PTRACE_SEIZE, child, nullptr, descendants) == 0;
  close(go[0]);
  close(go[1]);
  int status = 0;
  for (pid_t stopped = 0; (stopped = waitpid(-1, &status, __WALL)) > 0;) {
    if (WIFSTOPPED(status)) {
      const bool is_event = status >> 16 != 0;
      ptrace(PTRACE_CONT, stopped, nullptr, is_event ? 0 : WSTOPSIG(status));
    } else if (stopped == child) {
      return traced ? status : -1;
    }
  }
  return -1;
}

TEST_F(HostileLauncher, ATracerThatCameBeforeTheLockDownIsRefused) {
  seal_shared();
  const int status = run_traced([this] {
    start_.launcher_pid = getpid();
    launch();
    const ReadyMessage message = ready();
    return message.ok == 0 && std::string(message.message).find("traced") != std::string::npos ? 0
                                                                                               : 1;
  });
  if (status == -1) GTEST_SKIP() << "this system forbids tracing";
  EXPECT_EQ(status, 0);
}

// The wall's own tests, started with other privileges than root's usual ones.
void expect_to_pass_with(const std::string& privileges, const std::string& tests) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string start = "timeout -k 1 60 setpriv " + privileges + " ";
  if (geteuid() != 0 || std::system((start + "test -x " + self).c_str()) != 0)
    GTEST_SKIP() << "cannot start this program with " << privileges;
  EXPECT_EQ(std::system((start + self + " --gtest_filter=" + tests).c_str()), 0);
}

// root in a container that was given few capabilities: it could not end another user's process.
TEST(OtherPrivileges, RootWithoutCapKillCanEndTheEnclave) {
  expect_to_pass_with("--bounding-set=-kill --inh-caps=-kill",
                      "*.HangEndsWithTheTimeout:*.DiesWithItsLauncher:*.LocksItselfDown");
}

TEST(OtherPrivileges, AUsersAmbientCapabilitiesEndWithTheLockDown) {
  expect_to_pass_with(
      "--reuid=65534 --regid=65534 --clear-groups --inh-caps=+chown,+kill "
      "--ambient-caps=+chown,+kill",
      "*.LocksItselfDown");
}

}  // namespace
}  // namespace carrel
