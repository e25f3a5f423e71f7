#include "platform/epcsim/epcsim.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/checked.h"
#include "engine/runtime/engine.h"
#include "platform/inproc/inproc.h"

namespace carrel {
namespace {

// The sealed model as an enclave sees it: mapped untrusted memory. Reading it through system calls is no choice, since
// those cannot write into a region that faults.
class MappedModel {
 public:
  MappedModel() = default;
  MappedModel(const MappedModel&) = delete;
  MappedModel& operator=(const MappedModel&) = delete;
  ~MappedModel() {
    if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
  }
  Status open(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return Error(ErrorCode::kIo, "cannot be opened: %s", strerror(errno));
    struct stat info = {};
    const bool known = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
    void* map = known ? mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (map == MAP_FAILED) return Error(ErrorCode::kIo, "cannot be mapped into memory");
    bytes_ = {static_cast<std::byte*>(map), static_cast<size_t>(info.st_size)};
    return ok_status();
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

// What the engine reports of itself, put beside the faults.
class Listener final : public TraceSink {
 public:
  explicit Listener(EpcTrace* trace) : trace_(trace) {}
  void record(const TraceEvent& event) override {
    if (event.kind == TraceKind::kArena) handed_out_.fetch_add(event.bytes, std::memory_order_relaxed);
    if (trace_ == nullptr) return;
    trace_->set_step(event.step);
    if (event.kind == TraceKind::kHostCall) trace_->note(EpcEventKind::kCrossing, 0);
  }
  uint64_t handed_out() const { return handed_out_.load(std::memory_order_relaxed); }

 private:
  EpcTrace* trace_;
  std::atomic<uint64_t> handed_out_{0};
};

class Session final : public EpcsimSession {
 public:
  Status open(const EpcsimOptions& options, const DeliverSecrets& deliver) {
    const SessionOptions& session = options.session;
    const uint64_t reserve = runtime_reserve_bytes(session.threads);
    const uint64_t least = reserve + session.threads * kLeastResidentPages * kEpcPageBytes;
    if (session.budget_bytes < least) {
      return Error(ErrorCode::kBudgetTooSmall, "the engine alone needs %llu bytes", static_cast<unsigned long long>(least))
          .with_detail(least);
    }
    CARREL_RETURN_IF_ERROR(model_.open(session.model_path));
    if (options.trace_events > 0) trace_ = std::make_unique<EpcTrace>(options.trace_events);
    listener_ = std::make_unique<Listener>(trace_.get());
    const uint64_t block_bytes = session.budget_bytes - reserve;
    const uint64_t pages = round_up(block_bytes, kEpcPageBytes) / kEpcPageBytes;
    const uint64_t resident = options.resident_pages != 0 ? std::min(options.resident_pages, pages) : pages;
    CARREL_ASSIGN(epc_, Epc::open({block_bytes, resident, session.cpu, trace_.get(), session.threads}));
    InprocOptions inproc;
    inproc.session = session;
    inproc.session.map_model = true;
    inproc.model = model_.bytes();
    inproc.block = epc_->memory().first(block_bytes);
    inproc.trace = listener_.get();
    CARREL_ASSIGN(engine_, open_inproc_session(inproc, deliver));
    return ok_status();
  }

  Status prepare_sealed(uint64_t offset, uint64_t bytes, uint64_t index) override {
    return engine_->prepare_sealed(offset, bytes, index);
  }
  Status prepare_session_program(std::span<const std::byte> sealed) override {
    return engine_->prepare_session_program(sealed);
  }
  std::span<std::byte> shared_area() override { return engine_->shared_area(); }
  Result<RunStats> run(uint64_t counter, uint64_t profile_offset) override {
    note_crossings(kCrossingsBefore);
    CARREL_ASSIGN(const RunStats stats, engine_->run(counter, profile_offset));
    note_crossings(kCrossingsAfter);
    return stats;
  }
  uint64_t kernel_private_bytes() override { return 0; }
  const char* protection_notes() override {
    return "epcsim: a simulation; the engine shares this process's memory and nothing separates it from the host";
  }
  EpcCounters counters() const override { return epc_->counters(); }
  uint64_t bytes_handed_out() const override { return listener_->handed_out(); }
  EpcTrace* trace() override { return trace_.get(); }

 private:
  // The request and a look at the clock; another look and the reply. The model is mapped: nothing else leaves the enclave.
  static constexpr int kCrossingsBefore = 2, kCrossingsAfter = 2;
  void note_crossings(int count) {
    for (int i = 0; trace_ != nullptr && i < count; ++i) trace_->note(EpcEventKind::kCrossing, 0);
  }

  MappedModel model_;
  std::unique_ptr<EpcTrace> trace_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Epc> epc_;
  std::unique_ptr<TrustedSession> engine_;  // ends first
};

}  // namespace

Result<std::unique_ptr<EpcsimSession>> open_epcsim_session(const EpcsimOptions& options, const DeliverSecrets& deliver) {
  auto session = std::make_unique<Session>();
  CARREL_RETURN_IF_ERROR(session->open(options, deliver));
  return std::unique_ptr<EpcsimSession>(std::move(session));
}

}  // namespace carrel
