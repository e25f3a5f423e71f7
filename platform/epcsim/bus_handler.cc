#include "platform/epcsim/bus_handler.h"

#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "platform/epcsim/epc.h"

namespace carrel {
namespace {

constexpr int kMostRegions = 8;
std::atomic<Epc*> g_regions[kMostRegions];
struct sigaction g_before;

void pass_on(int signal, siginfo_t* info, void* context) {
  if ((g_before.sa_flags & SA_SIGINFO) != 0) return g_before.sa_sigaction(signal, info, context);
  if (g_before.sa_handler != SIG_DFL && g_before.sa_handler != SIG_IGN) return g_before.sa_handler(signal);
  sigaction(SIGBUS, &g_before, nullptr);  // comes again at once, and ends the process
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  const std::byte* address = static_cast<const std::byte*>(info->si_addr);
  for (std::atomic<Epc*>& region : g_regions) {
    Epc* epc = region.load(std::memory_order_acquire);
    if (epc == nullptr || !epc->holds(address)) continue;
    epc->fault(address);
    errno = saved;
    return;
  }
  pass_on(signal, info, context);
}

Status install_once() {
  static const int failure = [] {
    struct sigaction action = {};
    action.sa_sigaction = on_bus_error;
    // No other signal's handler runs meanwhile: it might use the region.
    sigfillset(&action.sa_mask);
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    return sigaction(SIGBUS, &action, &g_before) == 0 ? 0 : errno;
  }();
  if (failure == 0) return ok_status();
  return Error(ErrorCode::kPlatform, "epcsim: no handler for SIGBUS: %s", strerror(failure));
}

// A frame with all vector registers is some KiB (with AMX 11); the handler encrypts up to 16 pages.
constexpr size_t kStackBytes = 64 * 1024;

class FaultStack {
 public:
  FaultStack() {
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) return;
    stack_.ss_sp = memory;
    stack_.ss_size = kStackBytes;
    used_ = sigaltstack(&stack_, nullptr) == 0;
  }
  ~FaultStack() {
    stack_t none = {};
    none.ss_flags = SS_DISABLE;
    if (used_) sigaltstack(&none, nullptr);
    if (stack_.ss_sp != nullptr) munmap(stack_.ss_sp, kStackBytes);
  }
  FaultStack(const FaultStack&) = delete;
  bool used() const { return used_; }

 private:
  stack_t stack_ = {};
  bool used_ = false;
};

}  // namespace

Status handle_faults_apart() {
  thread_local const FaultStack stack;
  if (stack.used()) return ok_status();
  return Error(ErrorCode::kPlatform, "epcsim: no stack for the handler of faults");
}

Status watch_bus_errors(Epc* epc) {
  CARREL_RETURN_IF_ERROR(install_once());
  for (std::atomic<Epc*>& region : g_regions) {
    Epc* none = nullptr;
    if (region.compare_exchange_strong(none, epc)) return ok_status();
  }
  return Error(ErrorCode::kPlatform, "epcsim: more than %d regions at once", kMostRegions);
}

void unwatch_bus_errors(Epc* epc) {
  for (std::atomic<Epc*>& region : g_regions) {
    Epc* mine = epc;
    region.compare_exchange_strong(mine, nullptr);
  }
}

}  // namespace carrel
