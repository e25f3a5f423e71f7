#include <algorithm>
#include <cstring>
#include <vector>

#include "base/checked.h"
#include "compiler/seal/input_file.h"
#include "compiler/seal/keys.h"
#include "compiler/seal/seal.h"

namespace carrel {
namespace {

class Verifier {
 public:
  Verifier(const InputFile& file, const SealedInfo& info, const SecretKey& key, const SealProgress& progress)
      : file_(file), info_(info), key_(key), progress_(progress), buffer_(kMaxTileBytes + kTagBytes) {}
  ~Verifier() { wipe(buffer_.data(), buffer_.size()); }

  Status run() {
    CARREL_RETURN_IF_ERROR(check_gap(sizeof(SealedHeader), kTilesOffset));
    CARREL_RETURN_IF_ERROR(check_tiles());
    return check_programs();
  }

 private:
  // Bytes that nothing uses are zero.
  Status check_gap(uint64_t begin, uint64_t end) {
    std::vector<std::byte> bytes(end - begin);
    CARREL_RETURN_IF_ERROR(file_.read_at(begin, bytes));
    const auto changed = std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
    if (changed == bytes.end()) return ok_status();
    return Error(ErrorCode::kAuthentication, "byte %lu was changed: it belongs to nothing and must be 0",
                 begin + static_cast<uint64_t>(changed - bytes.begin()));
  }

  Status check_tiles() {
    const Subkey subkey(sealing_subkey(key_, info_.header.salt, kTilesLabel));
    const Gcm gcm(subkey.key, detect_cpu());
    uint64_t end = kTilesOffset;
    for (size_t s = 0; s < info_.streams.size(); ++s) {
      CARREL_RETURN_IF_ERROR(check_gap(end, info_.streams[s].file_offset));
      CARREL_ASSIGN(end, check_stream(gcm, s));
    }
    return check_gap(end, kTilesOffset + info_.header.tiles_bytes);
  }

  // Returns where the stream ends.
  Result<uint64_t> check_stream(const Gcm& gcm, size_t index) {
    const StreamDesc& stream = info_.streams[index];
    CARREL_ASSIGN(const TileGrid grid, make_tile_grid(stream.shape));
    uint64_t offset = stream.file_offset;
    for (uint32_t t = 0; t < grid.tile_count; ++t) {
      const uint32_t bytes = tile_info(grid, t).stored_bytes;
      const std::span<std::byte> sealed = std::span(buffer_).first(bytes + kTagBytes);
      CARREL_RETURN_IF_ERROR(file_.read_at(offset, sealed));
      const uint64_t tile = stream.first_tile + t;
      const TileAad aad = tile_aad(info_.header.model_id, tile, bytes);
      if (!gcm.open_in_place(tile_nonce(tile), bytes_of(aad), buffer_.data(), bytes, buffer_.data() + bytes)) {
        return Error(ErrorCode::kAuthentication, "tile %lu (weights %zu, bytes %lu to %lu of the file) was changed",
                     tile, index, offset, offset + bytes + kTagBytes);
      }
      offset += sealed.size();
      if (progress_) progress_(offset, info_.header.file_bytes);
    }
    return offset;
  }

  // Authentic, and what its record says; a program that validates cannot leave the engine's memory.
  Status check_programs() {
    for (size_t i = 0; i < info_.programs.size(); ++i) {
      CARREL_ASSIGN(const std::vector<std::byte> blob, open_sealed_program(info_, key_, i));
      CARREL_ASSIGN(const ProgramView program, parse_program(blob));
      CARREL_RETURN_IF_ERROR(validate_program(program));
      const ProgramRecord& record = info_.programs[i];
      const ProgramHeader& header = *program.header;
      if (record.budget_bytes != header.budget_bytes || record.planned_peak_bytes != header.planned_peak_bytes ||
          record.threads != header.threads || record.isa != header.isa || record.strategy != header.strategy) {
        return Error(ErrorCode::kAuthentication, "sealed program %zu is not what the manifest says", i);
      }
    }
    return ok_status();
  }

  const InputFile& file_;
  const SealedInfo& info_;
  const SecretKey& key_;
  const SealProgress& progress_;
  std::vector<std::byte> buffer_;  // a tile and its tag
};

}  // namespace

Status verify_sealed(const std::string& path, const SecretKey& key, const SealProgress& progress) {
  CARREL_ASSIGN(const SealedInfo info, read_sealed(path));
  CARREL_RETURN_IF_ERROR(authenticate_sealed(info, key));
  // Opened a second time: whatever happens to the name in between, every byte is held against the header above.
  CARREL_ASSIGN(const InputFile file, InputFile::open(path));
  if (file.size_bytes() != info.header.file_bytes) {
    return Error(ErrorCode::kAuthentication, "the file changed while it was verified");
  }
  return Verifier(file, info, key, progress).run();
}

}  // namespace carrel
