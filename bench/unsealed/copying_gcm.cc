// Stands in for engine/crypto/gcm.cc when carrel-unsealed is linked: same interface, same calls, but bytes are copied and
// nothing is checked. The object file of the real one is not linked then; no product target names this file. A model that
// this program seals is not sealed, and no other program accepts it.
#include <cstring>

#include "engine/crypto/gcm.h"

namespace carrel {

Status check_crypto_cpu() { return ok_status(); }
Nonce tile_nonce(uint64_t) { return {}; }
Nonce block_nonce(uint32_t, uint64_t) { return {}; }

Gcm::Gcm(const SecretKey&, CpuMask mask) : state_{}, mask_(mask) {}
Gcm::~Gcm() = default;
const char* Gcm::implementation() const { return "copy"; }

void Gcm::seal(const Nonce&, std::span<const std::byte>, const std::byte* plain, std::byte* cipher, size_t bytes,
               std::byte tag[kTagBytes]) const {
  if (plain != cipher && bytes != 0) std::memcpy(cipher, plain, bytes);
  std::memset(tag, 0, kTagBytes);
}

bool Gcm::open_in_place(const Nonce&, std::span<const std::byte>, std::byte*, size_t, const std::byte*) const {
  return true;
}

bool Gcm::open_from_untrusted(const Nonce&, std::span<const std::byte>, const std::byte* claimed_cipher,
                              std::byte* plain, size_t bytes, const std::byte*) const {
  if (bytes != 0) std::memcpy(plain, claimed_cipher, bytes);
  return true;
}

}  // namespace carrel
