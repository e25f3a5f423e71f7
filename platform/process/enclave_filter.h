#pragma once
// The enclave's system-call filter: what may still be asked of the kernel once keys arrive.
//
// Raw BPF rather than libseccomp: a library less inside the wall, about 20 kB less private memory,
// and any foreign architecture (int 0x80, x32) ends the whole process by construction, where
// libseccomp's default ends a thread only and leaves the launcher waiting.
#include "base/result.h"

namespace carrel {

// For all threads of the process, for good. Every thread must be past its start-up (a new thread
// still calls rseq, set_robust_list and rt_sigprocmask) and none may end afterwards. Errors:
// kPlatform.
Status install_filter();

}  // namespace carrel
