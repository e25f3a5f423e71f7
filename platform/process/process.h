#pragma once
// The `process` platform: the engine in a sandboxed child process of its own (carrel-enclave).
//
// Protects from: other users; other processes of the same user (they can neither read it nor
// attach); a host that changes or withholds any byte; a bug in the engine that tries to reach
// files, the network or other processes. Does not protect from: root, the kernel, whoever owns the
// hardware. README.md beside this file says more.
#include <memory>

#include "base/result.h"
#include "platform/session.h"

namespace carrel {

// Starts an enclave; returns once it is locked down, has its keys and has checked the model's
// header. `deliver` is called once in between. Errors: kIo, kPlatform, kBudgetTooSmall, and the
// engine's own (kWrongKey, kAuthentication, kInvalidInput).
//
// The enclave ends with the session object, with this process, or by itself after an error that
// ends the session.
Result<std::unique_ptr<TrustedSession>> open_process_session(const SessionOptions& options,
                                                             const DeliverSecrets& deliver);

}  // namespace carrel
