#include <algorithm>
#include <climits>
#include <cstring>
#include <string>

#include "engine/crypto/gcm.h"
#include "engine/format/sealed_model.h"
#include "platform/process/host_link.h"
#include "platform/process/process.h"

namespace carrel {
namespace {

// Where a session program waits for the engine: inputs are written after it has been read.
constexpr uint64_t kSessionProgramOffset = 0;

class ProcessSession final : public TrustedSession {
 public:
  explicit ProcessSession(std::unique_ptr<EnclaveLink> link) : link_(std::move(link)) {
    notes_ = "does not protect from root or from the owner of the machine";
    if (!link_->protection_notes().empty()) notes_ += "; " + link_->protection_notes();
  }

  Status prepare_sealed(uint64_t offset, uint64_t bytes, uint64_t index) override {
    return call(RequestKind::kPrepare, {offset, bytes, index});
  }

  Status prepare_session_program(std::span<const std::byte> sealed) override {
    const std::span<std::byte> shared = link_->shared_area();
    if (sealed.size() <= kTagBytes || sealed.size() > shared.size()) {
      return Error(ErrorCode::kInvalidInput,
                   "a session program of %zu bytes does not fit a shared area of %zu",
                   sealed.size(), shared.size());
    }
    memcpy(shared.data() + kSessionProgramOffset, sealed.data(), sealed.size());
    return call(RequestKind::kPrepare,
                {kSessionProgramOffset, sealed.size() - kTagBytes, kSessionProgram});
  }

  std::span<std::byte> shared_area() override { return link_->shared_area(); }

  Result<RunStats> run(uint64_t counter, uint64_t profile_offset) override {
    Request request;
    request.kind = RequestKind::kRun;
    request.args[0] = counter;
    request.args[1] = profile_offset;
    CARREL_ASSIGN(const Reply reply, link_->call(request));
    return reply.stats;
  }

  uint64_t kernel_private_bytes() override { return link_->kernel_private_bytes(); }
  const char* protection_notes() override { return notes_.c_str(); }

 private:
  struct Arguments {
    uint64_t first, second, third;
  };
  Status call(RequestKind kind, Arguments arguments) {
    Request request;
    request.kind = kind;
    request.args[0] = arguments.first;
    request.args[1] = arguments.second;
    request.args[2] = arguments.third;
    CARREL_RETURN_IF_ERROR(link_->call(request));
    return ok_status();
  }

  std::unique_ptr<EnclaveLink> link_;
  std::string notes_;
};

}  // namespace

Result<std::unique_ptr<TrustedSession>> open_process_session(const SessionOptions& options,
                                                             const DeliverSecrets& deliver) {
  LinkOptions link_options;
  link_options.enclave_path = options.enclave_path;
  link_options.model_path = options.model_path;
  link_options.budget_bytes = options.budget_bytes;
  link_options.threads = options.threads;
  link_options.cpu = options.cpu;
  link_options.shared_bytes = options.shared_bytes;
  link_options.model_access = options.map_model ? ModelAccess::kMap : ModelAccess::kRead;
  link_options.request_timeout_ms =
      static_cast<int>(std::min<uint32_t>(options.timeout_ms, INT_MAX));
  CARREL_ASSIGN(std::unique_ptr<EnclaveLink> link, EnclaveLink::open(link_options, deliver));
  return std::unique_ptr<TrustedSession>(new ProcessSession(std::move(link)));
}

}  // namespace carrel
