#include "platform/process/enclave_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "platform/process/control.h"

namespace carrel {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the process platform has no system-call filter for this architecture"
#endif

// One permitted call. Arguments are compared by their low 32 bits: descriptors, operations and
// protection flags have no meaning above. (x86-64 and aarch64 are little endian: the low word comes
// first.)
struct ArgumentCheck {
  uint32_t index;
  uint32_t value;
};
constexpr uint32_t kMaxChecks = 3;
struct Rule {
  uint32_t call;
  uint32_t check_count;
  ArgumentCheck checks[kMaxChecks];
};

constexpr Rule kRules[] = {
    // The hot ones first: the filter is walked in order.
    {SYS_pread64, 1, {{0, kModelFd}}},
    {SYS_futex, 1, {{1, FUTEX_WAIT | FUTEX_PRIVATE_FLAG}}},
    {SYS_futex, 1, {{1, FUTEX_WAKE | FUTEX_PRIVATE_FLAG}}},
    {SYS_read, 1, {{0, kControlFd}}},
    {SYS_write, 1, {{0, kControlFd}}},
    // Only where the vdso has no clock of its own.
    {SYS_clock_gettime, 1, {{0, CLOCK_MONOTONIC}}},
    // The client's keys, once.
    {SYS_read, 1, {{0, kKeyFd}}},
    {SYS_close, 1, {{0, kKeyFd}}},
    // The session's spill key.
    {SYS_getrandom, 1, {{2, 0}}},
    // Read-only zeros over a page of the model that vanished, from the SIGBUS handler.
    {SYS_mmap, 3, {{2, PROT_READ}, {3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED}, {4, ~0u}}},
    {SYS_rt_sigreturn, 0, {}},
    {SYS_exit_group, 0, {}},
};
constexpr size_t kRuleCount = sizeof(kRules) / sizeof(kRules[0]);
// Architecture: 3. A rule: load number, compare, two per check, allow. End: 1.
constexpr size_t kMaxInstructions = 4 + kRuleCount * (3 + 2 * kMaxChecks);

struct Program {
  sock_filter code[kMaxInstructions];
  uint16_t count;
};

constexpr sock_filter load(size_t offset) {
  return {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<uint32_t>(offset)};
}
constexpr sock_filter skip_unless_equal(uint32_t value, size_t skip) {
  return {BPF_JMP | BPF_JEQ | BPF_K, 0, static_cast<uint8_t>(skip), value};
}
constexpr sock_filter answer(uint32_t action) { return {BPF_RET | BPF_K, 0, 0, action}; }

constexpr Program assemble() {
  Program program{};
  auto emit = [&program](sock_filter instruction) { program.code[program.count++] = instruction; };
  emit(load(offsetof(seccomp_data, arch)));
  emit({BPF_JMP | BPF_JEQ | BPF_K, 1, 0, kArchitecture});
  emit(answer(SECCOMP_RET_KILL_PROCESS));
  for (const Rule& rule : kRules) {
    size_t rest = 2 * rule.check_count + 1;  // instructions of the rule still to come
    emit(load(offsetof(seccomp_data, nr)));
    emit(skip_unless_equal(rule.call, rest));
    for (uint32_t i = 0; i < rule.check_count; ++i) {
      rest -= 2;
      emit(load(offsetof(seccomp_data, args) + 8 * rule.checks[i].index));
      emit(skip_unless_equal(rule.checks[i].value, rest));
    }
    emit(answer(SECCOMP_RET_ALLOW));
  }
  emit(answer(SECCOMP_RET_KILL_PROCESS));
  return program;
}

constinit const Program kProgram = assemble();

}  // namespace

Status install_filter() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error(ErrorCode::kPlatform, "enclave: no-new-privileges refused (errno %d)", errno);
  }
  const sock_fprog program{kProgram.count, const_cast<sock_filter*>(kProgram.code)};
  // SPEC_ALLOW: no foreign code runs in this process, so older kernels need not slow its stores
  // down.
  const long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                              SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
  if (result != 0) {
    return Error(ErrorCode::kPlatform, "enclave: system-call filter refused (%s %ld)",
                 result > 0 ? "thread" : "errno", result > 0 ? result : static_cast<long>(errno));
  }
  return ok_status();
}

}  // namespace carrel
