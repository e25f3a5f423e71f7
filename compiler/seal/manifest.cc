#include "compiler/seal/manifest.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "compiler/graph/serialize.h"
#include "compiler/seal/keys.h"

namespace carrel {
namespace {

constexpr uint64_t kAlignment = 8;

Error malformed(const char* what) {
  return Error(ErrorCode::kAuthentication, "the sealed model's manifest is damaged: %s", what);
}

// Where each part lies, from the counts alone. Offsets are within the manifest.
struct Layout {
  uint64_t streams = 0, records = 0, architecture = 0, programs = 0;
};

// Requires counts that fit kMaxManifestBytes.
Layout layout_of(const ManifestHeader& header) {
  Layout layout;
  layout.streams = sizeof(ManifestHeader);
  layout.records = layout.streams + uint64_t{header.stream_count} * sizeof(StreamDesc);
  layout.architecture = layout.records + uint64_t{header.program_count} * sizeof(ProgramRecord);
  layout.programs = round_up(layout.architecture + header.architecture_bytes, kAlignment);
  return layout;
}

ProgramRecord record_of(std::span<const std::byte> blob, uint64_t offset) {
  ProgramHeader header;
  std::memcpy(&header, blob.data(), sizeof(header));
  ProgramRecord record{};
  record.offset = offset;
  record.program_bytes = blob.size();
  record.budget_bytes = header.budget_bytes;
  record.planned_peak_bytes = header.planned_peak_bytes;
  record.threads = header.threads;
  record.isa = header.isa;
  record.strategy = header.strategy;
  return record;
}

// The same descriptors with zeros between their fields.
std::vector<StreamDesc> clean(const std::vector<StreamDesc>& streams) {
  std::vector<StreamDesc> out(streams.size());
  for (size_t i = 0; i < streams.size(); ++i) {
    std::memset(static_cast<void*>(&out[i]), 0, sizeof(StreamDesc));
    out[i].shape.kind = streams[i].shape.kind;
    out[i].shape.stored = streams[i].shape.stored;
    out[i].shape.in_channels = streams[i].shape.in_channels;
    out[i].shape.out_channels = streams[i].shape.out_channels;
    out[i].shape.kernel_h = streams[i].shape.kernel_h;
    out[i].shape.kernel_w = streams[i].shape.kernel_w;
    out[i].shape.element_count = streams[i].shape.element_count;
    out[i].file_offset = streams[i].file_offset;
    out[i].first_tile = streams[i].first_tile;
  }
  return out;
}

template <typename T>
void put(std::vector<std::byte>* out, uint64_t offset, std::span<const T> items) {
  if (!items.empty()) std::memcpy(out->data() + offset, items.data(), items.size_bytes());
}

uint64_t sealed_program_bytes(uint64_t program_bytes) { return round_up(program_bytes + kTagBytes, kAlignment); }

// Everything but the programs' ciphertexts.
std::vector<std::byte> lay_out(const ManifestHeader& counts, const std::vector<StreamDesc>& streams,
                               std::span<const std::byte> architecture, const std::vector<OwnedProgram>& programs,
                               uint64_t manifest_offset) {
  const Layout layout = layout_of(counts);
  std::vector<ProgramRecord> records;
  uint64_t end = layout.programs;
  for (const OwnedProgram& program : programs) {
    records.push_back(record_of(program.blob, manifest_offset + end));
    end += sealed_program_bytes(program.blob.size());
  }
  std::vector<std::byte> out(end);
  put<ManifestHeader>(&out, 0, {&counts, 1});
  put<StreamDesc>(&out, layout.streams, clean(streams));
  put<ProgramRecord>(&out, layout.records, records);
  put<std::byte>(&out, layout.architecture, architecture);
  return out;
}

void seal_programs(const SecretKey& key, const SealedHeader& header, const std::vector<OwnedProgram>& programs,
                   uint64_t offset, std::vector<std::byte>* manifest) {
  const Subkey subkey(sealing_subkey(key, header.manifest_salt, kProgramsLabel));
  const Gcm gcm(subkey.key, detect_cpu());
  for (size_t i = 0; i < programs.size(); ++i) {
    const std::vector<std::byte>& blob = programs[i].blob;
    const ProgramAad aad = program_aad(header.model_id, i, static_cast<uint32_t>(blob.size()));
    std::byte* out = manifest->data() + offset;
    gcm.seal(tile_nonce(i), bytes_of(aad), blob.data(), out, blob.size(), out + blob.size());
    offset += sealed_program_bytes(blob.size());
  }
}

Status check_streams(const SealedInfo& info) {
  uint64_t offset = kTilesOffset, tiles = 0;
  const uint64_t limit = kTilesOffset + info.header.tiles_bytes;
  for (const StreamDesc& stream : info.streams) {
    const Result<TileGrid> grid = make_tile_grid(stream.shape);
    if (!grid.ok()) return malformed("impossible weights");
    if (stream.file_offset != round_up(offset, 64) || stream.first_tile != tiles || stream.reserved != 0) {
      return malformed("weights out of place");
    }
    const uint64_t bytes = grid->stored_bytes + uint64_t{grid->tile_count} * kTagBytes;
    if (!in_range(stream.file_offset, bytes, limit)) return malformed("weights outside the file");
    offset = stream.file_offset + bytes;
    tiles += grid->tile_count;
  }
  if (round_up(offset, 64) != limit) return malformed("bytes that belong to no weights");
  return ok_status();
}

Status check_records(const SealedInfo& info) {
  uint64_t offset = layout_of(info.manifest).programs;
  for (const ProgramRecord& record : info.programs) {
    if (record.offset != info.header.manifest_offset + offset) return malformed("a program out of place");
    if (record.program_bytes < sizeof(ProgramHeader) || record.program_bytes > info.manifest_bytes.size()) {
      return malformed("a program's size");
    }
    const uint64_t bytes = sealed_program_bytes(record.program_bytes);
    if (!in_range(offset, bytes, info.manifest_bytes.size())) return malformed("a program outside the file");
    offset += bytes;
  }
  if (offset != info.manifest_bytes.size()) return malformed("bytes that belong to no program");
  return ok_status();
}

template <typename T>
std::vector<T> take(std::span<const std::byte> bytes, uint64_t offset, uint32_t count) {
  std::vector<T> items(count);
  if (count > 0) std::memcpy(items.data(), bytes.data() + offset, count * sizeof(T));
  return items;
}

}  // namespace

Result<std::vector<std::byte>> build_manifest(const SecretKey& key, const WeightTypes& precision,
                                              const std::vector<StreamDesc>& streams,
                                              std::span<const std::byte> architecture,
                                              const std::vector<OwnedProgram>& programs, SealedHeader* header) {
  ManifestHeader counts{};
  counts.stream_count = static_cast<uint32_t>(streams.size());
  counts.program_count = static_cast<uint32_t>(programs.size());
  counts.architecture_bytes = architecture.size();
  counts.precision = static_cast<uint8_t>(precision.maps);
  if (precision.dense != precision.maps) counts.dense_precision = static_cast<uint8_t>(1 + static_cast<uint8_t>(precision.dense));
  header->manifest_offset = kTilesOffset + header->tiles_bytes;
  CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(header->manifest_salt))));
  std::vector<std::byte> manifest = lay_out(counts, streams, architecture, programs, header->manifest_offset);
  if (manifest.size() > kMaxManifestBytes) {
    return Error(ErrorCode::kInvalidInput, "more programs than a sealed model holds: seal fewer budgets");
  }
  seal_programs(key, *header, programs, layout_of(counts).programs, &manifest);
  header->manifest_bytes = manifest.size();
  header->file_bytes = header->manifest_offset + manifest.size();
  const Digest tag = manifest_tag(key, *header, manifest);
  std::memcpy(header->manifest_tag, tag.bytes, sizeof(header->manifest_tag));
  const Digest checksum = header_checksum(*header);
  std::memcpy(header->checksum, checksum.bytes, sizeof(header->checksum));
  return manifest;
}

Status parse_manifest(SealedInfo* info) {
  const std::span<const std::byte> bytes = info->manifest_bytes;
  if (bytes.size() < sizeof(ManifestHeader)) return malformed("too short");
  std::memcpy(&info->manifest, bytes.data(), sizeof(ManifestHeader));
  const ManifestHeader& counts = info->manifest;
  if (counts.architecture_bytes > bytes.size()) return malformed("the architecture's size");
  // 32-bit counts times small sizes: no overflow.
  const Layout layout = layout_of(counts);
  if (layout.programs > bytes.size()) return malformed("tables longer than the manifest");
  // One form: a fully-connected type is named only where it differs.
  if (counts.precision > static_cast<uint8_t>(StoredType::kF16) ||
      counts.dense_precision > 1 + static_cast<uint8_t>(StoredType::kI4) || counts.dense_precision == 1 + counts.precision) {
    return malformed("unknown precision");
  }
  info->streams = take<StreamDesc>(bytes, layout.streams, counts.stream_count);
  info->programs = take<ProgramRecord>(bytes, layout.records, counts.program_count);
  CARREL_RETURN_IF_ERROR(check_streams(*info));
  CARREL_RETURN_IF_ERROR(check_records(*info));
  CARREL_ASSIGN(info->architecture, parse_architecture(architecture_bytes(*info)));
  return ok_status();
}

WeightTypes weight_types(const ManifestHeader& manifest) {
  const auto maps = static_cast<StoredType>(manifest.precision);
  if (manifest.dense_precision == 0) return maps;
  return {maps, static_cast<StoredType>(manifest.dense_precision - 1)};
}

std::span<const std::byte> architecture_bytes(const SealedInfo& info) {
  return std::span(info.manifest_bytes)
      .subspan(layout_of(info.manifest).architecture, info.manifest.architecture_bytes);
}

bool same_streams(const std::vector<StreamDesc>& a, const std::vector<StreamDesc>& b) {
  const auto same = [](const StreamDesc& x, const StreamDesc& y) {
    return x.shape == y.shape && x.file_offset == y.file_offset && x.first_tile == y.first_tile;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

}  // namespace carrel
