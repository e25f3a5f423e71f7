#include "engine/runtime/sealed_access.h"

#include <cstddef>
#include <cstring>

#include "base/checked.h"
#include "base/wipe.h"
#include "engine/crypto/hash.h"

namespace carrel {
namespace {

Status read_header(CheckedHost* host, SealedHeader* header) {
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(header, 1));
  if (host->model_bytes() < sizeof(SealedHeader)) return Error(ErrorCode::kInvalidInput, "not a sealed model: too short");
  // A map is untrusted memory: copied once, then only the copy counts.
  if (!host->model_map().empty()) std::memcpy(bytes.data(), host->model_map().data(), bytes.size());
  else CARREL_RETURN_IF_ERROR(host->read_model_exact(0, bytes));
  const Digest checksum = sha256(bytes.first(offsetof(SealedHeader, checksum)));
  return check_sealed_header(*header, host->model_bytes(), checksum.bytes);
}

bool right_key(const SealedHeader& header, const SecretKey& model_key) {
  const Subkey check = hkdf(model_key, std::as_bytes(std::span(header.salt)), kKeyCheckLabel);
  return equal_constant_time(check.key.bytes, header.key_check, sizeof(header.key_check));
}

// Ciphertext and tag at `claimed`, mapped untrusted memory.
bool open_mapped(const Gcm& key, const ProgramAad& aad, const std::byte* claimed, std::span<std::byte> blob) {
  return key.open_from_untrusted(tile_nonce(aad.program_index), std::as_bytes(std::span(&aad, 1)), claimed,
                                 blob.data(), blob.size(), claimed + blob.size());
}

}  // namespace

Status open_sealed_model(CheckedHost* host, const SessionSecrets& secrets, ModelId* model_id, ModelKeys* keys) {
  SealedHeader header;
  CARREL_RETURN_IF_ERROR(read_header(host, &header));
  if (!right_key(header, secrets.model_key)) {
    return Error(ErrorCode::kWrongKey, "the key does not belong to this sealed model");
  }
  if (secrets.pin_model != 0 && !(header.model_id == secrets.expected_model)) {
    return Error(ErrorCode::kAuthentication, "this is not the expected model, but another sealing");
  }
  *model_id = header.model_id;
  keys->tiles = hkdf(secrets.model_key, std::as_bytes(std::span(header.salt)), kTilesLabel).key;
  keys->programs = hkdf(secrets.model_key, std::as_bytes(std::span(header.manifest_salt)), kProgramsLabel).key;
  keys->session_programs = hkdf(secrets.session_key, {}, kProgramKeyLabel).key;
  return ok_status();
}

Status read_program(CheckedHost* host, const ModelId& model_id, const ModelKeys& keys, CpuMask cpu,
                    const ProgramPlace& place, std::span<std::byte> blob) {
  const bool session = place.index == kSessionProgram;
  const Gcm key(session ? keys.session_programs : keys.programs, cpu);
  const ProgramAad aad{model_id, place.index, static_cast<uint32_t>(blob.size())};
  uint64_t end = 0;
  if (!checked_add(place.offset, blob.size() + kTagBytes, &end)) {
    return Error(ErrorCode::kPlatform, "the host named an impossible place for the program");
  }
  bool authentic = false;
  if (session) {
    CARREL_ASSIGN(const std::span<std::byte> area, host->shared_area_now(end));
    authentic = open_mapped(key, aad, area.data() + place.offset, blob);
  } else if (!host->model_map().empty()) {
    if (end > host->model_bytes()) return Error(ErrorCode::kAuthentication, "the sealed model ends before its program");
    authentic = open_mapped(key, aad, host->model_map().data() + place.offset, blob);
  } else {
    std::byte tag[kTagBytes];
    CARREL_RETURN_IF_ERROR(host->read_model_exact(place.offset, blob));
    CARREL_RETURN_IF_ERROR(host->read_model_exact(place.offset + blob.size(), tag));
    authentic = key.open_in_place(tile_nonce(place.index), std::as_bytes(std::span(&aad, 1)), blob.data(), blob.size(), tag);
  }
  if (authentic) return ok_status();
  return Error(ErrorCode::kAuthentication, "the program was changed");
}

}  // namespace carrel
