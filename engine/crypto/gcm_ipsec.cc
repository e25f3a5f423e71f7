// ipsec-mb through its direct functions: its multi-buffer manager would take 200 KB of the trusted
// memory and offers nothing for one message at a time.
#include <intel-ipsec-mb.h>

#include <cstring>

#include "base/wipe.h"
#include "engine/crypto/gcm_backend.h"
#include "engine/crypto/gcm_vaes.h"

extern "C" {
// Exported by the library but not declared in its header.
void aes_gcm_pre_256_vaes_avx512(const void* key, gcm_key_data* key_data);
void aes_gcm_init_256_vaes_avx512(const gcm_key_data*, gcm_context_data*, const uint8_t* iv,
                                  const uint8_t* aad, uint64_t aad_len);
void aes_gcm_enc_256_vaes_avx512(const gcm_key_data*, gcm_context_data*, uint8_t* out,
                                 const uint8_t* in, uint64_t len, const uint8_t* iv,
                                 const uint8_t* aad, uint64_t aad_len, uint8_t* tag,
                                 uint64_t tag_len);
void aes_gcm_dec_256_vaes_avx512(const gcm_key_data*, gcm_context_data*, uint8_t* out,
                                 const uint8_t* in, uint64_t len, const uint8_t* iv,
                                 const uint8_t* aad, uint64_t aad_len, uint8_t* tag,
                                 uint64_t tag_len);
void aes_gcm_enc_256_update_vaes_avx512(const gcm_key_data*, gcm_context_data*, uint8_t* out,
                                        const uint8_t* in, uint64_t len);
void aes_gcm_enc_256_finalize_vaes_avx512(const gcm_key_data*, gcm_context_data*, uint8_t* tag,
                                          uint64_t tag_len);
}

namespace carrel {
namespace {

static_assert(sizeof(gcm_key_data) <= kGcmKeyDataBytes);
constexpr uint64_t kTagLength = 16;

struct IpsecFunctions {
  aes_gcm_pre_t expand;
  aes_gcm_enc_dec_t seal, open;
  aes_gcm_init_t start;
  aes_gcm_enc_dec_update_t seal_more;
  aes_gcm_enc_dec_finalize_t finish;
};

constexpr IpsecFunctions kSse = {aes_gcm_pre_256_sse,        aes_gcm_enc_256_sse,
                                 aes_gcm_dec_256_sse,        aes_gcm_init_256_sse,
                                 aes_gcm_enc_256_update_sse, aes_gcm_enc_256_finalize_sse};
constexpr IpsecFunctions kAvx = {
    aes_gcm_pre_256_avx_gen2,  aes_gcm_enc_256_avx_gen2,        aes_gcm_dec_256_avx_gen2,
    aes_gcm_init_256_avx_gen2, aes_gcm_enc_256_update_avx_gen2, aes_gcm_enc_256_finalize_avx_gen2};
constexpr IpsecFunctions kAvx2 = {
    aes_gcm_pre_256_avx_gen4,  aes_gcm_enc_256_avx_gen4,        aes_gcm_dec_256_avx_gen4,
    aes_gcm_init_256_avx_gen4, aes_gcm_enc_256_update_avx_gen4, aes_gcm_enc_256_finalize_avx_gen4};
constexpr IpsecFunctions kVaes = {
    aes_gcm_pre_256_vaes_avx512,        aes_gcm_enc_256_vaes_avx512,
    aes_gcm_dec_256_vaes_avx512,        aes_gcm_init_256_vaes_avx512,
    aes_gcm_enc_256_update_vaes_avx512, aes_gcm_enc_256_finalize_vaes_avx512};

const uint8_t* u8(const std::byte* bytes) {
  static const uint8_t kNothing = 0;  // the library refuses null even for an empty message
  return bytes ? reinterpret_cast<const uint8_t*>(bytes) : &kNothing;
}

// ipsec-mb does not promise never to read back what it wrote, so it writes to the stack, piece by
// piece, and the finished piece is copied out. `finish` hashes nothing from outside.
template <const IpsecFunctions& kFunctions>
void seal_apart(const GcmMessage& m, const gcm_key_data* key, gcm_context_data* context) {
  constexpr size_t kPieceBytes = 2048;  // small beside a worker's 64 KiB stack
  alignas(64) uint8_t piece[kPieceBytes];
  kFunctions.start(key, context, m.nonce, u8(m.aad), m.aad_bytes);
  for (size_t done = 0; done < m.bytes; done += kPieceBytes) {
    const size_t count = m.bytes - done < kPieceBytes ? m.bytes - done : kPieceBytes;
    kFunctions.seal_more(key, context, piece, u8(m.in + done), count);
    memcpy(m.out + done, piece, count);
  }
  kFunctions.finish(key, context, m.tag, kTagLength);
}

template <const IpsecFunctions& kFunctions>
void expand(const uint8_t* key, void* key_data) {
  kFunctions.expand(key, static_cast<gcm_key_data*>(key_data));
}

template <const IpsecFunctions& kFunctions>
void seal(const GcmMessage& m) {
  const auto* key = static_cast<const gcm_key_data*>(m.key_data);
  gcm_context_data context;
  if (m.in == m.out) {
    kFunctions.seal(key, &context, const_cast<uint8_t*>(u8(m.out)), u8(m.in), m.bytes, m.nonce,
                    u8(m.aad), m.aad_bytes, m.tag, kTagLength);
  } else {
    seal_apart<kFunctions>(m, key, &context);
  }
  wipe(&context, sizeof(context));  // holds the keystream of the last block
}

template <const IpsecFunctions& kFunctions>
void open(const GcmMessage& m) {
  gcm_context_data context;
  kFunctions.open(static_cast<const gcm_key_data*>(m.key_data), &context,
                  const_cast<uint8_t*>(u8(m.out)), u8(m.in), m.bytes, m.nonce, u8(m.aad),
                  m.aad_bytes, m.tag, kTagLength);
  wipe(&context, sizeof(context));
}

}  // namespace

constinit const GcmBackend kGcmIpsecSse = {"ipsec-mb sse", false, expand<kSse>, seal<kSse>,
                                           open<kSse>};
constinit const GcmBackend kGcmIpsecAvx = {"ipsec-mb avx", false, expand<kAvx>, seal<kAvx>,
                                           open<kAvx>};
constinit const GcmBackend kGcmIpsecAvx2 = {"ipsec-mb avx2", false, expand<kAvx2>, seal<kAvx2>,
                                            open<kAvx2>};
constinit const GcmBackend kGcmIpsecVaes = {"ipsec-mb vaes", false, expand<kVaes>, seal<kVaes>,
                                            open<kVaes>};
constinit const GcmBackend kGcmVaes = {"vaes", true, expand<kVaes>, gcm256_seal_vaes,
                                       gcm256_open_vaes};

}  // namespace carrel
