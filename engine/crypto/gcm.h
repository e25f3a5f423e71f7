#pragma once
// AES-256-GCM with typed keys and nonces. Bit-compatible with ipsec-mb and OpenSSL.
//
// A nonce is a type, not a byte string, so that the rules that keep it unique are visible:
//   tiles    : tile_nonce(index)             under a key of one sealing (fresh salt): index is unique
//   sessions : block_nonce(position, counter) under a key of one session: the counter never repeats
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/cpu.h"
#include "base/result.h"

namespace carrel {

inline constexpr size_t kKeyBytes = 32;
inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kNonceBytes = 12;

struct SecretKey {
  uint8_t bytes[kKeyBytes];
};  // wipe() after use

struct Nonce {
  uint8_t bytes[kNonceBytes];
};
// 4 zero bytes, then the index as 64-bit little endian.
Nonce tile_nonce(uint64_t index);
// position as 32-bit little endian, then the counter as 64-bit little endian.
Nonce block_nonce(uint32_t position, uint64_t counter);

// kUnsupported unless this processor has the instructions that every implementation here needs (AES-NI). Asked before the
// first Gcm is made.
Status check_crypto_cpu();

// An expanded key. Secret. Lives in trusted memory; wiped by its destructor. Neither copied nor moved.
class Gcm {
 public:
  // Uses the fastest implementation that `mask` allows.
  Gcm(const SecretKey& key, CpuMask mask);
  ~Gcm();
  Gcm(const Gcm&) = delete;
  Gcm& operator=(const Gcm&) = delete;

  // cipher may be in untrusted memory (written once) or equal to plain.
  void seal(const Nonce& nonce, std::span<const std::byte> aad, const std::byte* plain,
            std::byte* cipher, size_t bytes, std::byte tag[kTagBytes]) const;

  // In place, in trusted memory. False (and the buffer wiped) if the tag does not match. Compares in constant time.
  [[nodiscard]] bool open_in_place(const Nonce& nonce, std::span<const std::byte> aad, std::byte* buffer,
                                   size_t bytes, const std::byte tag[kTagBytes]) const;

  // From untrusted memory that may change while we read: every ciphertext byte is loaded exactly once (VAES:
  // one pass, pinned in assembly; otherwise copied to `plain` first, then opened in place). `claimed_tag` is
  // read once. False and `plain` wiped if the tag does not match.
  [[nodiscard]] bool open_from_untrusted(const Nonce& nonce, std::span<const std::byte> aad,
                                         const std::byte* claimed_cipher, std::byte* plain, size_t bytes,
                                         const std::byte* claimed_tag) const;

  const char* implementation() const;  // "vaes", "ipsec-mb avx2", ...

 private:
  alignas(64) std::byte state_[2048];
  CpuMask mask_;
};

}  // namespace carrel
