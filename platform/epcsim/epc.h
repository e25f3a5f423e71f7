#pragma once
// A region of memory of which only so many pages are resident, as the enclave page cache of SGX is: a page that is not
// there faults; to make room the oldest pages leave for untrusted memory, encrypted and authenticated; the wanted one is
// verified on its way in. What leaves has a version that stays trusted, so an older copy of a page is refused too.
//
// The faulting thread does the work in a SIGBUS handler, one thread at a time, as SGX's driver does under its lock. Eviction
// is first in, first out: user space cannot learn which pages were read. A simulator: the "trusted" memory is this process's.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/crypto/gcm.h"
#include "platform/epcsim/epc_trace.h"
#include "platform/epcsim/fault_fd.h"

namespace carrel {

inline constexpr uint64_t kEpcPageBytes = 4096;
// One instruction may need this many pages at once (both ends of a copy, each across two pages).
inline constexpr uint64_t kLeastResidentPages = 4;

struct EpcConfig {
  uint64_t bytes = 0;           // of the region, virtual; rounded up to pages
  uint64_t resident_pages = 0;  // at most; at least kLeastResidentPages for each thread
  CpuMask cpu = 0;
  EpcTrace* trace = nullptr;    // outlives the region
  uint32_t threads = 1;         // that use it
};

struct EpcCounters {
  uint64_t touches = 0;         // faults on pages never used before: zeros
  uint64_t loads = 0;           // faults on pages that had left
  uint64_t evictions = 0;
  uint64_t handler_ns = 0;      // inside the handler, waiting for its turn not counted
  uint64_t most_resident = 0;   // pages, ever
  uint64_t faults() const { return touches + loads; }
  // What happened after `before`; most_resident stays.
  EpcCounters since(const EpcCounters& before) const {
    return {touches - before.touches, loads - before.loads, evictions - before.evictions, handler_ns - before.handler_ns,
            most_resident};
  }
};

class Epc {
 public:
  // Errors: kPlatform (userfaultfd refused, with the setting's name; out of memory; too many regions at once),
  // kBudgetTooSmall (detail: the least bytes resident).
  static Result<std::unique_ptr<Epc>> open(const EpcConfig& config);
  ~Epc();
  Epc(const Epc&) = delete;
  Epc& operator=(const Epc&) = delete;

  // Any thread may use it. System calls must not: they fail with EFAULT where a page is not resident.
  std::span<std::byte> memory() const { return region_; }
  EpcCounters counters() const;

  // The untrusted side, for tests that play the hostile host: page i's ciphertext and its tag.
  std::span<std::byte> stored_page(uint32_t page) const { return stored_.subspan(page * kEpcPageBytes, kEpcPageBytes); }
  std::span<std::byte> stored_tag(uint32_t page) const { return tags_.subspan(page * kTagBytes, kTagBytes); }
  bool resident(uint32_t page) const { return resident_[page]; }

  bool holds(const std::byte* address) const { return address >= region_.data() && address < region_.data() + region_.size(); }
  // Makes the page of `address` resident; for the SIGBUS handler. A page that was changed outside ends the process, as
  // the processor would: one line on stderr, exit status 1.
  void fault(const std::byte* address);

 private:
  Epc() = default;
  Status map_memory(uint64_t pages);
  void bring_in(uint32_t page);
  void make_room();
  void evict(uint32_t first, uint32_t count);
  std::byte* page_at(uint32_t page) const { return region_.data() + page * kEpcPageBytes; }

  std::span<std::byte> region_, stored_, tags_, staging_;  // staging: zeros behind one page
  std::unique_ptr<FaultFd> faults_;
  std::unique_ptr<Gcm> key_;
  EpcTrace* trace_ = nullptr;

  mutable std::mutex mutex_;  // a fault interrupts code that uses the region, never code that holds this
  std::vector<uint64_t> versions_;  // by page, 0: never left
  std::vector<uint8_t> resident_;
  std::vector<uint32_t> queue_;     // resident pages in order of arrival, a ring
  std::vector<uint32_t> leaving_;
  uint64_t head_ = 0, count_ = 0;
  EpcCounters counters_;
};

// What a fault costs on this machine outside the handler (the signal and the way back), measured now in a small region:
// microseconds. Errors: those of Epc::open.
Result<double> fault_delivery_us(CpuMask cpu);

}  // namespace carrel
