#pragma once
// For tests only: a session over a sealed model in memory, and its client.
#include <memory>

#include "client/boundary.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/test_model.h"
#include "platform/inproc/inproc.h"
#include "platform/inproc/inproc_host.h"

namespace carrel::testing {

inline constexpr uint8_t kModelKeyFill = 0x11, kSessionKeyFill = 0x22;

inline SessionSecrets test_secrets(uint8_t model_key_fill = kModelKeyFill) {
  SessionSecrets secrets{};
  secrets.model_key = test_key(model_key_fill);
  secrets.session_key = test_key(kSessionKeyFill);
  return secrets;
}

struct RunOptions {
  uint32_t threads = 1;
  CpuMask cpu = detect_cpu();
  bool map_model = true;
  TraceSink* trace = nullptr;
  bool profile_room = false;  // in the shared area, behind the stores
};

// One program, sealed and opened in process.
class TestSession {
 public:
  TestSession(const TestProgram& program, const RunOptions& options)
      : blob_(program.blob(options.threads, isa_level(options.cpu))),
        view_(*parse_program(blob_)),
        model_(seal_model(program, {blob_}, test_key(kModelKeyFill))),
        client_(test_key(kSessionKeyFill), options.cpu) {
    InprocOptions inproc;
    inproc.session.budget_bytes = view_.header->budget_bytes;
    inproc.session.threads = options.threads;
    inproc.session.cpu = options.cpu;
    inproc.session.shared_bytes = std::max<uint64_t>(view_.header->store_bytes, blob_.size() + kTagBytes);
    if (options.profile_room) {
      inproc.session.shared_bytes += 64 + view_.steps.size() * sizeof(StepProfile);
    }
    inproc.session.map_model = options.map_model;
    inproc.model = model_.file;
    inproc.trace = options.trace;
    auto session = open_inproc_session(inproc, [](int fd) { return deliver_secrets(fd, test_secrets()); });
    if (session.ok()) session_ = std::move(*session);
  }
  bool opened() const { return session_ != nullptr; }
  TrustedSession& session() { return *session_; }
  TestModel& model() { return model_; }
  const ProgramView& view() const { return view_; }
  std::span<const std::byte> blob() const { return blob_; }
  const SessionBoundary& client() const { return client_; }

  Status prepare() { return session_->prepare_sealed(model_.program_offsets[0], model_.program_bytes[0], 0); }
  Status seal_inputs(uint64_t counter, std::span<const std::vector<float>> inputs) {
    for (uint32_t i = 0; i < inputs.size(); ++i) {
      CARREL_ASSIGN(const BoundaryTensor tensor, boundary_tensor(view_, i));
      CARREL_RETURN_IF_ERROR(client_.seal_input(tensor, counter, inputs[i], session_->shared_area()));
    }
    return ok_status();
  }
  Result<std::vector<float>> open_output(uint64_t counter) {
    CARREL_ASSIGN(const BoundaryTensor tensor, boundary_tensor(view_, view_.header->input_count));
    std::vector<float> values(tensor.element_count);
    CARREL_RETURN_IF_ERROR(client_.open_output(tensor, counter, session_->shared_area(), values));
    return values;
  }
  // All of one image; `stats` may be null.
  Result<std::vector<float>> infer(uint64_t counter, std::span<const std::vector<float>> inputs,
                                   RunStats* stats = nullptr) {
    CARREL_RETURN_IF_ERROR(seal_inputs(counter, inputs));
    CARREL_ASSIGN(const RunStats run, session_->run(counter));
    if (stats != nullptr) *stats = run;
    return open_output(counter);
  }

 private:
  std::vector<std::byte> blob_;
  ProgramView view_;
  TestModel model_;
  SessionBoundary client_;
  std::unique_ptr<TrustedSession> session_;
};

}  // namespace carrel::testing
