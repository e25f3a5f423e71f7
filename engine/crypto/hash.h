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
  // Once; then the object is spent.
  Digest finish();

 private:
  uint32_t state_[8];
  uint64_t total_bytes_;
  alignas(64) uint8_t block_[64];
};
Digest sha256(std::span<const std::byte> data);

// Incremental HMAC-SHA-256 (RFC 2104). The key may have any length. Wiped by its destructor.
class HmacSha256 {
 public:
  explicit HmacSha256(std::span<const std::byte> key);
  ~HmacSha256();
  HmacSha256(const HmacSha256&) = delete;
  HmacSha256& operator=(const HmacSha256&) = delete;
  void update(std::span<const std::byte> data);
  // Once; then the object is spent.
  Digest finish();

 private:
  Sha256 inner_;
  Sha256 outer_;
};
Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> data);

// A derived key, wiped when it goes. Neither copied nor moved.
struct Subkey {
  SecretKey key;
  explicit Subkey(const Digest& derived);
  ~Subkey();
  Subkey(const Subkey&) = delete;
  Subkey& operator=(const Subkey&) = delete;
};

// HKDF-Extract(salt, input key) then Expand(label): one 32-byte subkey. label: ASCII, at most 64 bytes.
// Temporaries are wiped, the stack below the caller too.
Subkey hkdf(const SecretKey& key, std::span<const std::byte> salt, const char* label);

// The two halves of hkdf(): the pseudorandom key, and the first 32 bytes of the output. The result is
// secret; the caller wipes it.
Digest hkdf_extract(std::span<const std::byte> salt, std::span<const std::byte> input_key);
Digest hkdf_expand(const Digest& pseudorandom_key, std::span<const std::byte> info);

// Constant-time comparison. Secret.
bool equal_constant_time(const void* a, const void* b, size_t bytes);

// getrandom(2): kIo if the kernel refuses.
Status random_bytes(std::span<std::byte> out);

}  // namespace carrel
