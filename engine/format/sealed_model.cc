#include "engine/format/sealed_model.h"

#include <cstring>

#include "base/checked.h"

namespace carrel {
namespace {

bool all_zero(const uint8_t* bytes, size_t count) {
  uint8_t any = 0;
  for (size_t i = 0; i < count; ++i) any |= bytes[i];
  return any == 0;
}

}  // namespace

Status check_sealed_header(const SealedHeader& header, uint64_t file_bytes, const uint8_t checksum_now[32]) {
  if (std::memcmp(header.magic, kSealedMagic, sizeof(kSealedMagic)) != 0) {
    return Error(ErrorCode::kInvalidInput, "not a sealed model");
  }
  if (std::memcmp(header.checksum, checksum_now, sizeof(header.checksum)) != 0) {
    return Error(ErrorCode::kAuthentication, "the sealed model's header is damaged");
  }
  if (header.version != kSealedVersion) {
    return Error(ErrorCode::kUnsupported, "sealed model version %u, this build reads %u", header.version,
                 kSealedVersion);
  }
  if (header.header_bytes != sizeof(SealedHeader) || !all_zero(header.reserved, sizeof(header.reserved))) {
    return Error(ErrorCode::kAuthentication, "the sealed model's header is damaged");
  }
  if (header.file_bytes != file_bytes) {
    return Error(ErrorCode::kAuthentication, "the sealed model has %llu bytes, its header says %llu: truncated or extended",
                 static_cast<unsigned long long>(file_bytes), static_cast<unsigned long long>(header.file_bytes));
  }
  uint64_t tiles_end = 0;
  uint64_t manifest_end = 0;
  if (header.tiles_bytes % 64 != 0 || !checked_add(kTilesOffset, header.tiles_bytes, &tiles_end) ||
      tiles_end != header.manifest_offset || !checked_add(tiles_end, header.manifest_bytes, &manifest_end) ||
      manifest_end != file_bytes) {
    return Error(ErrorCode::kAuthentication, "the sealed model's regions do not fill the file");
  }
  return ok_status();
}

}  // namespace carrel
