#pragma once
// Starting, watching and ending one enclave process. Untrusted side: holds no key and no plaintext.
#include <sys/types.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"

namespace carrel {

// A descriptor that closes itself.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~OwnedFd() { reset(); }
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// The enclave's executable, held open (O_PATH), so that what was checked is what runs.
struct EnclaveFile {
  std::string path;  // for messages
  OwnedFd fd;
};

// What becomes descriptors 3 to 6 (control.h). Borrowed.
struct EnclaveFds {
  int control = -1;
  int model = -1;
  int shared = -1;
  int key = -1;
};

// A child that never outlives this object, this process, or a crash of either. A thread of its own
// starts it and stays until the end, because the kernel sends the death signal when the starting
// *thread* goes; so sessions may be opened, used and dropped on any thread.
class EnclaveProcess {
 public:
  // posix_spawn (vfork and exec: the caller's memory image is never copied), empty environment, own
  // process group (a terminal's Ctrl-C is the launcher's to handle), default signals. Errors:
  // kPlatform.
  static Result<std::unique_ptr<EnclaveProcess>> spawn(const EnclaveFile& file,
                                                       const EnclaveFds& fds);
  ~EnclaveProcess();  // kills and reaps

  pid_t pid() const { return pid_; }
  // Waits up to `timeout_ms` for the process to end by itself; how it did, as half a sentence, or
  // that it did not.
  std::string describe_end(int timeout_ms) const;

 private:
  EnclaveProcess() = default;
  void keep(int program, const EnclaveFds& fds);

  std::thread keeper_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;  // the keeper knows whether it could
  bool stopping_ = false;
  int spawn_errno_ = 0;
  pid_t pid_ = -1;
};

}  // namespace carrel
