#include "engine/runtime/engine.h"

#include <new>
#include <optional>

#include "base/checked.h"
#include "base/wipe.h"
#include "engine/runtime/executor.h"
#include "engine/runtime/float_mode.h"
#include "engine/runtime/sealed_access.h"

namespace carrel {
namespace {

// Programs state their instruction set, so that their results do not depend on the machine beyond it.
CpuMask limit_isa(CpuMask cpu, IsaLevel isa) {
  if (isa < IsaLevel::kAvx512) cpu &= ~CpuMask{kCpuAvx512 | kCpuVnni};
  if (isa < IsaLevel::kAvx2) cpu &= ~CpuMask{kCpuAvx2};
  return cpu;
}

}  // namespace

class Engine::State {
 public:
  explicit State(const EngineConfig& config) : config_(config), tracer_{config.trace} {}
  ~State();

  Status open(Host* host, const SessionSecrets& secrets);
  Status prepare(const Request& request);
  Status run(const Request& request, RunStats* stats);
  CheckedHost* host() { return &host_; }
  Workers* workers() { return &workers_; }
  bool dead() const { return dead_; }

 private:
  Status usable() const;
  Status load_program(const Request& request);
  Status attach_program(std::span<std::byte> blob);
  Status attach_profile(uint64_t claimed_offset);
  // Wipes if the session cannot go on.
  Status settle(Status status);
  void wipe_all();
  void wipe_block();
  void touch_pages();

  EngineConfig config_;
  Tracer tracer_;
  Profiler profiler_;
  CheckedHost host_;
  Workers workers_;
  ModelId model_id_ = {};
  ModelKeys keys_ = {};
  std::optional<Gcm> tile_key_;
  BlockGate gate_;
  Arena arena_;
  TileStream tiles_;
  Executor executor_;
  ProgramView program_;
  uint64_t blob_bytes_ = 0;  // read into the block
  uint64_t last_counter_ = 0;
  bool any_run_ = false;
  bool prepared_ = false;
  bool loaded_once_ = false;
  bool dead_ = false;
};

Engine::State::~State() {
  workers_.close();
  wipe_all();
}

void Engine::State::wipe_all() {
  tile_key_.reset();
  gate_.wipe_keys();
  wipe(&keys_, sizeof(keys_));
  wipe_block();
  program_ = {};
  prepared_ = false;
}

// What was touched of the block; the rest is as the platform gave it, zeros that cost no memory yet.
void Engine::State::wipe_block() {
  wipe(config_.block.data(), blob_bytes_ > arena_.high_water_bytes() ? blob_bytes_ : arena_.high_water_bytes());
}

// Takes every page that the program plans for now: the platform's first touch of a page costs up to 25 us (a secret
// mapping's page leaves the kernel's direct map), which belongs to the start and not to the first inference.
void Engine::State::touch_pages() {
  constexpr uint64_t kPageBytes = 4096;
  const uint64_t planned = program_.header->planned_peak_bytes - runtime_reserve_bytes(config_.threads);
  volatile std::byte* block = config_.block.data();
  for (uint64_t at = blob_bytes_; at < planned; at += kPageBytes) block[at] = std::byte{0};
}

Status Engine::State::settle(Status status) {
  if (!status.ok() && status.error().code() == ErrorCode::kAuthentication) {
    dead_ = true;
    wipe_all();
  }
  return status;
}

Status Engine::State::usable() const {
  if (!dead_) return ok_status();
  return Error(ErrorCode::kAuthentication, "the session ended with a failed authentication");
}

Status Engine::State::open(Host* host, const SessionSecrets& secrets) {
  if (config_.threads < 1 || config_.threads > kMaxThreads) {
    return Error(ErrorCode::kInvalidInput, "threads must be between 1 and %u", kMaxThreads);
  }
  if (reinterpret_cast<uintptr_t>(config_.block.data()) % 64 != 0) {
    return Error(ErrorCode::kPlatform, "the trusted block is misaligned");
  }
  CARREL_RETURN_IF_ERROR(check_crypto_cpu());
  CARREL_RETURN_IF_ERROR(host_.attach(host, config_.block));
  workers_.attach(&host_, &profiler_, config_.threads);
  CARREL_RETURN_IF_ERROR(open_sealed_model(&host_, secrets, &model_id_, &keys_));
  tile_key_.emplace(keys_.tiles, config_.cpu);
  wipe(&keys_.tiles, sizeof(keys_.tiles));
  return gate_.set_keys(secrets.session_key, config_.cpu);
}

Status Engine::State::prepare(const Request& request) {
  CARREL_RETURN_IF_ERROR(usable());
  if (prepared_) return Error(ErrorCode::kInvalidInput, "the session already has a program");
  const Status status = load_program(request);
  if (status.ok()) touch_pages();
  else wipe_block();
  prepared_ = status.ok();
  return settle(status);
}

Status Engine::State::load_program(const Request& request) {
  const uint64_t bytes = request.args[1];
  if (bytes < sizeof(ProgramHeader) || bytes > UINT32_MAX) {
    return Error(ErrorCode::kInvalidInput, "a program of %llu bytes", static_cast<unsigned long long>(bytes));
  }
  if (bytes > config_.block.size()) {
    const uint64_t least = runtime_reserve_bytes(config_.threads) + bytes;
    return Error(ErrorCode::kBudgetTooSmall, "the program alone needs %llu bytes", static_cast<unsigned long long>(bytes))
        .with_detail(least);
  }
  const std::span<std::byte> blob = config_.block.first(bytes);
  blob_bytes_ = bytes;
  CARREL_RETURN_IF_ERROR(read_program(&host_, model_id_, keys_, config_.cpu, {request.args[0], request.args[2]}, blob));
  return attach_program(blob);
}

Status Engine::State::attach_program(std::span<std::byte> blob) {
  CARREL_ASSIGN(program_, parse_program(blob));
  CARREL_RETURN_IF_ERROR(validate_program(program_));
  const ProgramHeader& header = *program_.header;
  if (header.threads != config_.threads) {
    return Error(ErrorCode::kInvalidInput, "the program is for %u threads, the session has %u", header.threads,
                 config_.threads);
  }
  const IsaLevel isa = static_cast<IsaLevel>(header.isa);
  if (isa > isa_level(config_.cpu)) {
    return Error(ErrorCode::kUnsupported, "the program needs %s, which this session may not use", isa_name(isa));
  }
  CARREL_RETURN_IF_ERROR(arena_.attach(config_.block, header, &tracer_));
  CARREL_RETURN_IF_ERROR(host_.fix_shared_area(header.store_bytes));
  const RowKernels& kernels = row_kernels(limit_isa(config_.cpu, isa));
  gate_.attach(host_.shared_area(), &tracer_);
  tiles_.attach(&host_, &*tile_key_, model_id_, &kernels, &tracer_, &profiler_);
  executor_.attach(program_, {&arena_, &workers_, &tiles_, &gate_, &kernels, &tracer_, &profiler_});
  wipe(&keys_, sizeof(keys_));
  return ok_status();
}

// The program's stores stay what they are: whoever asks may lose a profile, nothing else.
Status Engine::State::attach_profile(uint64_t claimed_offset) {
  profiler_.attach({}, 0, &tracer_);
  if (claimed_offset == kNoProfile) return ok_status();
  const std::span<std::byte> area = host_.shared_area();
  const uint64_t bytes = program_.steps.size() * sizeof(StepProfile);
  if (claimed_offset % 8 != 0 || claimed_offset < program_.header->store_bytes ||
      !in_range(claimed_offset, bytes, area.size())) {
    return Error(ErrorCode::kInvalidInput, "a profile of %llu bytes does not fit behind the program's stores",
                 static_cast<unsigned long long>(bytes));
  }
  profiler_.attach(area.subspan(claimed_offset, bytes), claimed_offset, &tracer_);
  return ok_status();
}

Status Engine::State::run(const Request& request, RunStats* stats) {
  CARREL_RETURN_IF_ERROR(usable());
  if (!prepared_) return Error(ErrorCode::kInvalidInput, "the session has no program yet");
  CARREL_RETURN_IF_ERROR(attach_profile(request.args[1]));
  const uint64_t counter = request.args[0];
  if (any_run_ && counter <= last_counter_) {
    return Error(ErrorCode::kInvalidInput, "image counter %llu was used before",
                 static_cast<unsigned long long>(counter));
  }
  // Before anything is sealed under it, and for good even if this run fails.
  any_run_ = true;
  last_counter_ = counter;
  const FlushDenormals flush;
  workers_.rouse();
  // The request that led here and the reply that will follow count too.
  constexpr uint64_t kRequestAndReply = 2;
  const uint64_t crossings_before = host_.crossings();
  const uint64_t start = host_.nanoseconds();
  const uint64_t start_ticks = read_ticks();
  *stats = RunStats();
  const Status status = executor_.run(counter, !loaded_once_, stats);
  if (status.ok()) loaded_once_ = true;
  stats->ticks = read_ticks() - start_ticks;
  stats->nanoseconds = host_.nanoseconds() - start;
  stats->crossings = host_.crossings() - crossings_before + kRequestAndReply;
  stats->peak_trusted_bytes = runtime_reserve_bytes(config_.threads) + arena_.high_water_bytes();
  return settle(status);
}

Status Engine::open(Host* host, const EngineConfig& config, SessionSecrets* secrets, Engine* engine) {
  static_assert(sizeof(State) <= kEngineStateBytes && alignof(State) <= 64);
  CARREL_CHECK(engine->state_ == nullptr);
  State* state = new (engine->storage_) State(config);
  const Status status = state->open(host, *secrets);
  wipe(secrets, sizeof(*secrets));
  scrub_stack();
  if (status.ok()) {
    engine->state_ = state;
  } else {
    state->~State();
    wipe(engine->storage_, sizeof(engine->storage_));
  }
  return status;
}

Engine::~Engine() {
  if (state_ == nullptr) return;
  state_->~State();
  wipe(storage_, sizeof(storage_));
}

Status Engine::prepare(const Request& request) {
  const Status status = state_->prepare(request);
  scrub_stack();  // the program's key was expanded there
  return status;
}
Status Engine::run(const Request& request, RunStats* stats) { return state_->run(request, stats); }
void Engine::worker_loop(uint32_t index) {
  if (state_ != nullptr) state_->workers()->loop(index);
}
void Engine::close() {
  if (state_ != nullptr) state_->workers()->close();
}
CheckedHost* Engine::host() { return state_->host(); }

}  // namespace carrel
