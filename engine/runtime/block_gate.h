#pragma once
// Activations on their way in and out: blocks of inputs, outputs and spilled maps in the untrusted area, sealed as
// engine/format/boundary.h says. Thread safety: open() and seal() from any thread, on different blocks.
#include <optional>

#include "engine/format/boundary.h"
#include "engine/format/program.h"
#include "engine/runtime/tracer.h"

namespace carrel {

class BlockGate {
 public:
  // Derives and draws the keys. Errors: kIo if there is no randomness.
  Status set_keys(const SecretKey& session_key, CpuMask cpu);
  void wipe_keys();
  void attach(std::span<std::byte> area, const Tracer* tracer) {
    area_ = area;
    tracer_ = tracer;
  }

  // Block `block` into `plain`, trusted memory. Errors: kAuthentication; then `plain` is wiped.
  Status open(const StoreDesc& store, uint32_t block, uint64_t counter, std::byte* plain) const;
  // Writes every byte of the untrusted block once.
  void seal(const StoreDesc& store, uint32_t block, uint64_t counter, const std::byte* plain) const;

 private:
  const Gcm& key(StoreKind kind) const;

  std::span<std::byte> area_;
  const Tracer* tracer_ = nullptr;
  std::optional<Gcm> input_, output_, spill_;
};

}  // namespace carrel
