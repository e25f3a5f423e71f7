#pragma once
// One session with a trusted engine, as the untrusted side sees it. Each platform has a factory:
//
//   platform/inproc/inproc.h    open_inproc_session(options, deliver)
//   platform/process/...        a sandboxed child process
//
// Order of a session (the caller is client and host at once, as the command line is):
//   1. open: the platform starts an engine and calls `deliver` once with a descriptor that leads to the engine
//      alone; the client writes one SessionSecrets (client/boundary.h: deliver_secrets) and nothing else.
//   2. prepare_sealed or prepare_session_program, once.
//   3. per image: the client seals inputs into shared_area() (client/boundary.h), run(counter), opens outputs there.
//   4. destruction ends the engine; it wipes its memory.
//
// Holds no key. Thread safety: none. After an error of kind kAuthentication, kPlatform or kCancelled the session is
// dead and every later call fails.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/cpu.h"
#include "base/result.h"
#include "engine/host/host.h"

namespace carrel {

struct SessionOptions {
  std::string model_path;     // the sealed model
  uint64_t budget_bytes = 0;  // every writable byte of the trusted side
  uint32_t threads = 1;       // as the program's
  CpuMask cpu = 0;            // what the engine may use
  // Of the shared area, fixed at open: at least ProgramHeader::store_bytes, and a session program with its tag.
  uint64_t shared_bytes = 0;
  bool map_model = true;      // false: the engine copies each tile in before it decrypts
  uint32_t timeout_ms = 0;    // for each request; 0: none
  std::string enclave_path;   // process: the trusted executable; empty: found beside this program
};

inline bool ends_session(ErrorCode code) {
  return code == ErrorCode::kAuthentication || code == ErrorCode::kPlatform || code == ErrorCode::kCancelled;
}

// Called once, by the thread that opens the session. The descriptor stays the platform's.
using DeliverSecrets = std::function<Status(int fd)>;

class TrustedSession {
 public:
  virtual ~TrustedSession() = default;

  // The program at `offset` of the model file, `bytes` without its tag, `index` in the manifest.
  virtual Status prepare_sealed(uint64_t offset, uint64_t bytes, uint64_t index) = 0;
  // A program that the client sealed for this session (client/boundary.h: seal_session_program): ciphertext, tag.
  virtual Status prepare_session_program(std::span<const std::byte> sealed) = 0;

  // Where the program's stores lie: untrusted memory. Valid and of fixed size for the life of the session.
  virtual std::span<std::byte> shared_area() = 0;

  // One image; `counter` must exceed every one used before in this session. `profile_offset`: where in shared_area(),
  // behind the program's stores, a StepProfile for each step goes; kNoProfile for none.
  virtual Result<RunStats> run(uint64_t counter, uint64_t profile_offset) = 0;
  Result<RunStats> run(uint64_t counter) { return run(counter, kNoProfile); }

  // The operating system's figure for the trusted process (RssAnon + VmLck); 0 where it cannot be told apart.
  virtual uint64_t kernel_private_bytes() = 0;
  // One line on what this platform does not protect, or has lost on this machine; never null.
  virtual const char* protection_notes() = 0;
};

}  // namespace carrel
