#include "engine/runtime/tile_stream.h"

#include <cstring>

#include "base/checked.h"

namespace carrel {
void TileStream::attach(CheckedHost* host, const Gcm* key, const ModelId& model_id, const RowKernels* kernels,
                        const Tracer* tracer, Profiler* profiler) {
  host_ = host;
  key_ = key;
  model_id_ = model_id;
  kernels_ = kernels;
  tracer_ = tracer;
  profiler_ = profiler;
}

Status TileStream::read(uint64_t offset, std::span<std::byte> into) const {
  tracer_->record(TraceKind::kHostCall, offset, into.size());
  return host_->read_model_exact(offset, into);
}

Status TileStream::fetch(const StreamDesc& stream, const TileGrid& grid, uint32_t tile, std::byte* dst,
                         bool tag_room) const {
  const TileInfo info = tile_info(grid, tile);
  const uint64_t offset = stream.file_offset + info.stored_offset + kTagBytes * uint64_t{tile};
  const uint32_t gap = info.expanded_bytes - info.stored_bytes;
  const bool half = stream.shape.stored == StoredType::kF16 && stream.shape.kind != WeightsKind::kDense;
  // Halves lie at the end of the buffer and are widened towards its start.
  std::byte* plain = half ? dst + gap : dst;
  CARREL_RETURN_IF_ERROR(timed_open(stream, tile, offset, {plain, info.stored_bytes}, tag_room));
  if (half) kernels_->expand_f16(reinterpret_cast<float*>(dst), grid, info);
  else std::memset(dst + info.stored_bytes, 0, gap);
  return ok_status();
}

Status TileStream::timed_open(const StreamDesc& stream, uint32_t tile, uint64_t offset, std::span<std::byte> plain,
                              bool tag_room) const {
  if (!profiler_->on()) return open(stream, tile, offset, plain, tag_room);
  const uint64_t start = read_ticks();
  const Status status = open(stream, tile, offset, plain, tag_room);
  profiler_->add_decrypt(read_ticks() - start);
  return status;
}

Status TileStream::open(const StreamDesc& stream, uint32_t tile, uint64_t offset, std::span<std::byte> plain,
                        bool tag_room) const {
  const uint64_t index = stream.first_tile + tile;
  const uint32_t bytes = static_cast<uint32_t>(plain.size());
  const TileAad aad{model_id_, index, bytes};
  const std::span<const std::byte> aad_bytes = std::as_bytes(std::span(&aad, 1));
  const std::span<const std::byte> map = host_->model_map();
  bool authentic = false;
  tracer_->record(TraceKind::kTile, offset, bytes);
  if (!map.empty()) {
    if (!in_range(offset, uint64_t{bytes} + kTagBytes, map.size())) {
      return Error(ErrorCode::kAuthentication, "weight tile %llu lies beyond the sealed model's end",
                   static_cast<unsigned long long>(index));
    }
    const std::byte* cipher = map.data() + offset;
    authentic = key_->open_from_untrusted(tile_nonce(index), aad_bytes, cipher, plain.data(), bytes, cipher + bytes);
  } else {
    std::byte own_tag[kTagBytes];
    std::byte* tag = tag_room ? plain.data() + bytes : own_tag;
    if (tag_room) {
      CARREL_RETURN_IF_ERROR(read(offset, {plain.data(), bytes + kTagBytes}));
    } else {
      CARREL_RETURN_IF_ERROR(read(offset, plain));
      CARREL_RETURN_IF_ERROR(read(offset + bytes, {own_tag, kTagBytes}));
    }
    authentic = key_->open_in_place(tile_nonce(index), aad_bytes, plain.data(), bytes, tag);
  }
  if (authentic) return ok_status();
  return Error(ErrorCode::kAuthentication, "weight tile %llu was changed", static_cast<unsigned long long>(index));
}

}  // namespace carrel
