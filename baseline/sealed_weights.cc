#include "baseline/sealed_weights.h"

#include <vector>

#include "compiler/seal/input_file.h"
#include "compiler/seal/keys.h"

namespace carrel::unmodified {
namespace {

class Unpacker {
 public:
  Unpacker(const InputFile& file, const SealedInfo& info, const SecretKey& key)
      : file_(file),
        info_(info),
        subkey_(sealing_subkey(key, info.header.salt, kTilesLabel)),
        gcm_(subkey_.key, detect_cpu()),
        buffer_(kMaxTileBytes + kTagBytes) {}
  ~Unpacker() { wipe(buffer_.data(), buffer_.size()); }

  Status unpack_stream(size_t index, const UnpackTarget& target) {
    const StreamDesc& stream = info_.streams[index];
    CARREL_ASSIGN(const TileGrid grid, make_tile_grid(stream.shape));
    uint64_t offset = stream.file_offset;
    for (uint32_t t = 0; t < grid.tile_count; ++t) {
      const uint32_t bytes = tile_info(grid, t).stored_bytes;
      CARREL_RETURN_IF_ERROR(open_tile(stream.first_tile + t, offset, bytes));
      unpack_tile(grid, t, buffer_.data(), target);
      offset += bytes + kTagBytes;
    }
    return ok_status();
  }

 private:
  Status open_tile(uint64_t tile, uint64_t offset, uint32_t bytes) {
    CARREL_RETURN_IF_ERROR(file_.read_at(offset, std::span(buffer_).first(bytes + kTagBytes)));
    const TileAad aad = tile_aad(info_.header.model_id, tile, bytes);
    std::byte* plain = buffer_.data();
    if (gcm_.open_in_place(tile_nonce(tile), bytes_of(aad), plain, bytes, plain + bytes))
      return ok_status();
    return Error(ErrorCode::kAuthentication, "tile %lu (bytes %lu to %lu of the file) was changed",
                 tile, offset, offset + bytes + kTagBytes);
  }

  const InputFile& file_;
  const SealedInfo& info_;
  const Subkey subkey_;
  const Gcm gcm_;
  std::vector<std::byte> buffer_;  // a tile and its tag
};

}  // namespace

Status unpack_sealed(const std::string& path, const SealedInfo& info, const SecretKey& key,
                     const std::function<UnpackTarget(size_t stream)>& target) {
  CARREL_ASSIGN(const InputFile file, InputFile::open(path));
  if (file.size_bytes() != info.header.file_bytes)
    return Error(ErrorCode::kAuthentication, "the file changed after it was opened");
  Unpacker unpacker(file, info, key);
  for (size_t s = 0; s < info.streams.size(); ++s)
    CARREL_RETURN_IF_ERROR(unpacker.unpack_stream(s, target(s)));
  return ok_status();
}

}  // namespace carrel::unmodified
