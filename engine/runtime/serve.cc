#include <cstring>

#include "engine/host/checked_host.h"
#include "engine/runtime/engine.h"

namespace carrel {
namespace {

Status handle(Engine* engine, const Request& request, Reply* reply) {
  if (request.kind == RequestKind::kPrepare) return engine->prepare(request);
  if (request.kind == RequestKind::kRun) return engine->run(request, &reply->stats);
  return ok_status();
}

void put_status(const Status& status, Reply* reply) {
  reply->ok = status.ok() ? 1 : 0;
  if (status.ok()) return;
  const Error& error = status.error();
  reply->error_code = static_cast<uint32_t>(error.code());
  reply->detail = error.detail();
  static_assert(sizeof(reply->message) == Error::kMessageBytes);
  std::memcpy(reply->message, error.message(), sizeof(reply->message));
}

}  // namespace

void serve(Engine* engine) {
  CheckedHost* host = engine->host();
  for (;;) {
    const Result<Request> request = host->receive();
    if (!request.ok()) break;
    Reply reply;
    put_status(handle(engine, *request, &reply), &reply);
    if (!host->reply(reply).ok() || request->kind == RequestKind::kClose) break;
  }
  engine->close();
}

}  // namespace carrel
