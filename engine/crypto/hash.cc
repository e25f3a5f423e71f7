#include "engine/crypto/hash.h"

#include <errno.h>
#include <sys/random.h>

#include <cstring>

#include "base/wipe.h"

// ipsec-mb: one SHA-256 compression, state updated in place. Needs SSSE3, which every CPU with
// AES-NI has. Part of the static library, not declared in its header.
extern "C" void sha256_block_sse(const void* block, uint32_t* state);

namespace carrel {
namespace {

constexpr size_t kBlockBytes = 64;

std::span<const std::byte> as_bytes(const void* data, size_t bytes) {
  return {static_cast<const std::byte*>(data), bytes};
}

void put_be32(uint8_t* out, uint32_t value) {
  value = __builtin_bswap32(value);
  memcpy(out, &value, sizeof(value));
}

}  // namespace

// FIPS 180-4, 5.3.3.
Sha256::Sha256()
    : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
      total_bytes_(0),
      block_{} {}

void Sha256::update(std::span<const std::byte> data) {
  const std::byte* next = data.data();
  size_t left = data.size();
  while (left != 0) {
    const size_t held = total_bytes_ % kBlockBytes;
    const size_t take = left < kBlockBytes - held ? left : kBlockBytes - held;
    if (take == kBlockBytes) {
      sha256_block_sse(next, state_);
    } else {
      memcpy(block_ + held, next, take);
      if (held + take == kBlockBytes) sha256_block_sse(block_, state_);
    }
    total_bytes_ += take;
    next += take;
    left -= take;
  }
}

Digest Sha256::finish() {
  const uint64_t message_bits = total_bytes_ * 8;
  size_t held = total_bytes_ % kBlockBytes;
  block_[held++] = 0x80;
  if (held > kBlockBytes - 8) {
    memset(block_ + held, 0, kBlockBytes - held);
    sha256_block_sse(block_, state_);
    held = 0;
  }
  memset(block_ + held, 0, kBlockBytes - 8 - held);
  put_be32(block_ + 56, static_cast<uint32_t>(message_bits >> 32));
  put_be32(block_ + 60, static_cast<uint32_t>(message_bits));
  sha256_block_sse(block_, state_);
  Digest digest;
  for (int i = 0; i < 8; ++i) put_be32(digest.bytes + 4 * i, state_[i]);
  return digest;
}

Digest sha256(std::span<const std::byte> data) {
  Sha256 hash;
  hash.update(data);
  return hash.finish();
}

HmacSha256::HmacSha256(std::span<const std::byte> key) {
  uint8_t padded[kBlockBytes] = {};
  if (key.size() > kBlockBytes) {
    Sha256 hash;
    hash.update(key);
    Digest digest = hash.finish();
    memcpy(padded, digest.bytes, sizeof(digest.bytes));
    wipe(&hash, sizeof(hash));
    wipe(&digest, sizeof(digest));
  } else if (!key.empty()) {
    memcpy(padded, key.data(), key.size());
  }
  for (uint8_t& byte : padded) byte ^= 0x36;
  inner_.update(as_bytes(padded, kBlockBytes));
  for (uint8_t& byte : padded) byte ^= 0x36 ^ 0x5c;
  outer_.update(as_bytes(padded, kBlockBytes));
  wipe(padded, sizeof(padded));
}

HmacSha256::~HmacSha256() {
  wipe(&inner_, sizeof(inner_));
  wipe(&outer_, sizeof(outer_));
}

void HmacSha256::update(std::span<const std::byte> data) { inner_.update(data); }

Digest HmacSha256::finish() {
  Digest digest = inner_.finish();
  outer_.update(as_bytes(digest.bytes, sizeof(digest.bytes)));
  wipe(&digest, sizeof(digest));
  return outer_.finish();
}

Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> data) {
  HmacSha256 hmac(key);
  hmac.update(data);
  return hmac.finish();
}

Digest hkdf_extract(std::span<const std::byte> salt, std::span<const std::byte> input_key) {
  return hmac_sha256(salt, input_key);
}

Digest hkdf_expand(const Digest& pseudorandom_key, std::span<const std::byte> info) {
  constexpr std::byte kFirst{1};
  HmacSha256 hmac(as_bytes(pseudorandom_key.bytes, sizeof(pseudorandom_key.bytes)));
  hmac.update(info);
  hmac.update({&kFirst, 1});
  return hmac.finish();
}

Subkey::Subkey(const Digest& derived) {
  static_assert(sizeof(key.bytes) == sizeof(derived.bytes));
  memcpy(key.bytes, derived.bytes, sizeof(key.bytes));
}

Subkey::~Subkey() { wipe(&key, sizeof(key)); }

Subkey hkdf(const SecretKey& key, std::span<const std::byte> salt, const char* label) {
  // Wiped after the result has been made from it.
  struct Temporary {
    Digest digest;
    ~Temporary() {
      wipe(&digest, sizeof(digest));
      scrub_stack();
    }
  };
  const Temporary extracted{hkdf_extract(salt, as_bytes(key.bytes, sizeof(key.bytes)))};
  const Temporary expanded{hkdf_expand(extracted.digest, as_bytes(label, strlen(label)))};
  return Subkey(expanded.digest);
}

bool equal_constant_time(const void* a, const void* b, size_t bytes) {
  const volatile uint8_t* left = static_cast<const volatile uint8_t*>(a);
  const volatile uint8_t* right = static_cast<const volatile uint8_t*>(b);
  uint32_t difference = 0;
  for (size_t i = 0; i < bytes; ++i) difference |= static_cast<uint32_t>(left[i] ^ right[i]);
  // 1 if the difference is 0, without a comparison that might become a branch.
  return ((difference - 1) >> 31) != 0;
}

Status random_bytes(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return Error(ErrorCode::kIo, "the kernel gave no random bytes (getrandom: error %d)", errno);
    }
    out = out.subspan(static_cast<size_t>(got));
  }
  return ok_status();
}

}  // namespace carrel
