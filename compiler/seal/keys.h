#pragma once
// The keys and tags of one sealing (engine/format/sealed_model.h).
#include <cstddef>
#include <span>

#include "base/wipe.h"
#include "engine/crypto/gcm.h"
#include "engine/crypto/hash.h"
#include "engine/format/sealed_model.h"

namespace carrel {

// `label`: one of engine/format/sealed_model.h; `salt` is the header's salt or manifest_salt.
Subkey sealing_subkey(const SecretKey& model_key, std::span<const uint8_t, 32> salt, const char* label);

// Sets header->key_check from header->salt.
void set_key_check(const SecretKey& model_key, SealedHeader* header);
// kWrongKey if `model_key` did not make header.key_check.
Status check_key(const SecretKey& model_key, const SealedHeader& header);

// HMAC over the header before manifest_tag and the manifest.
Digest manifest_tag(const SecretKey& model_key, const SealedHeader& header, std::span<const std::byte> manifest);
// SHA-256 of the header before its checksum.
Digest header_checksum(const SealedHeader& header);

TileAad tile_aad(const ModelId& model, uint64_t tile_index, uint32_t stored_bytes);
ProgramAad program_aad(const ModelId& model, uint64_t program_index, uint32_t program_bytes);

template <typename T>
std::span<const std::byte> bytes_of(const T& object) {
  return std::as_bytes(std::span(&object, 1));
}

}  // namespace carrel
