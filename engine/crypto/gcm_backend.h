#pragma once
// What an implementation of AES-256-GCM offers to Gcm (gcm.h). Plain pointers only: implementations
// are compiled with instruction sets that this machine may lack, and must share no inline function.
#include <cstddef>
#include <cstdint>

namespace carrel {

// One message. `in` and `out` are equal or do not overlap; neither is read or written past `bytes`.
// `aad_bytes` and `bytes` may be 0, then `aad`, `in` and `out` may be null.
struct GcmMessage {
  const void* key_data;  // filled by GcmBackend::expand
  const uint8_t* nonce;  // 12 bytes
  const std::byte* aad;
  size_t aad_bytes;
  const std::byte* in;
  std::byte* out;
  size_t bytes;
  uint8_t* tag;  // 16 bytes, always computed, compared by the caller
};

struct GcmBackend {
  const char* name;
  // open() with in != out loads each byte of `in` once. Otherwise the caller copies first.
  bool fetches_once;
  // key: 32 bytes. key_data: kGcmKeyDataBytes, 64-byte aligned.
  void (*expand)(const uint8_t* key, void* key_data);
  // With in != out each byte of `out` is written once and never read back.
  void (*seal)(const GcmMessage& message);
  void (*open)(const GcmMessage& message);
};

inline constexpr size_t kGcmKeyDataBytes = 2048;

// ipsec-mb's own code, by the instruction set it needs.
extern const GcmBackend kGcmIpsecSse;
extern const GcmBackend kGcmIpsecAvx;
extern const GcmBackend kGcmIpsecAvx2;
// VAES: ipsec-mb expands the key, the data path is ours (gcm_vaes.h).
extern const GcmBackend kGcmVaes;
// VAES: ipsec-mb throughout. Not selected by Gcm; the oracle and the peer for kGcmVaes.
extern const GcmBackend kGcmIpsecVaes;

}  // namespace carrel
