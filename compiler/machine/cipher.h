#pragma once
// Speed of AES-256-GCM as the engine uses it, on one core: bytes per second.
#include <span>

#include "base/cpu.h"

namespace carrel::machine {

struct CipherSpeed {
  double open_hot = 0;   // weight tiles whose ciphertext is in a cache near the core
  double open_cold = 0;  // tiles all over `memory`, in order, into one buffer: how a model is read
  double seal_cold = 0;  // rows sealed out all over `memory`: how activations are spilled
};

// Verifies what it opens. `memory`: larger than the last cache, or "cold" is not; its bytes are overwritten.
// Requires check_crypto_cpu().
CipherSpeed cipher_speed(CpuMask cpu, std::span<std::byte> memory, double budget_seconds);

}  // namespace carrel::machine
