#pragma once
// The enclave's trusted memory: memfd_secret where the kernel grants it, else the best that
// ordinary memory offers.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace carrel {

struct TrustedMemory {
  std::span<std::byte>
      bytes;  // as asked for; zeroed, 4096-aligned, an unmapped page on either side
  bool secret =
      false;  // memfd_secret: not in the kernel's direct map, never swapped, never in a core file
  bool locked = false;        // anonymous and mlocked
  int32_t refusal_errno = 0;  // why it is not secret
};

// Maps `bytes` (the rest of the last page stays unused), once for the life of the process: a page
// of memfd_secret costs about 25 us to take in and the kernel's direct map stays split for good.
// Pages are taken in on first touch, so a grant larger than the program costs nothing. memfd_secret
// is charged to RLIMIT_MEMLOCK unless CAP_IPC_LOCK is held now; the fallback is anonymous memory
// kept out of core files, children and huge pages, and locked if the limit allows. Errors:
// kPlatform if no memory can be had.
Result<TrustedMemory> map_trusted(uint64_t bytes, bool allow_secret);

}  // namespace carrel
