#pragma once
// The engine on ordinary memory of the calling process: NO wall at all. For tests, measurements and debugging; the
// budget, the sealed model and every check are the same as elsewhere.
//
// A model file is read, never mapped: a mapped file that shrinks would end the calling process.
#include <memory>

#include "engine/host/trace.h"
#include "platform/session.h"

namespace carrel {

struct InprocOptions {
  SessionOptions session;
  // Instead of session.model_path: the sealed model in memory, which outlives the session. With session.map_model
  // the engine decrypts straight from it.
  std::span<const std::byte> model;
  // Instead of memory of its own: the engine's block, session.budget_bytes less its reserve; outlives the session.
  std::span<std::byte> block;
  TraceSink* trace = nullptr;
};

// Errors: kIo, kBudgetTooSmall, and those of Engine::open (engine/runtime/engine.h).
Result<std::unique_ptr<TrustedSession>> open_inproc_session(const InprocOptions& options, const DeliverSecrets& deliver);

}  // namespace carrel
