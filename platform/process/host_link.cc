#include "platform/process/host_link.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>

#include "platform/process/host_find.h"
#include "platform/process/host_notes.h"

namespace carrel {
namespace {

// How long an idle enclave may take to wipe its memory: 64 MiB take about 10 ms.
constexpr int kGraceMs = 1000;
// How long a closed channel may take to become a dead process.
constexpr int kDeathMs = 2000;

Result<OwnedFd> open_model(const std::string& path) {
  // O_NONBLOCK: a fifo must not block the open.
  OwnedFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (fd.get() < 0) return Error(ErrorCode::kIo, "cannot be opened: %s", strerror(errno));
  struct stat status {};
  if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return Error(ErrorCode::kIo, "not a regular file");
  }
  return fd;
}

// What came over the channel: a closed set of codes and a terminated text.
Error claimed_error(uint32_t claimed_code, uint64_t detail, const char* claimed_message,
                    size_t size) {
  const bool known = claimed_code <= static_cast<uint32_t>(ErrorCode::kCancelled);
  const ErrorCode code = known ? static_cast<ErrorCode>(claimed_code) : ErrorCode::kPlatform;
  const int length = static_cast<int>(strnlen(claimed_message, size - 1));
  return Error(code, "%.*s", length, claimed_message).with_detail(detail);
}

}  // namespace

Result<std::unique_ptr<EnclaveLink>> EnclaveLink::open(const LinkOptions& options,
                                                       const DeliverSecrets& deliver) {
  std::unique_ptr<EnclaveLink> link(new EnclaveLink);
  link->options_ = options;
  CARREL_RETURN_IF_ERROR(link->start(deliver));
  CARREL_RETURN_IF_ERROR(link->receive_ready());
  return link;
}

EnclaveLink::~EnclaveLink() {
  control_.reset();
  // An idle enclave sees the end of the channel, wipes itself and exits; a busy one is killed.
  if (process_ && !busy_) (void)process_->describe_end(kGraceMs);
  process_.reset();
  if (!shared_.empty()) munmap(shared_.data(), shared_.size());
}

Status EnclaveLink::start(const DeliverSecrets& deliver) {
  CARREL_ASSIGN(const EnclaveFile file, find_enclave(options_.enclave_path));
  CARREL_ASSIGN(OwnedFd model, open_model(options_.model_path));
  OwnedFd shared;
  CARREL_RETURN_IF_ERROR(make_shared_area(options_.shared_bytes, &shared));
  OwnedFd enclave_control;
  CARREL_RETURN_IF_ERROR(make_channel(&enclave_control));
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0)
    return Error(ErrorCode::kPlatform, "no key channel: %s", strerror(errno));
  OwnedFd key_out(pipe_ends[0]);
  OwnedFd key_in(pipe_ends[1]);
  CARREL_ASSIGN(process_, EnclaveProcess::spawn(file, {enclave_control.get(), model.get(),
                                                       shared.get(), key_out.get()}));
  // Keys leave the client only when everything else stands. key_out stays open meanwhile, so that a
  // child that is already dead shows in receive_ready() and not as SIGPIPE in the client.
  return deliver(key_in.get());
}

Status EnclaveLink::make_channel(OwnedFd* enclave_end) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error(ErrorCode::kPlatform, "no control channel: %s", strerror(errno));
  }
  control_.reset(ends[0]);
  enclave_end->reset(ends[1]);
  StartMessage message;
  message.budget_bytes = options_.budget_bytes;
  message.threads = options_.threads;
  message.cpu = options_.cpu;
  message.model_access = options_.model_access;
  message.launcher_pid = getpid();
  message.allow_secret_memory = options_.allow_secret_memory ? 1 : 0;
  // Waits in the socket until the enclave exists.
  if (send(control_.get(), &message, sizeof(message), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(sizeof(message))) {
    return Error(ErrorCode::kPlatform, "no control channel: %s", strerror(errno));
  }
  return ok_status();
}

// Shrinking is sealed off, so the mapping on either side stays valid; growing too, so the size is
// final.
Status EnclaveLink::make_shared_area(uint64_t bytes, OwnedFd* fd) {
  fd->reset(memfd_create("carrel shared area", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (fd->get() < 0 || ftruncate(fd->get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(fd->get(), F_ADD_SEALS, kSeals) != 0) {
    return Error(ErrorCode::kPlatform, "no shared area of %llu bytes: %s",
                 static_cast<unsigned long long>(bytes), strerror(errno));
  }
  if (bytes == 0) return ok_status();
  void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
  if (map == MAP_FAILED) {
    return Error(ErrorCode::kPlatform, "shared area of %llu bytes not mapped: %s",
                 static_cast<unsigned long long>(bytes), strerror(errno));
  }
  shared_ = {static_cast<std::byte*>(map), bytes};
  return ok_status();
}

Status EnclaveLink::receive_ready() {
  CARREL_RETURN_IF_ERROR(
      receive_packet(&ready_, sizeof(ready_), options_.start_timeout_ms, "at its start"));
  busy_ = false;
  if (ready_.ok != 1) {
    dead_ = true;
    return claimed_error(ready_.error_code, ready_.detail, ready_.message, sizeof(ready_.message));
  }
  notes_ = describe_lost_protection(ready_);
  return ok_status();
}

Result<Reply> EnclaveLink::call(const Request& request) {
  if (dead_) return Error(ErrorCode::kPlatform, "the trusted process has ended");
  Reply reply;
  busy_ = true;
  if (send(control_.get(), &request, sizeof(request), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(sizeof(request))) {
    return died("before a request");
  }
  CARREL_RETURN_IF_ERROR(
      receive_packet(&reply, sizeof(reply), options_.request_timeout_ms, "during a request"));
  busy_ = false;
  if (reply.ok == 1) return reply;
  const Error error =
      claimed_error(reply.error_code, reply.detail, reply.message, sizeof(reply.message));
  dead_ = ends_session(error.code());
  return error;
}

Status EnclaveLink::receive_packet(void* packet, size_t bytes, int timeout_ms, const char* during) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    pollfd waiting{control_.get(), POLLIN, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    const int wait_ms = timeout_ms == 0 ? -1 : static_cast<int>(std::max<int64_t>(0, left.count()));
    const int ready = poll(&waiting, 1, wait_ms);
    if (ready > 0) break;
    if (ready < 0 && errno != EINTR) return died(during);
    if (ready == 0) {
      dead_ = true;
      process_.reset();
      return Error(ErrorCode::kPlatform,
                   "the trusted process did not answer %s within %d s; it was ended", during,
                   timeout_ms / 1000);
    }
  }
  const ssize_t count = recv(control_.get(), packet, bytes, MSG_TRUNC);
  if (count <= 0) return died(during);
  if (count != static_cast<ssize_t>(bytes)) {
    dead_ = true;
    return Error(ErrorCode::kPlatform, "the trusted process answered %ld bytes instead of %zu",
                 static_cast<long>(count), bytes);
  }
  return ok_status();
}

Error EnclaveLink::died(const char* during) {
  dead_ = true;
  const std::string how = process_ ? process_->describe_end(kDeathMs) : std::string("it was ended");
  return Error(ErrorCode::kPlatform, "the trusted process died %s: %s", during, how.c_str());
}

uint64_t EnclaveLink::kernel_private_bytes() const {
  if (!process_) return 0;
  std::ifstream status("/proc/" + std::to_string(process_->pid()) + "/status");
  uint64_t total_kib = 0;
  bool found = false;
  for (std::string line; std::getline(status, line);) {
    const bool wanted = line.starts_with("RssAnon:") || line.starts_with("VmLck:");
    if (!wanted) continue;
    found = true;
    total_kib += strtoull(line.c_str() + line.find(':') + 1, nullptr, 10);
  }
  const uint64_t total = total_kib * 1024;
  return found ? total - std::min(total, ready_.locked_anonymous_bytes) : 0;
}

}  // namespace carrel
