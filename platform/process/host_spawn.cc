#include "platform/process/host_spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "platform/process/control.h"

namespace carrel {
namespace {

// Where the child finds its own executable. The enclave closes it first of all.
constexpr int kProgramFd = kFirstUnusedFd;

// A copy above every descriptor number the child uses, so that placing one never overwrites
// another's source.
Result<OwnedFd> high_copy(int fd) {
  OwnedFd copy(fcntl(fd, F_DUPFD_CLOEXEC, kProgramFd + 1));
  if (copy.get() < 0)
    return Error(ErrorCode::kPlatform, "cannot duplicate descriptor %d (errno %d)", fd, errno);
  return copy;
}

int spawn_child(int program, const EnclaveFds& fds, pid_t* pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  for (int fd = 0; fd <= 2; ++fd)
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, fds.control, kControlFd);
  posix_spawn_file_actions_adddup2(&actions, fds.model, kModelFd);
  posix_spawn_file_actions_adddup2(&actions, fds.shared, kSharedFd);
  posix_spawn_file_actions_adddup2(&actions, fds.key, kKeyFd);
  posix_spawn_file_actions_adddup2(&actions, program, kProgramFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, kProgramFd + 1);
  sigset_t signals;
  sigfillset(&signals);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  char name[] = "carrel-enclave";
  char* const arguments[] = {name, nullptr};
  char* const environment[] = {nullptr};
  const std::string path = "/proc/self/fd/" + std::to_string(kProgramFd);
  const int failed = posix_spawn(pid, path.c_str(), &actions, &attributes, arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return failed;
}

std::string describe_signal(int signal) {
  switch (signal) {
    case SIGSYS:
      return "it was ended by its system-call filter";
    case SIGSEGV:
      return "it crashed (SIGSEGV: a stack too deep, or a bug)";
    case SIGKILL:
      return "it was killed (SIGKILL: by someone, or out of memory)";
    default:
      return "it was ended by signal " + std::to_string(signal);
  }
}

std::string describe_exit(int status) {
  switch (status) {
    case kExitSetup:
      return "it does not speak this launcher's protocol";
    case kExitLauncherGone:
      return "it did not find its launcher alive";
    case kExitSharedFault:
      return "the system had no memory left for the shared area";
    default:
      return "it exited with status " + std::to_string(status);
  }
}

}  // namespace

void OwnedFd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

Result<std::unique_ptr<EnclaveProcess>> EnclaveProcess::spawn(const EnclaveFile& file,
                                                              const EnclaveFds& fds) {
  CARREL_ASSIGN(OwnedFd executable, high_copy(file.fd.get()));
  CARREL_ASSIGN(OwnedFd control, high_copy(fds.control));
  CARREL_ASSIGN(OwnedFd model, high_copy(fds.model));
  CARREL_ASSIGN(OwnedFd shared, high_copy(fds.shared));
  CARREL_ASSIGN(OwnedFd key, high_copy(fds.key));
  std::unique_ptr<EnclaveProcess> process(new EnclaveProcess);
  const EnclaveFds copies{control.get(), model.get(), shared.get(), key.get()};
  process->keeper_ = std::thread(
      [&process = *process, program = executable.get(), copies] { process.keep(program, copies); });
  std::unique_lock lock(process->mutex_);
  process->changed_.wait(lock, [&] { return process->started_; });
  if (process->spawn_errno_ != 0) {
    return Error(ErrorCode::kPlatform, "the trusted process does not start: %s (%s)",
                 strerror(process->spawn_errno_), file.path.c_str());
  }
  return process;
}

void EnclaveProcess::keep(int program, const EnclaveFds& fds) {
  // Signals meant for the application are not delivered to a thread it does not know.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  std::unique_lock lock(mutex_);
  spawn_errno_ = spawn_child(program, fds, &pid_);
  started_ = true;
  changed_.notify_all();
  if (spawn_errno_ != 0) return;
  // A handle, not a number: an application that ignores SIGCHLD has its children reaped, and their
  // numbers reused.
  const OwnedFd handle(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  changed_.wait(lock, [this] { return stopping_; });
  if (handle.get() >= 0) {
    syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0);
  } else {
    kill(pid_, SIGKILL);
  }
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

EnclaveProcess::~EnclaveProcess() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (keeper_.joinable()) keeper_.join();
}

std::string EnclaveProcess::describe_end(int timeout_ms) const {
  constexpr int kStepMs = 2;
  for (int waited = 0;; waited += kStepMs) {
    siginfo_t info{};
    // WNOWAIT: only the keeper reaps, so that the number stays ours.
    if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
      return "it is gone";
    if (info.si_pid == pid_) {
      return info.si_code == CLD_EXITED ? describe_exit(info.si_status)
                                        : describe_signal(info.si_status);
    }
    if (waited >= timeout_ms) return "it is still running";
    std::this_thread::sleep_for(std::chrono::milliseconds(kStepMs));
  }
}

}  // namespace carrel
