#include "platform/epcsim/epc.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/wipe.h"
#include "engine/crypto/hash.h"
#include "platform/epcsim/bus_handler.h"

#if defined(__SANITIZE_THREAD__)
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
#endif

namespace carrel {
namespace {

using Clock = std::chrono::steady_clock;

// As SGX's driver does: write protection and its interrupt to other processors are paid once for so many pages.
constexpr uint64_t kEvictedTogether = 16;

std::span<std::byte> map_pages(uint64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return {};
  madvise(memory, bytes, MADV_NOHUGEPAGE);
  return {static_cast<std::byte*>(memory), bytes};
}

void unmap_pages(std::span<std::byte> pages) {
  if (!pages.empty()) munmap(pages.data(), pages.size());
}

// The kernel has stopped all writers (FaultFd::protect) where ThreadSanitizer cannot see it.
class KernelOrdered {
 public:
#if defined(__SANITIZE_THREAD__)
  KernelOrdered() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~KernelOrdered() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
  KernelOrdered() {}
#endif
  KernelOrdered(const KernelOrdered&) = delete;
};

// Called where a fault is handled: there is no way back into code whose memory is gone.
[[noreturn]] void stop(const char* text, uint32_t page) {
  char line[160] = {};
  const int length = std::snprintf(line, sizeof line, "carrel: epcsim: page %u %s; the enclave is stopped\n", page, text);
  const ssize_t ignored = write(STDERR_FILENO, line, static_cast<size_t>(length));
  (void)ignored;
  _exit(1);
}

}  // namespace

Result<double> fault_delivery_us(CpuMask cpu) {
  constexpr uint64_t kPages = 64, kRounds = 8;
  CARREL_ASSIGN(const std::unique_ptr<Epc> epc, Epc::open({kPages * kEpcPageBytes, kPages / 2, cpu, nullptr}));
  double best = 1e9;
  for (uint64_t round = 0; round < kRounds; ++round) {
    const EpcCounters before = epc->counters();
    const Clock::time_point start = Clock::now();
    for (uint64_t page = 0; page < kPages; ++page) {
      *reinterpret_cast<volatile std::byte*>(epc->memory().data() + page * kEpcPageBytes) = std::byte{1};
    }
    const double wall_ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    const EpcCounters after = epc->counters();
    const double outside = wall_ns - static_cast<double>(after.handler_ns - before.handler_ns);
    best = std::min(best, 1e-3 * outside / static_cast<double>(after.faults() - before.faults()));
  }
  return best;
}

Result<std::unique_ptr<Epc>> Epc::open(const EpcConfig& config) {
  const uint64_t pages = round_up(config.bytes, kEpcPageBytes) / kEpcPageBytes;
  const uint64_t least = config.threads * kLeastResidentPages;
  if (config.resident_pages < least) {
    return Error(ErrorCode::kBudgetTooSmall, "epcsim: %llu resident pages; an instruction of each thread may need %llu: give more memory",
                 static_cast<unsigned long long>(config.resident_pages), static_cast<unsigned long long>(least))
        .with_detail(least * kEpcPageBytes);
  }
  if (pages == 0 || pages > std::numeric_limits<uint32_t>::max()) {
    return Error(ErrorCode::kInvalidInput, "epcsim: a region of %llu bytes", static_cast<unsigned long long>(config.bytes));
  }
  std::unique_ptr<Epc> epc(new Epc);
  epc->trace_ = config.trace;
  CARREL_RETURN_IF_ERROR(epc->map_memory(pages));
  const uint64_t most = std::min(config.resident_pages, pages);
  epc->versions_.assign(pages, 0);
  epc->resident_.assign(pages, 0);
  epc->queue_.assign(most, 0);
  epc->leaving_.reserve(kEvictedTogether);
  Wiped<SecretKey> key;
  CARREL_RETURN_IF_ERROR(check_crypto_cpu());
  CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(key.value.bytes))));
  epc->key_ = std::make_unique<Gcm>(key.value, config.cpu);
  CARREL_RETURN_IF_ERROR(watch_bus_errors(epc.get()));
  CARREL_ASSIGN(FaultFd faults, FaultFd::watch(epc->region_));
  epc->faults_ = std::make_unique<FaultFd>(std::move(faults));
  return epc;
}

Status Epc::map_memory(uint64_t pages) {
  region_ = map_pages(pages * kEpcPageBytes);
  stored_ = map_pages(pages * kEpcPageBytes);
  tags_ = map_pages(round_up(pages * kTagBytes, kEpcPageBytes));
  staging_ = map_pages(2 * kEpcPageBytes);
  if (!region_.empty() && !stored_.empty() && !tags_.empty() && !staging_.empty()) return ok_status();
  return Error(ErrorCode::kPlatform, "epcsim: no address space for %llu pages", static_cast<unsigned long long>(pages));
}

Epc::~Epc() {
  unwatch_bus_errors(this);
  faults_.reset();
  for (const std::span<std::byte> pages : {region_, stored_, tags_, staging_}) unmap_pages(pages);
}

EpcCounters Epc::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void Epc::fault(const std::byte* address) {
  const uint32_t page = static_cast<uint32_t>(static_cast<uint64_t>(address - region_.data()) / kEpcPageBytes);
  const std::lock_guard lock(mutex_);
  const Clock::time_point start = Clock::now();
  // Another thread may have wanted it too, and been first.
  if (!resident_[page]) {
    if (count_ == queue_.size()) make_room();
    bring_in(page);
  }
  counters_.handler_ns += static_cast<uint64_t>(std::chrono::nanoseconds(Clock::now() - start).count());
}

void Epc::bring_in(uint32_t page) {
  const bool known = versions_[page] != 0;
  std::byte* plain = staging_.data();
  if (known && !key_->open_from_untrusted(block_nonce(page, versions_[page]), {}, stored_page(page).data(), plain,
                                          kEpcPageBytes, stored_tag(page).data())) {
    stop("was changed in untrusted memory", page);
  }
  if (!faults_->place(page_at(page), known ? plain : plain + kEpcPageBytes)) stop("cannot be placed", page);
  resident_[page] = 1;
  queue_[(head_ + count_) % queue_.size()] = page;
  ++count_;
  counters_.most_resident = std::max(counters_.most_resident, count_);
  known ? ++counters_.loads : ++counters_.touches;
  if (trace_ != nullptr) trace_->note(known ? EpcEventKind::kLoad : EpcEventKind::kTouch, page);
}

// Evicts the oldest pages, neighbours together; few of a small region, where most are wanted again at once.
void Epc::make_room() {
  const uint64_t together = std::clamp<uint64_t>(queue_.size() / 8, 1, kEvictedTogether);
  leaving_.clear();
  for (uint64_t i = 0; i < together; ++i) leaving_.push_back(queue_[(head_ + i) % queue_.size()]);
  head_ = (head_ + together) % queue_.size();
  count_ -= together;
  if (trace_ != nullptr) {
    for (const uint32_t page : leaving_) trace_->note(EpcEventKind::kEvict, page);
  }
  std::sort(leaving_.begin(), leaving_.end());
  for (size_t i = 0, end = 0; i < leaving_.size(); i = end) {
    for (end = i + 1; end < leaving_.size() && leaving_[end] == leaving_[end - 1] + 1;) ++end;
    evict(leaving_[i], static_cast<uint32_t>(end - i));
  }
}

// Writers are stopped before the page is read: a write in between would be lost with the page.
void Epc::evict(uint32_t first, uint32_t count) {
  const std::span<std::byte> pages(page_at(first), count * kEpcPageBytes);
  if (!faults_->protect(pages)) stop("cannot be protected", first);
  const KernelOrdered ordered;
  for (uint32_t page = first; page < first + count; ++page) {
    key_->seal(block_nonce(page, ++versions_[page]), {}, page_at(page), stored_page(page).data(), kEpcPageBytes,
               stored_tag(page).data());
    resident_[page] = 0;
  }
  if (madvise(pages.data(), pages.size(), MADV_DONTNEED) != 0) stop("cannot be removed", first);
  counters_.evictions += count;
}

}  // namespace carrel
