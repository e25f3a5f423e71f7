#include "engine/crypto/gcm.h"

#include <cstring>

#include "base/wipe.h"
#include "engine/crypto/gcm_backend.h"
#include "engine/crypto/hash.h"

namespace carrel {
namespace {

// SP 800-38D: 2^32 - 2 blocks under one nonce.
constexpr uint64_t kMaxBytes = ((uint64_t{1} << 32) - 2) * 16;

const GcmBackend& backend(CpuMask mask) {
  if (mask & kCpuVaes) return kGcmVaes;
  if (mask & kCpuAvx2) return kGcmIpsecAvx2;
  if (mask & kCpuAvx) return kGcmIpsecAvx;
  return kGcmIpsecSse;
}

void put_le(uint8_t* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(value >> (8 * i));
}

struct Tag {
  uint8_t bytes[kTagBytes];
};

// One read of each half: the tag may change in untrusted memory.
Tag load_tag_once(const std::byte* claimed_tag) {
  using Half = uint64_t __attribute__((aligned(1), may_alias));
  const volatile Half* halves = reinterpret_cast<const volatile Half*>(claimed_tag);
  const uint64_t values[2] = {halves[0], halves[1]};
  Tag tag;
  memcpy(tag.bytes, values, sizeof(values));
  return tag;
}

}  // namespace

Status check_crypto_cpu() {
  if (detect_cpu() & kCpuAesNi) return ok_status();
  return Error(ErrorCode::kUnsupported,
               "this processor has no AES instructions (AES-NI), which carrel needs");
}

Nonce tile_nonce(uint64_t index) {
  Nonce nonce = {};
  put_le(nonce.bytes + 4, index, 8);
  return nonce;
}

Nonce block_nonce(uint32_t position, uint64_t counter) {
  Nonce nonce;
  put_le(nonce.bytes, position, 4);
  put_le(nonce.bytes + 4, counter, 8);
  return nonce;
}

Gcm::Gcm(const SecretKey& key, CpuMask mask) : state_{}, mask_(mask) {
  static_assert(sizeof(state_) >= kGcmKeyDataBytes);
  backend(mask_).expand(key.bytes, state_);
}

Gcm::~Gcm() { wipe(state_, sizeof(state_)); }

const char* Gcm::implementation() const { return backend(mask_).name; }

void Gcm::seal(const Nonce& nonce, std::span<const std::byte> aad, const std::byte* plain,
               std::byte* cipher, size_t bytes, std::byte tag[kTagBytes]) const {
  CARREL_CHECK(bytes <= kMaxBytes);
  Tag computed;
  backend(mask_).seal(
      {state_, nonce.bytes, aad.data(), aad.size(), plain, cipher, bytes, computed.bytes});
  memcpy(tag, computed.bytes, kTagBytes);
}

bool Gcm::open_in_place(const Nonce& nonce, std::span<const std::byte> aad, std::byte* buffer,
                        size_t bytes, const std::byte tag[kTagBytes]) const {
  const Tag claimed = load_tag_once(tag);
  Tag computed = {};
  bool authentic = bytes <= kMaxBytes;
  if (authentic) {
    backend(mask_).open(
        {state_, nonce.bytes, aad.data(), aad.size(), buffer, buffer, bytes, computed.bytes});
    authentic = equal_constant_time(computed.bytes, claimed.bytes, kTagBytes);
  }
  if (!authentic) wipe(buffer, bytes);
  // The right tag of a wrong message must not be found on the stack.
  wipe(&computed, sizeof(computed));
  return authentic;
}

bool Gcm::open_from_untrusted(const Nonce& nonce, std::span<const std::byte> aad,
                              const std::byte* claimed_cipher, std::byte* plain, size_t bytes,
                              const std::byte* claimed_tag) const {
  if (!backend(mask_).fetches_once || bytes > kMaxBytes) {
    if (bytes != 0) memcpy(plain, claimed_cipher, bytes);
    return open_in_place(nonce, aad, plain, bytes, claimed_tag);
  }
  Tag computed;
  backend(mask_).open(
      {state_, nonce.bytes, aad.data(), aad.size(), claimed_cipher, plain, bytes, computed.bytes});
  // Only now, when the prefetches have brought it: at first it would be waited for.
  const Tag claimed = load_tag_once(claimed_tag);
  const bool authentic = equal_constant_time(computed.bytes, claimed.bytes, kTagBytes);
  if (!authentic) wipe(plain, bytes);
  wipe(&computed, sizeof(computed));
  return authentic;
}

}  // namespace carrel
