#pragma once
// The sealed model file (.carrel). docs/FORMAT.md tells the same for a reader without this code.
//
//   0      SealedHeader (256 bytes)
//   4096   tiles: streams one after another, each at a multiple of 64; a tile = ciphertext, 16-byte tag
//   ...    manifest (public, authenticated): ManifestHeader | StreamDesc[] | ProgramRecord[] | architecture bytes |
//          program blobs, sealed (ciphertext, 16-byte tag), each at a multiple of 8
//
// Keys, all 32 bytes, from the owner's model key K (engine/crypto/hash.h hkdf):
//   tiles    HKDF(K, salt, "carrel tiles")            nonce tile_nonce(index), AAD TileAad
//   check    HKDF(K, salt, "carrel key check")        first 16 bytes are public: tells a wrong key from a changed file
//   manifest HKDF(K, manifest_salt, "carrel manifest")  HMAC-SHA-256 over the manifest and the header before it
//   programs HKDF(K, manifest_salt, "carrel programs")  nonce tile_nonce(program index), AAD ProgramAad
#include <cstdint>

#include "base/result.h"
#include "engine/format/program.h"

namespace carrel {

inline constexpr char kSealedMagic[8] = {'C', 'A', 'R', 'R', 'E', 'L', '0', '1'};
inline constexpr uint32_t kSealedVersion = 2;
inline constexpr uint64_t kTilesOffset = 4096;

struct ModelId {
  uint8_t bytes[16];
  bool operator==(const ModelId&) const = default;
};

struct SealedHeader {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;  // 256
  uint8_t salt[32];
  ModelId model_id;       // random per sealing
  uint8_t key_check[16];
  uint64_t file_bytes;
  uint64_t tiles_bytes;   // from kTilesOffset
  uint64_t manifest_offset, manifest_bytes;
  uint8_t manifest_salt[32];  // fresh whenever the manifest is rewritten
  uint8_t manifest_tag[32];   // HMAC over header[0, offsetof(manifest_tag)) and the manifest
  uint8_t reserved[48];       // zero
  uint8_t checksum[32];       // SHA-256 of the bytes before: a damaged header is told from a wrong key. No protection.
};
static_assert(sizeof(SealedHeader) == 256);

inline constexpr char kTilesLabel[] = "carrel tiles";
inline constexpr char kKeyCheckLabel[] = "carrel key check";
inline constexpr char kManifestLabel[] = "carrel manifest";
inline constexpr char kProgramsLabel[] = "carrel programs";
inline constexpr uint32_t kTileAadKind = 1, kProgramAadKind = 2;

struct TileAad {
  ModelId model_id;
  uint64_t tile_index;
  uint32_t stored_bytes;
  uint32_t kind = kTileAadKind;
};
static_assert(sizeof(TileAad) == 32);
struct ProgramAad {
  ModelId model_id;
  uint64_t program_index;  // kSessionProgram for one that the client planned on the spot
  uint32_t program_bytes;
  uint32_t kind = kProgramAadKind;
};
static_assert(sizeof(ProgramAad) == 32);
inline constexpr uint64_t kSessionProgram = ~uint64_t{0};

struct ManifestHeader {
  uint32_t stream_count = 0;
  uint32_t program_count = 0;
  uint64_t architecture_bytes = 0;
  uint8_t precision = 0;  // StoredType
  uint8_t dense_precision = 0;  // of fully-connected layers: 0 as `precision`, else 1 + StoredType
  uint8_t reserved[6] = {};
};
static_assert(sizeof(ManifestHeader) == 24);

struct ProgramRecord {
  uint64_t offset = 0;  // in the file; ciphertext, then its tag
  uint64_t program_bytes = 0;
  uint64_t budget_bytes = 0, planned_peak_bytes = 0;
  uint8_t threads = 1, isa = 0, strategy = 0;
  uint8_t reserved[5] = {};
};
static_assert(sizeof(ProgramRecord) == 40);

// Checks magic, version, checksum and that header, tiles and manifest fill the file of `file_bytes`. `header` is a trusted copy.
// Errors: kInvalidInput (not a sealed model), kAuthentication (damaged or truncated).
Status check_sealed_header(const SealedHeader& header, uint64_t file_bytes, const uint8_t checksum_now[32]);

}  // namespace carrel
