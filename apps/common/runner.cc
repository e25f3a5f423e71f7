#include "apps/common/runner.h"

#include <algorithm>
#include <cstring>

#include "apps/common/clock.h"
#include "base/bytes.h"
#include "base/checked.h"
#include "base/wipe.h"
#include "client/boundary.h"
#include "compiler/seal/seal.h"
#include "engine/crypto/hash.h"
#include "platform/inproc/inproc.h"
#include "platform/process/process.h"
#include "platform/session.h"

namespace carrel {
namespace {

// A program that this session will run: the blob, and where it lies in the file if it was sealed there.
struct ChosenProgram {
  std::vector<uint64_t> aligned;  // the blob, 8-byte aligned
  uint64_t bytes = 0;
  int64_t sealed_index = -1;      // -1: planned now
  ProgramView view;

  std::span<const std::byte> blob() const { return std::as_bytes(std::span(aligned)).first(bytes); }
};

Status set_blob(const std::vector<std::byte>& blob, ChosenProgram* chosen) {
  chosen->bytes = blob.size();
  chosen->aligned.assign((blob.size() + 7) / 8, 0);
  std::memcpy(chosen->aligned.data(), blob.data(), blob.size());
  CARREL_ASSIGN(chosen->view, parse_program(chosen->blob()));
  return validate_program(chosen->view);
}

bool serves(const ProgramRecord& record, const PlanRequest& request) {
  return record.budget_bytes == request.budget_bytes && record.threads == request.threads &&
         record.strategy == static_cast<uint8_t>(request.strategy) && record.isa == static_cast<uint8_t>(request.isa);
}

Result<ChosenProgram> choose_program(const SealedInfo& info, const SecretKey& key, const PlanRequest& request) {
  ChosenProgram chosen;
  for (size_t i = 0; i < info.programs.size(); ++i) {
    if (!serves(info.programs[i], request)) continue;
    CARREL_ASSIGN(const std::vector<std::byte> blob, open_sealed_program(info, key, i));
    CARREL_RETURN_IF_ERROR(set_blob(blob, &chosen));
    chosen.sealed_index = static_cast<int64_t>(i);
    return chosen;
  }
  CARREL_ASSIGN(const StreamPlan streams, sealed_streams(info));
  CARREL_ASSIGN(const Plan plan, plan_program(info.architecture, streams, request));
  CARREL_RETURN_IF_ERROR(set_blob(plan.program, &chosen));
  return chosen;
}

class SessionRunner : public Runner {
 public:
  ~SessionRunner() override { wipe(&session_key_, sizeof session_key_); }

  Status start(const RunnerOptions& options, const SecretKey& key) {
    CARREL_ASSIGN(info_, read_sealed(options.model_path));
    CARREL_RETURN_IF_ERROR(authenticate_sealed(info_, key));
    if (options.pin_model && !(options.expected_model == info_.header.model_id)) {
      return Error(ErrorCode::kAuthentication, "not the expected model: its id differs");
    }
    const PlanRequest request{options.memory_bytes, options.strategy, options.threads, isa_level(options.cpu), options.machine};
    CARREL_ASSIGN(program_, choose_program(info_, key, request));
    CARREL_RETURN_IF_ERROR(describe_boundary());
    CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(session_key_.bytes))));
    boundary_ = std::make_unique<SessionBoundary>(session_key_, options.cpu);
    if (options.profile) place_profile();
    const double before = now_ms();
    CARREL_RETURN_IF_ERROR(open_session(options, key));
    CARREL_RETURN_IF_ERROR(prepare(options));
    start_ms_ = now_ms() - before;
    return ok_status();
  }

  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  int64_t batch() const override { return info_.architecture.batch; }
  const Graph& architecture() const override { return info_.architecture; }
  const ProgramHeader& program() const override { return *program_.view.header; }
  const SealedHeader& model() const override { return info_.header; }
  WeightTypes precision() const override { return weight_types(info_.manifest); }
  std::span<const StreamDesc> streams() const override { return info_.streams; }
  bool planned_now() const override { return program_.sealed_index < 0; }
  uint64_t kernel_private_bytes() override { return session_->kernel_private_bytes(); }
  const char* protection_notes() override { return session_->protection_notes(); }
  double start_ms() const override { return start_ms_; }
  EpcsimSession* epcsim() override { return epcsim_; }
  const ProgramView& program_view() const override { return program_.view; }
  Result<Profile> profile() const override { return profile_.mean(program_.view, info_.architecture); }
  void drop_profile() override { profile_ = {}; }

  Result<std::vector<Tensor>> run(const std::vector<Tensor>& values, RunStats* stats,
                                  const ImageProgress& progress) override {
    CARREL_ASSIGN(const int64_t images, image_count(values));
    std::vector<Tensor> results;
    for (const TensorInfo& out : outputs_) {
      Shape shape = out.shape;
      if (images > 1) shape[0] = images;
      results.push_back(Tensor::zeros(DType::kF32, shape));
    }
    *stats = RunStats{};
    for (int64_t image = 0; image < images; ++image) {
      CARREL_RETURN_IF_ERROR(run_image(values, image, &results, stats));
      if (progress) progress(image + 1, images);
    }
    return results;
  }

 private:
  // Behind the stores, on lines of its own.
  void place_profile() {
    profile_offset_ = round_up(program().store_bytes, 64) + 64;
    profile_steps_.resize(program_.view.steps.size());
  }
  uint64_t profile_bytes() const { return profile_steps_.size() * sizeof(StepProfile); }
  void collect_profile(const RunStats& stats) {
    if (profile_offset_ == kNoProfile) return;
    std::memcpy(profile_steps_.data(), session_->shared_area().data() + profile_offset_, profile_bytes());
    profile_.add(profile_steps_, stats);
  }

  Status describe_boundary() {
    const Graph& graph = info_.architecture;
    const auto describe = [&](const std::vector<ValueId>& ids, uint32_t first, std::vector<TensorInfo>* infos,
                              std::vector<BoundaryTensor>* tensors) -> Status {
      for (size_t i = 0; i < ids.size(); ++i) {
        infos->push_back({graph.value(ids[i]).name, graph.value(ids[i]).shape});
        CARREL_ASSIGN(const BoundaryTensor t, boundary_tensor(program_.view, first + static_cast<uint32_t>(i)));
        const bool unread = t.store.kind == StoreKind::kInput && t.element_count == 0;
        if (!unread && t.element_count != static_cast<uint64_t>(graph.value(ids[i]).shape.count())) {
          return Error(ErrorCode::kAuthentication, "the program does not fit the network's inputs and outputs");
        }
        tensors->push_back(t);
      }
      return ok_status();
    };
    CARREL_RETURN_IF_ERROR(describe(graph.inputs, 0, &inputs_, &input_blocks_));
    return describe(graph.outputs, static_cast<uint32_t>(graph.inputs.size()), &outputs_, &output_blocks_);
  }

  Status open_session(const RunnerOptions& options, const SecretKey& key) {
    SessionOptions session;
    session.model_path = options.model_path;
    session.budget_bytes = options.memory_bytes;
    session.threads = options.threads;
    session.cpu = options.cpu;
    const uint64_t needed = profile_offset_ == kNoProfile ? program().store_bytes : profile_offset_ + profile_bytes();
    session.shared_bytes = std::max<uint64_t>(needed, program_.bytes + kTagBytes);
    session.timeout_ms = options.timeout_ms;
    session.enclave_path = options.enclave_path;
    const DeliverSecrets deliver = [&](int fd) {
      SessionSecrets secrets{key, session_key_, info_.header.model_id, 1, 0};
      const Status sent = deliver_secrets(fd, secrets);
      wipe(&secrets, sizeof secrets);
      return sent;
    };
    switch (options.platform) {
      case PlatformKind::kProcess: {
        CARREL_ASSIGN(session_, open_process_session(session, deliver));
        return ok_status();
      }
      case PlatformKind::kInproc: {
        CARREL_ASSIGN(session_, open_inproc_session({session, {}, {}, nullptr}, deliver));
        return ok_status();
      }
      case PlatformKind::kEpcsim: break;
    }
    CARREL_ASSIGN(std::unique_ptr<EpcsimSession> simulated,
                  open_epcsim_session({session, options.trace_events, options.resident_pages}, deliver));
    epcsim_ = simulated.get();
    session_ = std::move(simulated);
    return ok_status();
  }

  Status prepare(const RunnerOptions& options) {
    if (program_.sealed_index >= 0) {
      const ProgramRecord& record = info_.programs[static_cast<size_t>(program_.sealed_index)];
      return session_->prepare_sealed(record.offset, record.program_bytes, static_cast<uint64_t>(program_.sealed_index));
    }
    std::vector<std::byte> sealed(program_.bytes + kTagBytes);
    CARREL_RETURN_IF_ERROR(seal_session_program(session_key_, options.cpu, info_.header.model_id, program_.blob(), sealed));
    return session_->prepare_session_program(sealed);
  }

  // How many engine runs the values make; every input must agree.
  Result<int64_t> image_count(const std::vector<Tensor>& values) const {
    if (values.size() != inputs_.size()) {
      return Error(ErrorCode::kInvalidInput, "the network takes %zu inputs, not %zu", inputs_.size(), values.size());
    }
    int64_t images = -1;
    for (size_t i = 0; i < values.size(); ++i) {
      CARREL_ASSIGN(const int64_t n, images_of(values[i], inputs_[i]));
      if (images >= 0 && n != images) return Error(ErrorCode::kInvalidInput, "the inputs have different batch sizes");
      images = n;
    }
    if (batch() > 1 && images != batch()) {
      return Error(ErrorCode::kInvalidInput, "this network takes a batch of exactly %ld, not %ld", batch(), images);
    }
    return images < 0 ? 1 : images;
  }

  Result<int64_t> images_of(const Tensor& value, const TensorInfo& input) const {
    if (value.type != DType::kF32) {
      return Error(ErrorCode::kInvalidInput, "input '%s' must be float32, not %s", input.name.c_str(), dtype_name(value.type));
    }
    Shape one = value.shape;
    int64_t images = 1;
    if (batch() != 1 && one.rank() > 0 && one.rank() == input.shape.rank()) {
      images = one[0];
      one[0] = 1;
    }
    if (one == input.shape && images >= 1) return images;
    return Error(ErrorCode::kInvalidInput, "input '%s' has shape %s; the network takes %s", input.name.c_str(),
                 shape_text(value.shape, false).c_str(), shape_text(input.shape, batch() == 0).c_str());
  }

  static std::string shape_text(const Shape& shape, bool free_batch) {
    std::string text = "(";
    for (int i = 0; i < shape.rank(); ++i) {
      text += (i > 0 ? ", " : "") + (i == 0 && free_batch ? std::string("N") : std::to_string(shape[i]));
    }
    return text + ")";
  }

  Status run_image(const std::vector<Tensor>& values, int64_t image, std::vector<Tensor>* results, RunStats* stats) {
    const uint64_t counter = ++counter_;
    const std::span<std::byte> shared = session_->shared_area();
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t count = input_blocks_[i].element_count;
      if (count == 0) continue;  // no operator reads it
      const std::span<const float> part = values[i].f32().subspan(static_cast<size_t>(image) * count, count);
      CARREL_RETURN_IF_ERROR(boundary_->seal_input(input_blocks_[i], counter, part, shared));
    }
    CARREL_ASSIGN(const RunStats one, session_->run(counter, profile_offset_));
    collect_profile(one);
    for (size_t i = 0; i < results->size(); ++i) {
      const size_t count = output_blocks_[i].element_count;
      const std::span<float> part = (*results)[i].f32().subspan(static_cast<size_t>(image) * count, count);
      CARREL_RETURN_IF_ERROR(boundary_->open_output(output_blocks_[i], counter, shared, part));
    }
    stats->peak_trusted_bytes = std::max(stats->peak_trusted_bytes, one.peak_trusted_bytes);
    stats->bytes_decrypted += one.bytes_decrypted;
    stats->bytes_spilled += one.bytes_spilled;
    stats->bytes_fetched += one.bytes_fetched;
    stats->crossings += one.crossings;
    stats->nanoseconds += one.nanoseconds;
    return ok_status();
  }

  SealedInfo info_;
  ChosenProgram program_;
  SecretKey session_key_{};
  std::unique_ptr<SessionBoundary> boundary_;
  std::vector<TensorInfo> inputs_, outputs_;
  std::vector<BoundaryTensor> input_blocks_, output_blocks_;
  std::unique_ptr<TrustedSession> session_;
  EpcsimSession* epcsim_ = nullptr;  // session_, where it is one
  uint64_t counter_ = 0;
  uint64_t profile_offset_ = kNoProfile;
  std::vector<StepProfile> profile_steps_;
  ProfileSum profile_;
  double start_ms_ = 0;
};

}  // namespace

Result<std::unique_ptr<Runner>> Runner::open(const RunnerOptions& options, const SecretKey& key) {
  auto runner = std::make_unique<SessionRunner>();
  CARREL_RETURN_IF_ERROR(runner->start(options, key));
  return std::unique_ptr<Runner>(std::move(runner));
}

}  // namespace carrel
