#include <cstring>

#include "compiler/seal/input_file.h"
#include "compiler/seal/keys.h"
#include "compiler/seal/manifest.h"
#include "compiler/seal/seal.h"

namespace carrel {

Result<SealedInfo> read_sealed(const std::string& path) {
  CARREL_ASSIGN(const InputFile file, InputFile::open(path));
  SealedInfo info;
  if (file.size_bytes() < sizeof(SealedHeader)) {
    return Error(ErrorCode::kInvalidInput, "not a sealed model: only %lu bytes", file.size_bytes());
  }
  CARREL_RETURN_IF_ERROR(file.read_at(0, std::as_writable_bytes(std::span(&info.header, 1))));
  const SealedHeader& header = info.header;
  CARREL_RETURN_IF_ERROR(check_sealed_header(header, file.size_bytes(), header_checksum(header).bytes));
  if (header.manifest_bytes > kMaxManifestBytes) {
    return Error(ErrorCode::kAuthentication, "the sealed model claims a manifest of %lu bytes", header.manifest_bytes);
  }
  info.manifest_bytes.resize(header.manifest_bytes);
  CARREL_RETURN_IF_ERROR(file.read_at(header.manifest_offset, info.manifest_bytes));
  CARREL_RETURN_IF_ERROR(parse_manifest(&info));
  return info;
}

Status authenticate_sealed(const SealedInfo& info, const SecretKey& key) {
  CARREL_RETURN_IF_ERROR(check_crypto_cpu());
  CARREL_RETURN_IF_ERROR(check_key(key, info.header));
  const Digest tag = manifest_tag(key, info.header, info.manifest_bytes);
  if (equal_constant_time(tag.bytes, info.header.manifest_tag, sizeof(tag.bytes))) return ok_status();
  return Error(ErrorCode::kAuthentication, "the sealed model's manifest or header was changed");
}

Result<std::vector<std::byte>> open_sealed_program(const SealedInfo& info, const SecretKey& key, size_t index) {
  const ProgramRecord& record = info.programs[index];
  const Subkey subkey(sealing_subkey(key, info.header.manifest_salt, kProgramsLabel));
  const Gcm gcm(subkey.key, detect_cpu());
  const ProgramAad aad = program_aad(info.header.model_id, index, static_cast<uint32_t>(record.program_bytes));
  const std::byte* cipher = info.manifest_bytes.data() + (record.offset - info.header.manifest_offset);
  std::vector<std::byte> blob(cipher, cipher + record.program_bytes);
  if (!gcm.open_in_place(tile_nonce(index), bytes_of(aad), blob.data(), blob.size(), cipher + blob.size())) {
    return Error(ErrorCode::kAuthentication, "sealed program %zu was changed", index);
  }
  return blob;
}

Result<StreamPlan> sealed_streams(const SealedInfo& info) {
  CARREL_ASSIGN(StreamPlan plan,
                plan_streams(info.architecture, weight_types(info.manifest)));
  if (!same_streams(plan.streams, info.streams)) {
    return Error(ErrorCode::kUnsupported,
                 "sealed by a carrel that laid this network's weights out otherwise; seal it again to plan for it");
  }
  return plan;
}

}  // namespace carrel
