// carrel-enclave-probe: for tests only. Locks itself down exactly as carrel-enclave does, then does
// what it is asked.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "platform/process/enclave_start.h"
#include "platform/process/probe.h"

namespace carrel {
namespace {

struct State {
  SessionSecrets secrets;
  uint32_t asked = 0;
  uint32_t answered = 0;
};

void run_worker(void* memory, uint32_t) {
  State* state = static_cast<State*>(memory);
  for (uint32_t seen = 0;;) {
    while (std::atomic_ref(state->asked).load() == seen) futex_wait(&state->asked, seen);
    seen = std::atomic_ref(state->asked).load();
    std::atomic_ref(state->answered).fetch_add(1);
  }
}

__attribute__((noinline)) uint64_t use_stack(uint64_t bytes) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(bytes);
  return bytes <= sizeof(frame) ? frame[0] : use_stack(bytes - sizeof(frame)) + frame[0];
}

void* no_thread(void*) { return nullptr; }

void try_forbidden(Probe probe, uint64_t argument) {
  static char page[8192] __attribute__((aligned(4096)));
  char name[] = "/bin/true";
  char* const arguments[] = {name, nullptr};
  pthread_t thread;
  switch (probe) {
    case Probe::kOpen:
      (void)!open("/etc/passwd", O_RDONLY);
      break;
    case Probe::kSocket:
      (void)!socket(AF_INET, SOCK_STREAM, 0);
      break;
    case Probe::kMapExecutable:
      mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      break;
    case Probe::kMapWritable:
      mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      break;
    case Probe::kProtectExecutable:
      mprotect(page, 4096, PROT_READ | PROT_EXEC);
      break;
    case Probe::kFork:
      (void)!fork();
      break;
    case Probe::kPtrace:
      ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      break;
    case Probe::kExec:
      execve(name, arguments, arguments + 1);
      break;
    case Probe::kWriteElsewhere:
      (void)!write(2, "x", 1);
      break;
    case Probe::kReadElsewhere:
      (void)!read(kModelFd, page, 1);
      break;
#if defined(__x86_64__)
    case Probe::kOldSystemCall:
      asm volatile("int $0x80" ::"a"(3) : "memory");
      break;
#endif
    case Probe::kThread:
      pthread_create(&thread, nullptr, no_thread, nullptr);
      break;
    case Probe::kKill:
      kill(getppid(), 0);
      break;
    case Probe::kDeepStack:
      use_stack(argument);
      break;
    default:
      break;
  }
}

uint64_t ask_workers(State* state, uint32_t count) {
  std::atomic_ref(state->answered).store(0);
  std::atomic_ref(state->asked).fetch_add(1);
  futex_wake_all(&state->asked);
  while (std::atomic_ref(state->answered).load() < count) {
  }
  return count;
}

uint64_t read_byte(Enclave* enclave, uint64_t offset) {
  std::byte byte{};
  const Result<uint64_t> count = enclave->host.read_model(offset, {&byte, 1});
  return count.ok() && *count == 1 ? static_cast<uint64_t>(byte) : 256;
}

uint64_t answer(const Request& request, Enclave* enclave, State* state) {
  const Probe probe = static_cast<Probe>(request.kind);
  const uint64_t argument = request.args[0];
  const std::span<std::byte> block = enclave->block.bytes;
  switch (probe) {
    case Probe::kEcho:
      return argument;
    case Probe::kMapByte:
      return static_cast<uint64_t>(enclave->host.model_map()[argument]);
    case Probe::kReadByte:
      return read_byte(enclave, argument);
    case Probe::kTouchBlock:
      for (size_t at = 0; at < block.size(); at += 4096) block[at] = std::byte{1};
      return block.size();
    case Probe::kMarker:
      for (size_t at = 0; at < 4096; at += 8) memcpy(&block[at], &kProbeMarker, 8);
      return reinterpret_cast<uintptr_t>(block.data());
    case Probe::kAskWorkers:
      return ask_workers(state, enclave->start.threads - 1);
    case Probe::kSleep:
      for (volatile bool stop = false; !stop;) {
      }
      return 0;
    default:
      try_forbidden(probe, argument);
      return 0;
  }
}

uint64_t probe_reserve(uint32_t) { return kProbeReserveBytes; }

int probe_main() {
  Enclave enclave;
  Status status = enter_enclave({sizeof(State), probe_reserve, run_worker}, &enclave);
  if (!status.ok()) {
    (void)send_ready(enclave, status);
    return 0;
  }
  State* state = new (enclave.state.bytes.data()) State;
  status = receive_secrets(&state->secrets);
  release_workers();
  if (!send_ready(enclave, status).ok() || !status.ok()) return 0;
  for (;;) {
    const Result<Request> request = enclave.host.receive();
    if (!request.ok()) return 0;
    Reply reply;
    reply.ok = 1;
    reply.stats.crossings = answer(*request, &enclave, state);
    if (!enclave.host.reply(reply).ok()) return 0;
  }
}

}  // namespace
}  // namespace carrel

int main() { _exit(carrel::probe_main()); }
