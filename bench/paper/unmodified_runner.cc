#include "bench/paper/unmodified_runner.h"

#include <sys/mman.h>

#include <atomic>

#include "apps/common/clock.h"
#include "engine/format/program.h"
#include "platform/epcsim/bus_handler.h"

namespace carrel {
namespace {

// A request and its answer; the clock is the caller's.
constexpr uint64_t kCrossings = 2;

}  // namespace

Result<std::unique_ptr<UnmodifiedRunner>> UnmodifiedRunner::open(const UnmodifiedOptions& options, const SecretKey& key) {
  const double before = now_ms();
  std::unique_ptr<UnmodifiedRunner> runner(new UnmodifiedRunner);
  CARREL_ASSIGN(runner->engine_, UnmodifiedEngine::open(options.model_path, key, options.threads));
  if (options.trace_events > 0) runner->trace_ = std::make_unique<EpcTrace>(options.trace_events);
  CARREL_RETURN_IF_ERROR(runner->map_region(options));
  CARREL_RETURN_IF_ERROR(runner->engine_->load(runner->region_));
  runner->start_ms_ = now_ms() - before;
  return runner;
}

UnmodifiedRunner::~UnmodifiedRunner() {
  if (!own_.empty()) munmap(own_.data(), own_.size());
}

// The engine's stacks and state are counted as they are for carrel.
Status UnmodifiedRunner::map_region(const UnmodifiedOptions& options) {
  const uint64_t bytes = engine_->memory_bytes();
  if (options.memory_bytes != 0) {
    const uint64_t reserve = runtime_reserve_bytes(options.threads);
    const uint64_t pages = options.memory_bytes > reserve ? (options.memory_bytes - reserve) / kEpcPageBytes : 0;
    CARREL_ASSIGN(epc_, Epc::open({bytes, pages, options.cpu, trace_.get(), options.threads}));
    region_ = epc_->memory();
    std::atomic<bool> all{true};
    engine_->on_each_thread([&all] {
      if (!handle_faults_apart().ok()) all = false;
    });
    if (!all) return handle_faults_apart();
    return ok_status();
  }
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Error(ErrorCode::kIo, "no memory: the unmodified engine needs %llu bytes", static_cast<unsigned long long>(bytes));
  }
  region_ = own_ = {static_cast<std::byte*>(memory), bytes};
  return ok_status();
}

Result<std::vector<Tensor>> UnmodifiedRunner::run(const std::vector<Tensor>& inputs, EpcMeasured* measured) {
  const EpcCounters before = epc_ ? epc_->counters() : EpcCounters{};
  const auto before_layer = [&](uint32_t layer) {
    if (trace_) trace_->set_step(layer);
  };
  if (trace_) trace_->note(EpcEventKind::kCrossing, 0);
  const double start = now_ms();
  CARREL_ASSIGN(std::vector<Tensor> outputs, engine_->run(inputs, before_layer));
  measured->ms = now_ms() - start;
  if (trace_) trace_->note(EpcEventKind::kCrossing, 0);
  measured->counters = (epc_ ? epc_->counters() : EpcCounters{}).since(before);
  measured->crossings = kCrossings;
  measured->bytes_touched = engine_->bytes_touched();
  measured->working_set = engine_->memory_bytes();
  return outputs;
}

EpcNames UnmodifiedRunner::page_names() const {
  return [this](const EpcEvent& event) -> std::pair<std::string, std::string> {
    const bool known = event.step < engine_->layers().size();
    const std::string layer = known ? engine_->layers()[event.step] : "loading";
    if (event.kind == EpcEventKind::kCrossing) return {layer, "calls"};
    const uint64_t begin = event.place * kEpcPageBytes, end = begin + kEpcPageBytes;
    const int32_t now = known ? static_cast<int32_t>(event.step) : 0;
    const Place* past = nullptr;
    for (const Place& place : engine_->places()) {
      if (place.offset >= end || place.offset + place.bytes <= begin) continue;
      const bool lives = place.kind == PlaceKind::kWeights || (place.first_layer <= now && now <= place.last_layer);
      if (lives) return {layer, place.name};
      past = &place;
    }
    return {layer, past != nullptr ? past->name : "nothing"};
  };
}

}  // namespace carrel
