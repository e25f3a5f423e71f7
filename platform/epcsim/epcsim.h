#pragma once
// The engine in a simulated enclave page cache (epc.h): its block lies in a region of capped pages, faults are taken for
// real, crossings are counted. NO wall: like platform/inproc, everything is this process's memory. For measuring what small
// trusted memory costs, where no SGX is at hand (docs/EPC.md).
#include <memory>

#include "engine/host/trace.h"
#include "platform/epcsim/epc.h"
#include "platform/session.h"

namespace carrel {

struct EpcsimOptions {
  // budget_bytes: the simulated memory. The engine's state and stacks are counted as resident throughout and lie outside
  // the region; the rest are its pages.
  SessionOptions session;
  uint64_t trace_events = 0;    // noted at most; 0: none
  uint64_t resident_pages = 0;  // fewer than the budget grants, so that every access shows; 0: what it grants
};

class EpcsimSession : public TrustedSession {
 public:
  virtual EpcCounters counters() const = 0;
  // Bytes handed to kernels since the session began, each step's anew.
  virtual uint64_t bytes_handed_out() const = 0;
  virtual EpcTrace* trace() = 0;  // null: none was asked for
};

// Errors: those of open_inproc_session and of Epc::open.
Result<std::unique_ptr<EpcsimSession>> open_epcsim_session(const EpcsimOptions& options, const DeliverSecrets& deliver);

}  // namespace carrel
