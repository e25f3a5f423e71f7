#include "platform/process/host_notes.h"

#include <sys/resource.h>

#include <cerrno>

#include "base/bytes.h"

namespace carrel {
namespace {

std::string size_text(uint64_t bytes) {
  char buffer[32];
  return format_bytes(bytes, buffer);
}

std::string reason(const ReadyMessage& ready) {
  switch (ready.refusal_errno) {
    case 0:
      return "memfd_secret was not asked for";
    case ENOSYS:
      return "this kernel has no memfd_secret; Linux 6.5 or secretmem.enable=1 would";
    case EAGAIN:
    case EPERM:
      break;
    default:
      return "memfd_secret failed with errno " + std::to_string(ready.refusal_errno);
  }
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  return "memfd_secret needs CAP_IPC_LOCK or a locked-memory limit (ulimit -l) of " +
         size_text(ready.trusted_mapping_bytes) + ", the limit is " + size_text(limit.rlim_max);
}

}  // namespace

std::string describe_lost_protection(const ReadyMessage& ready) {
  std::string notes;
  if (ready.lost & kLostSecretBlock) {
    const bool keys_too = (ready.lost & kLostSecretKeys) != 0;
    notes = std::string(keys_too ? "keys, weights and activations"
                                 : "weights and activations (not keys)") +
            " lie in ordinary memory, which root can read" +
            ((ready.lost & kLostLock) ? " and the kernel may swap out" : "") + ": " + reason(ready);
  } else if (ready.lost & kLostSecretKeys) {
    notes = "keys lie in ordinary memory, which root can read: " + reason(ready);
  }
  if (ready.lost & kLostUid) {
    notes += std::string(notes.empty() ? "" : "; ") +
             "the trusted process keeps root's user id, because " +
             ((ready.lost & kLostUidNoKill)
                  ? "its launcher has no CAP_KILL to end another user's process"
                  : "user 65534, CAP_SETUID or CAP_SETGID is missing here");
  }
  return notes;
}

}  // namespace carrel
