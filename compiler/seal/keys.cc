#include "compiler/seal/keys.h"

#include <cstring>

namespace carrel {

Subkey sealing_subkey(const SecretKey& model_key, std::span<const uint8_t, 32> salt, const char* label) {
  return hkdf(model_key, std::as_bytes(salt), label);
}

void set_key_check(const SecretKey& model_key, SealedHeader* header) {
  const Subkey check(sealing_subkey(model_key, header->salt, kKeyCheckLabel));
  std::memcpy(header->key_check, check.key.bytes, sizeof(header->key_check));
}

Status check_key(const SecretKey& model_key, const SealedHeader& header) {
  const Subkey check(sealing_subkey(model_key, header.salt, kKeyCheckLabel));
  if (equal_constant_time(check.key.bytes, header.key_check, sizeof(header.key_check))) return ok_status();
  return Error(ErrorCode::kWrongKey, "sealed under another key");
}

Digest manifest_tag(const SecretKey& model_key, const SealedHeader& header, std::span<const std::byte> manifest) {
  const Subkey key(sealing_subkey(model_key, header.manifest_salt, kManifestLabel));
  HmacSha256 hmac(bytes_of(key.key));
  hmac.update(bytes_of(header).first(offsetof(SealedHeader, manifest_tag)));
  hmac.update(manifest);
  return hmac.finish();
}

Digest header_checksum(const SealedHeader& header) {
  return sha256(bytes_of(header).first(offsetof(SealedHeader, checksum)));
}

TileAad tile_aad(const ModelId& model, uint64_t tile_index, uint32_t stored_bytes) {
  return {.model_id = model, .tile_index = tile_index, .stored_bytes = stored_bytes};
}

ProgramAad program_aad(const ModelId& model, uint64_t program_index, uint32_t program_bytes) {
  return {.model_id = model, .program_index = program_index, .program_bytes = program_bytes};
}

}  // namespace carrel
