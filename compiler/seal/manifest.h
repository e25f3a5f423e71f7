#pragma once
// The manifest as bytes: written for a new file, parsed from a hostile one.
#include <vector>

#include "compiler/seal/seal.h"

namespace carrel {

// A program in the clear; the owner's.
struct OwnedProgram {
  std::vector<std::byte> blob;
};

// A larger manifest is refused: thousands of programs of the largest networks fit.
inline constexpr uint64_t kMaxManifestBytes = uint64_t{1} << 30;

// Seals `programs` and fills in everything in `header` that belongs to the manifest: its place (right after the tiles),
// fresh salt, tag, the file's size and the checksum. Needs header->salt, model_id, key_check and tiles_bytes.
Result<std::vector<std::byte>> build_manifest(const SecretKey& key, const WeightTypes& precision,
                                              const std::vector<StreamDesc>& streams,
                                              std::span<const std::byte> architecture,
                                              const std::vector<OwnedProgram>& programs, SealedHeader* header);

// Fills manifest, streams, programs and architecture from info->header and info->manifest_bytes; every count and
// offset is checked. The layout is canonical: each part in the one place it can have.
Status parse_manifest(SealedInfo* info);

// The architecture's bytes inside info.manifest_bytes. Requires parse_manifest.
std::span<const std::byte> architecture_bytes(const SealedInfo& info);

bool same_streams(const std::vector<StreamDesc>& a, const std::vector<StreamDesc>& b);

}  // namespace carrel
