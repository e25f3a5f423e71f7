#include "platform/inproc/inproc.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "base/wipe.h"
#include "engine/runtime/engine.h"
#include "platform/inproc/inproc_host.h"

namespace carrel {
namespace {

// The client writes one SessionSecrets; a pipe takes that much without a reader.
Status receive_secrets_by_pipe(const DeliverSecrets& deliver, SessionSecrets* secrets) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error(ErrorCode::kIo, "no pipe for the session's secrets: %s", strerror(errno));
  const Status delivered = deliver(ends[1]);
  close(ends[1]);
  size_t have = 0;
  while (delivered.ok() && have < sizeof(*secrets)) {
    const ssize_t count = read(ends[0], reinterpret_cast<char*>(secrets) + have, sizeof(*secrets) - have);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    have += static_cast<size_t>(count);
  }
  close(ends[0]);
  CARREL_RETURN_IF_ERROR(delivered);
  if (have == sizeof(*secrets)) return ok_status();
  return Error(ErrorCode::kPlatform, "the client delivered no secrets");
}

class InprocSession final : public TrustedSession {
 public:
  ~InprocSession() override {
    engine_->close();
    for (std::thread& worker : workers_) worker.join();
    engine_.reset();
    unmap_memory(own_block_);
  }

  Status open(const InprocOptions& options, const DeliverSecrets& deliver);

  Status prepare_sealed(uint64_t offset, uint64_t bytes, uint64_t index) override {
    return prepare({RequestKind::kPrepare, 0, {offset, bytes, index, 0}});
  }
  Status prepare_session_program(std::span<const std::byte> sealed) override;
  std::span<std::byte> shared_area() override { return host_.shared_area(); }
  Result<RunStats> run(uint64_t counter, uint64_t profile_offset) override {
    CARREL_RETURN_IF_ERROR(alive());
    RunStats stats;
    CARREL_RETURN_IF_ERROR(checked(engine_->run({RequestKind::kRun, 0, {counter, profile_offset, 0, 0}}, &stats)));
    return stats;
  }
  uint64_t kernel_private_bytes() override { return 0; }
  const char* protection_notes() override {
    return "inproc: the engine shares this process's memory; nothing separates it from the host";
  }

 private:
  Status alive() const {
    if (dead_) return Error(ErrorCode::kPlatform, "the session has ended with an error");
    return ok_status();
  }
  Status checked(const Status& status) {
    dead_ = !status.ok() && ends_session(status.error().code());
    return status;
  }
  Status prepare(const Request& request) {
    CARREL_RETURN_IF_ERROR(alive());
    return checked(engine_->prepare(request));
  }

  InprocHost host_;
  std::span<std::byte> own_block_;
  std::unique_ptr<Engine> engine_ = std::make_unique<Engine>();
  std::vector<std::thread> workers_;
  bool dead_ = false;
};

Status InprocSession::open(const InprocOptions& options, const DeliverSecrets& deliver) {
  const SessionOptions& session = options.session;
  const uint64_t reserve = runtime_reserve_bytes(session.threads);
  if (session.budget_bytes <= reserve) {
    return Error(ErrorCode::kBudgetTooSmall, "the engine alone needs %llu bytes",
                 static_cast<unsigned long long>(reserve))
        .with_detail(reserve + 4096);  // one page is the least block
  }
  if (options.model.empty()) CARREL_RETURN_IF_ERROR(host_.use_file(session.model_path));
  else host_.use_memory(options.model, session.map_model);
  CARREL_RETURN_IF_ERROR(host_.allocate_shared(session.shared_bytes));
  if (options.block.empty()) own_block_ = map_memory(session.budget_bytes - reserve);
  const std::span<std::byte> block = options.block.empty() ? own_block_ : options.block;
  if (block.empty()) return Error(ErrorCode::kIo, "no memory for the engine's block");
  SessionSecrets secrets;
  const Status received = receive_secrets_by_pipe(deliver, &secrets);
  if (!received.ok()) {
    wipe(&secrets, sizeof(secrets));
    return received;
  }
  const EngineConfig config{block, session.threads, session.cpu, options.trace};
  CARREL_RETURN_IF_ERROR(Engine::open(&host_, config, &secrets, engine_.get()));
  for (uint32_t i = 1; i < session.threads; ++i) {
    workers_.emplace_back([this, i] { engine_->worker_loop(i); });
  }
  return ok_status();
}

Status InprocSession::prepare_session_program(std::span<const std::byte> sealed) {
  const std::span<std::byte> area = host_.shared_area();
  if (sealed.size() <= kTagBytes || sealed.size() > area.size()) {
    return Error(ErrorCode::kInvalidInput, "a sealed program of %llu bytes does not fit the shared area",
                 static_cast<unsigned long long>(sealed.size()));
  }
  std::copy(sealed.begin(), sealed.end(), area.begin());
  return prepare({RequestKind::kPrepare, 0, {0, sealed.size() - kTagBytes, kSessionProgram, 0}});
}

}  // namespace

Result<std::unique_ptr<TrustedSession>> open_inproc_session(const InprocOptions& options,
                                                            const DeliverSecrets& deliver) {
  auto session = std::make_unique<InprocSession>();
  CARREL_RETURN_IF_ERROR(session->open(options, deliver));
  return std::unique_ptr<TrustedSession>(std::move(session));
}

}  // namespace carrel
