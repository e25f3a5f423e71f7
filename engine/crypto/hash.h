#pragma once
// SHA-256, HMAC-SHA-256 and HKDF (RFC 5869), without heap.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "engine/crypto/gcm.h"

namespace carrel {

struct Digest {
  uint8_t bytes[32];
  bool operator==(const Digest&) const = default;
};

// Incremental SHA-256. Public data only unless the object is wiped by its owner.
class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> data);
  Digest finish();

 private:
  uint32_t state_[8];
  uint64_t total_bytes_;
  alignas(64) uint8_t block_[64];
};
Digest sha256(std::span<const std::byte> data);

// HKDF-Extract(salt, input key) then Expand(label): one 32-byte subkey. label: ASCII, at most 64 bytes.
// Secret inputs and temporaries are wiped.
SecretKey hkdf(const SecretKey& key, std::span<const std::byte> salt, const char* label);

// Constant-time comparison. Secret.
bool equal_constant_time(const void* a, const void* b, size_t bytes);

// getrandom(2): kIo if the kernel refuses.
Status random_bytes(std::span<std::byte> out);

}  // namespace carrel
