#include "engine/runtime/arena.h"

#include "base/checked.h"

namespace carrel {

Status Arena::attach(std::span<std::byte> block, const ProgramHeader& header, const Tracer* tracer) {
  block_ = block;
  tracer_ = tracer;
  tile_buffer_bytes_ = header.tile_buffer_bytes;
  buffers_ = round_up(header.program_bytes, 64);
  arena_ = buffers_ + uint64_t{header.threads} * tile_buffer_bytes_;
  if (!checked_add(arena_, header.arena_bytes, &end_) || end_ > block.size()) {
    return Error(ErrorCode::kBudgetTooSmall, "the program needs %llu bytes of trusted memory",
                 static_cast<unsigned long long>(header.planned_peak_bytes))
        .with_detail(header.planned_peak_bytes);
  }
  high_water_ = buffers_;
  return ok_status();
}

std::byte* Arena::hand_out(uint64_t begin, uint64_t bytes, uint64_t limit) {
  CARREL_CHECK(in_range(begin, bytes, limit));
  if (begin + bytes > high_water_) high_water_ = begin + bytes;
  tracer_->record(TraceKind::kArena, begin, bytes);
  return block_.data() + begin;
}

std::byte* Arena::claim(uint64_t offset, uint64_t bytes) { return hand_out(arena_ + offset, bytes, end_); }

std::byte* Arena::claim_tile_buffer(uint32_t thread) {
  return hand_out(buffers_ + thread * tile_buffer_bytes_, tile_buffer_bytes_, arena_);
}

std::byte* Arena::claim_boundary_buffer(uint64_t bytes) { return hand_out(buffers_, bytes, arena_); }

RowRing Arena::claim_ring(const TensorDesc& map) {
  RowRing ring;
  ring.base = reinterpret_cast<float*>(claim(map.arena_offset, map.bytes));
  ring.shape = map_shape(map);
  ring.ring_rows = map.ring_rows;
  return ring;
}

ByteRing Arena::claim_bytes(const TensorDesc& map) {
  return {reinterpret_cast<uint8_t*>(claim(map.arena_offset, map.bytes)), map_shape(map), map.ring_rows};
}

}  // namespace carrel
