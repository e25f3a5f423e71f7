#pragma once
// One running enclave, its control channel and its shared area, seen from outside. Untrusted side:
// it makes the pipe that carries the client's keys and never reads it.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/cpu.h"
#include "base/result.h"
#include "engine/host/host.h"
#include "platform/process/control.h"
#include "platform/process/host_spawn.h"
#include "platform/session.h"

namespace carrel {

struct LinkOptions {
  std::string enclave_path;  // empty: find_enclave
  std::string model_path;
  uint64_t budget_bytes = 0;
  uint32_t threads = 1;
  CpuMask cpu = 0;
  // Address space for inputs, outputs and spill; pages exist once touched.
  uint64_t shared_bytes = 0;
  // Mapping is the default: ciphertext is decrypted straight from the page cache, with no copy and
  // no start-up cost. 512 MiB in 128 KiB tiles, one core: mapped file 9.0 GB/s first, 10.6 then;
  // pread 5.1; a sealed memfd 6.9 and 10.0 after a copy of 190-930 ms and 512 MiB of memory. A page
  // that vanishes is the enclave's to repair (control.h).
  ModelAccess model_access = ModelAccess::kMap;
  bool allow_secret_memory = true;
  int start_timeout_ms = 120 * 1000;  // a block of 1 GiB of memfd_secret takes seconds
  int request_timeout_ms = 0;         // 0: none; a dead enclave is noticed at once all the same
};

// Thread safety: one caller at a time, on any thread.
class EnclaveLink {
 public:
  // Starts an enclave, hands it the descriptors and waits until it is locked down, has the client's
  // keys and has checked the model. `deliver` gets the writing end of a pipe whose other end only
  // the enclave reads. Errors: kIo (model or executable not readable), kPlatform (died, timed out),
  // `deliver`'s own, and whatever the enclave answers.
  static Result<std::unique_ptr<EnclaveLink>> open(const LinkOptions& options,
                                                   const DeliverSecrets& deliver);
  ~EnclaveLink();

  // One request and its reply; an Error if the enclave answered one, died, or was too slow. After
  // kPlatform, kCancelled and kAuthentication the link is dead and every later call fails.
  Result<Reply> call(const Request& request);

  std::span<std::byte> shared_area() { return shared_; }
  pid_t pid() const { return process_ ? process_->pid() : -1; }
  const ReadyMessage& ready() const { return ready_; }
  // RssAnon + VmLck of the enclave, memory that counts in both taken once. 0 if the kernel does not
  // tell.
  uint64_t kernel_private_bytes() const;
  // One line that says which protections this machine refused; empty if none.
  const std::string& protection_notes() const { return notes_; }

 private:
  EnclaveLink() = default;
  Status start(const DeliverSecrets& deliver);
  Status make_channel(OwnedFd* enclave_end);
  Status make_shared_area(uint64_t bytes, OwnedFd* fd);
  Status receive_ready();
  // Waits for one packet of exactly `bytes`.
  Status receive_packet(void* packet, size_t bytes, int timeout_ms, const char* during);
  Error died(const char* during);

  LinkOptions options_;
  std::unique_ptr<EnclaveProcess> process_;
  OwnedFd control_;
  std::span<std::byte> shared_;
  ReadyMessage ready_;
  std::string notes_;
  bool dead_ = false;
  bool busy_ = true;  // it may not look at the channel for a while; true until it is ready
};

}  // namespace carrel
