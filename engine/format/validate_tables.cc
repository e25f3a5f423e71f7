// Tensors, streams and stores, each on its own.
#include "base/checked.h"
#include "engine/format/sealed_model.h"
#include "engine/format/validate.h"

namespace carrel {
namespace {

// Larger tensors could not be addressed by the kernels' sums.
constexpr uint64_t kMaxTensorBytes = uint64_t{1} << 40;
constexpr uint64_t kMaxElements = kMaxTensorBytes / sizeof(float);
constexpr int kMaxRank = 8;

Status validate_map(const TensorDesc& t, uint32_t index) {
  const bool sides = t.channels > 0 && t.height > 0 && t.width > 0 && t.channels <= kMaxMapSide &&
                     t.height <= kMaxMapSide && t.width <= kMaxMapSide && t.pad_left <= kMaxMapSide &&
                     t.pad_right <= kMaxMapSide && t.pad_left + t.width + t.pad_right <= kMaxMapSide;
  CARREL_REQUIRE(sides, "tensor", index, "a side is 0 or too large");
  CARREL_REQUIRE(t.type <= ElementType::kPlanarF32 && (t.type == ElementType::kU8 || t.zero == 0), "tensor", index,
                 "unknown type");
  CARREL_REQUIRE(t.type != ElementType::kPlanarF32 || t.channels <= kMaxPlanarChannels, "tensor", index,
                 "a planar map of many channels");
  CARREL_REQUIRE(t.ring_rows > 0 && t.ring_rows <= kMaxMapSide, "tensor", index, "ring rows out of range");
  // At most 2^20 blocks of 2^24 pixels of 64 bytes.
  const uint64_t row_bytes = map_shape(t).row_bytes();
  uint64_t bytes = 0;
  const bool fits = checked_mul(row_bytes, t.ring_rows, &bytes) && bytes <= t.bytes && bytes <= kMaxTensorBytes;
  CARREL_REQUIRE(fits, "tensor", index, "its ring is larger than its memory");
  return ok_status();
}

Status validate_plain(const ProgramView& program, const TensorDesc& t, uint32_t index) {
  CARREL_REQUIRE(t.type == ElementType::kF32 && t.zero == 0, "tensor", index, "unknown type");
  CARREL_REQUIRE(t.rank <= kMaxRank && in_range(t.dims_begin, t.rank, program.ints.size()), "tensor", index,
                 "its dims are out of range");
  uint64_t largest = 1;  // a dimension of 0 counts as 1, so that partial products stay bounded too
  for (uint32_t d = 0; d < t.rank; ++d) {
    const int64_t dim = program.ints[t.dims_begin + d];
    CARREL_REQUIRE(dim >= 0, "tensor", index, "a dimension is negative");
    const uint64_t factor = dim > 0 ? static_cast<uint64_t>(dim) : 1;
    CARREL_REQUIRE(checked_mul(largest, factor, &largest) && largest <= kMaxElements, "tensor", index, "too large");
  }
  CARREL_REQUIRE(round_up(plain_count(program, t) * sizeof(float), 64) <= t.bytes, "tensor", index,
                 "it is larger than its memory");
  return ok_status();
}

bool valid_store_kind(const ProgramHeader& h, uint32_t index, StoreKind kind) {
  if (index < h.input_count) return kind == StoreKind::kInput;
  if (index < uint32_t{h.input_count} + h.output_count) return kind == StoreKind::kOutput;
  return kind == StoreKind::kSpill;
}

}  // namespace

uint64_t plain_count(const ProgramView& program, const TensorDesc& t) {
  uint64_t count = 1;
  for (uint32_t d = 0; d < t.rank; ++d) count *= static_cast<uint64_t>(program.ints[t.dims_begin + d]);
  return count;
}

Status validate_tensors(const ProgramView& program) {
  for (uint32_t i = 0; i < program.tensors.size(); ++i) {
    const TensorDesc& t = program.tensors[i];
    CARREL_REQUIRE(t.arena_offset % 64 == 0, "tensor", i, "misaligned");
    CARREL_REQUIRE(in_range(t.arena_offset, t.bytes, program.header->arena_bytes), "tensor", i, "outside the arena");
    CARREL_REQUIRE(t.kind <= TensorKind::kPlain, "tensor", i, "unknown kind");
    if (t.kind == TensorKind::kMap) CARREL_RETURN_IF_ERROR(validate_map(t, i));
    else CARREL_RETURN_IF_ERROR(validate_plain(program, t, i));
  }
  return ok_status();
}

Status validate_streams(const ProgramView& program) {
  for (uint32_t i = 0; i < program.streams.size(); ++i) {
    const StreamDesc& s = program.streams[i];
    CARREL_REQUIRE(s.shape.kind != WeightsKind::kNone && s.shape.kind <= kLastWeightsKind, "stream", i,
                   "unknown kind");
    const Result<TileGrid> grid = make_tile_grid(s.shape);
    CARREL_REQUIRE(grid.ok(), "stream", i, "impossible shape");
    uint64_t end = 0;
    const bool fits = s.file_offset >= kTilesOffset && s.file_offset % 16 == 0 &&
                      checked_add(grid->stored_bytes, uint64_t{grid->tile_count} * 16, &end) &&
                      checked_add(s.file_offset, end, &end) && checked_add(s.first_tile, grid->tile_count, &end);
    CARREL_REQUIRE(fits, "stream", i, "outside any file");
  }
  return ok_status();
}

Status validate_stores(const ProgramView& program) {
  uint64_t next_offset = 0, next_position = 0;
  for (uint32_t i = 0; i < program.stores.size(); ++i) {
    const StoreDesc& s = program.stores[i];
    CARREL_REQUIRE(valid_store_kind(*program.header, i, s.kind), "store", i, "wrong kind for its place");
    CARREL_REQUIRE(s.block_bytes > 0 && s.block_bytes % 4 == 0 && s.block_count > 0, "store", i, "empty blocks");
    CARREL_REQUIRE(s.offset >= next_offset && s.first_position >= next_position, "store", i,
                   "overlaps the store before it");
    uint64_t bytes = 0;
    const bool fits = checked_mul(uint64_t{s.block_bytes} + 16, s.block_count, &bytes) &&
                      in_range(s.offset, bytes, program.header->store_bytes);
    CARREL_REQUIRE(fits, "store", i, "outside the untrusted area");
    next_offset = s.offset + bytes;
    next_position = uint64_t{s.first_position} + s.block_count;
    CARREL_REQUIRE(next_position <= uint64_t{1} << 32, "store", i, "nonce positions overflow");
  }
  return ok_status();
}

}  // namespace carrel
