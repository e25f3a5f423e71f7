#include "platform/process/enclave_start.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/cpu.h"
#include "base/wipe.h"
#include "engine/format/program.h"
#include "platform/process/enclave_filter.h"

namespace carrel {
namespace {

// Debian's and POSIX's conventional "nobody"; it owns nothing.
constexpr uid_t kNobody = 65534;

uint32_t g_workers_up = 0;
uint32_t g_released = 0;
uint32_t g_parked = 0;
void (*g_worker)(void*, uint32_t) = nullptr;
void* g_worker_state = nullptr;

Error platform_error(const char* what) {
  return Error(ErrorCode::kPlatform, "enclave: %s (errno %d)", what, errno);
}

Status harden_process() {
  // First of all: exec makes a process dumpable again, and until this call its owner may attach to
  // it.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return platform_error("cannot become undumpable");
  const rlimit no_core{0, 0};
  if (setrlimit(RLIMIT_CORE, &no_core) != 0) return platform_error("cannot forbid core files");
  const rlimit stack{kMainStackBytes, kMainStackBytes};
  if (setrlimit(RLIMIT_STACK, &stack) != 0) return platform_error("cannot bound the stack");
  prctl(PR_SET_NAME, "carrel-enclave");  // started from a descriptor, a number would be its name
  // Huge pages would round every small mapping up to 2 MiB of private memory.
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  // A broken channel is an error to return, not a signal; Ctrl-C is the launcher's to handle.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a small file size limit refuses hidden memory: the fallback's turn
  if (syscall(SYS_close_range, kFirstUnusedFd, ~0u, 0) != 0)
    return platform_error("cannot close descriptors");
  // Memory locking up to the hard limit: memfd_secret is charged to it.
  rlimit lock{};
  if (getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur < lock.rlim_max) {
    lock.rlim_cur = lock.rlim_max;
    setrlimit(RLIMIT_MEMLOCK, &lock);
  }
  return ok_status();
}

Status receive_start(StartMessage* start) {
  const ssize_t count = recv(kControlFd, start, sizeof(*start), MSG_TRUNC);
  if (count != static_cast<ssize_t>(sizeof(*start)) || start->magic != kControlMagic ||
      start->version != kControlVersion) {
    _exit(kExitSetup);  // whoever started us speaks another protocol: there is nobody to answer
  }
  const bool access_known =
      start->model_access == ModelAccess::kRead || start->model_access == ModelAccess::kMap;
  if (start->threads == 0 || start->threads > kMaxThreads || !access_known) {
    return Error(ErrorCode::kPlatform, "enclave: %u threads or an unknown model access asked for",
                 start->threads);
  }
  start->cpu &= detect_cpu();
  return ok_status();
}

Status take_memory(const EnclaveProgram& program, Enclave* enclave) {
  const StartMessage& start = enclave->start;
  const uint64_t reserve = program.reserve_bytes(start.threads);
  if (start.budget_bytes <= reserve) {
    return Error(ErrorCode::kBudgetTooSmall,
                 "a budget of %llu bytes is not above the engine's own %llu",
                 static_cast<unsigned long long>(start.budget_bytes),
                 static_cast<unsigned long long>(reserve))
        .with_detail(reserve + 4096);  // one page is the least block
  }
  const bool allow_secret = start.allow_secret_memory != 0;
  // The state first: where the limit grants only a little, keys get it.
  CARREL_ASSIGN(enclave->state, map_trusted(program.state_bytes, allow_secret));
  CARREL_ASSIGN(enclave->block, map_trusted(start.budget_bytes - reserve, allow_secret));
  if (!enclave->state.secret) enclave->lost |= kLostSecretKeys;
  if (!enclave->block.secret) enclave->lost |= kLostSecretBlock;
  if (!enclave->block.secret && !enclave->block.locked) enclave->lost |= kLostLock;
  return ok_status();
}

// Of the launcher, not of this process: exec may have given root back what the launcher gave up.
bool launcher_may_kill() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, getppid()};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  return syscall(SYS_capget, &header, sets) == 0 &&
         (sets[CAP_TO_INDEX(CAP_KILL)].effective & CAP_TO_MASK(CAP_KILL)) != 0;
}

// Root becomes nobody. Not where no such user exists (a user namespace with one id), and not where
// the launcher could end nobody's processes no more than a stranger's: the filter still stands, and
// the loss is reported.
void drop_root(Enclave* enclave) {
  if (geteuid() != 0) return;
  if (!launcher_may_kill()) {
    enclave->lost |= kLostUid | kLostUidNoKill;
    return;
  }
  const bool dropped = setgroups(0, nullptr) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
                       setresuid(kNobody, kNobody, kNobody) == 0;
  if (!dropped) enclave->lost |= kLostUid;
}

// Whoever started it: CAP_IPC_LOCK has done its work, and no other is needed. Takes the ambient and
// the inheritable ones too.
Status drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capset, &header, none) != 0)
    return platform_error("cannot give up its capabilities");
  return ok_status();
}

// After drop_root: a change of user clears the death signal and resets dumpability.
Status bind_to_launcher(int32_t launcher_pid) {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return platform_error("cannot become undumpable");
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
    return platform_error("cannot follow the launcher");
  // It may have died before the line above.
  if (getppid() != launcher_pid) _exit(kExitLauncherGone);
  return ok_status();
}

// After bind_to_launcher: a tracer that attached while the process was dumpable stays attached; no
// new one can come.
Status refuse_tracer() {
  char text[1024] = {};
  const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  const bool known = fd >= 0 && read(fd, text, sizeof(text) - 1) > 0;
  if (!known) return platform_error("cannot learn whether it is traced");
  close(fd);
  if (strstr(text, "\nTracerPid:\t0\n") != nullptr) return ok_status();
  return Error(ErrorCode::kPlatform,
               "enclave: it is traced and its tracer could read the keys; start it without strace "
               "or a debugger");
}

void* worker_entry(void* argument) {
  const uint32_t index = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(argument));
  std::atomic_ref<uint32_t>(g_workers_up).fetch_add(1);
  futex_wake_all(&g_workers_up);
  while (std::atomic_ref<uint32_t>(g_released).load() == 0) futex_wait(&g_released, 0);
  g_worker(g_worker_state, index);
  std::atomic_ref<uint32_t>(g_parked).fetch_add(1);
  futex_wake_all(&g_parked);
  // A thread that ended would ask the kernel for what the filter forbids: sleep until the process
  // exits.
  for (;;) futex_wait(&g_released, 1);
}

Status start_workers(const EnclaveProgram& program, Enclave* enclave) {
  g_worker = program.worker;
  g_worker_state = enclave->state.bytes.data();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setguardsize(&attributes, 4096);
  if (pthread_attr_setstacksize(&attributes, kWorkerStackBytes) != 0) {
    return Error(ErrorCode::kPlatform, "enclave: worker stacks of %llu bytes refused",
                 static_cast<unsigned long long>(kWorkerStackBytes));
  }
  const uint32_t count = enclave->start.threads - 1;
  for (uintptr_t index = 1; index <= count; ++index) {
    pthread_t thread;
    const int failed =
        pthread_create(&thread, &attributes, worker_entry, reinterpret_cast<void*>(index));
    if (failed != 0)
      return Error(ErrorCode::kPlatform, "enclave: no worker thread (errno %d)", failed);
  }
  // The filter must find every thread past its start-up.
  for (uint32_t up = 0; (up = std::atomic_ref<uint32_t>(g_workers_up).load()) < count;) {
    futex_wait(&g_workers_up, up);
  }
  return ok_status();
}

}  // namespace

Status enter_enclave(const EnclaveProgram& program, Enclave* enclave) {
  CARREL_RETURN_IF_ERROR(harden_process());
  CARREL_RETURN_IF_ERROR(receive_start(&enclave->start));
  CARREL_RETURN_IF_ERROR(enclave->host.attach(enclave->start.model_access));
  CARREL_RETURN_IF_ERROR(take_memory(program, enclave));
  drop_root(enclave);
  CARREL_RETURN_IF_ERROR(drop_capabilities());
  CARREL_RETURN_IF_ERROR(bind_to_launcher(enclave->start.launcher_pid));
  CARREL_RETURN_IF_ERROR(refuse_tracer());
  CARREL_RETURN_IF_ERROR(start_workers(program, enclave));
  return install_filter();
}

Status receive_secrets(SessionSecrets* secrets) {
  size_t done = 0;
  std::byte* out = reinterpret_cast<std::byte*>(secrets);
  ssize_t count = 0;
  while (done < sizeof(*secrets)) {
    count = read(kKeyFd, out + done, sizeof(*secrets) - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<size_t>(count);
  }
  close(kKeyFd);
  if (done != sizeof(*secrets)) {
    wipe(secrets, sizeof(*secrets));
    return Error(ErrorCode::kPlatform,
                 "enclave: the client's key channel ended after %zu of %zu bytes", done,
                 sizeof(*secrets));
  }
  return ok_status();
}

void release_workers() {
  std::atomic_ref<uint32_t>(g_released).store(1);
  futex_wake_all(&g_released);
}

void await_workers(uint32_t threads) {
  for (uint32_t parked = 0; (parked = std::atomic_ref<uint32_t>(g_parked).load()) < threads - 1;) {
    futex_wait(&g_parked, parked);
  }
}

Status send_ready(const Enclave& enclave, const Status& status) {
  ReadyMessage ready;
  ready.ok = status.ok() ? 1 : 0;
  if (!status.ok()) {
    ready.error_code = static_cast<uint32_t>(status.error().code());
    ready.detail = status.error().detail();
    memcpy(ready.message, status.error().message(), sizeof(ready.message));
  }
  ready.lost = enclave.lost;
  ready.refusal_errno = enclave.block.refusal_errno;
  for (const TrustedMemory* memory : {&enclave.state, &enclave.block}) {
    ready.trusted_mapping_bytes += memory->bytes.size();
    if (memory->locked) ready.locked_anonymous_bytes += memory->bytes.size();
  }
  ssize_t count = 0;
  do {
    count = write(kControlFd, &ready, sizeof(ready));
  } while (count < 0 && errno == EINTR);
  if (count != static_cast<ssize_t>(sizeof(ready)))
    return platform_error("the control channel is broken");
  return ok_status();
}

}  // namespace carrel
