// Blocks that cross to the untrusted side: inputs, outputs, spilled rows.
#include <cstring>

#include "engine/runtime/executor.h"

namespace carrel {
namespace {

// The bytes of a plain tensor that block `block` holds; the rest of the block is zeros.
struct PlainPiece {
  std::byte* data;
  uint64_t bytes;
};
PlainPiece piece_of(const ProgramView& program, const TensorDesc& t, std::byte* data, uint32_t block) {
  const uint64_t begin = uint64_t{block} * kPlainBlockBytes;
  const uint64_t left = plain_count(program, t) * sizeof(float) - begin;
  return {data + begin, left < kPlainBlockBytes ? left : kPlainBlockBytes};
}

}  // namespace

Status Executor::input(const OpDesc& op, RowRange blocks) {
  const StoreDesc& store = program_.stores[op.store];
  const TensorDesc& t = tensor(op.out);
  std::byte* buffer = parts_.arena->claim_boundary_buffer(store.block_bytes);
  if (t.kind == TensorKind::kPlain) {
    std::byte* data = reinterpret_cast<std::byte*>(plain_data(op.out));
    for (uint32_t b = blocks.begin; b < blocks.end; ++b) {
      const PlainPiece piece = piece_of(program_, t, data, b);
      CARREL_RETURN_IF_ERROR(parts_.gate->open(store, b, counter_, buffer));
      if (piece.bytes > 0) std::memcpy(piece.data, buffer, piece.bytes);
    }
    return ok_status();
  }
  const RowRing out = ring(op.out);
  // Threads share the work where a block fits into what each has.
  const uint32_t threads = store.block_bytes <= program_.header->tile_buffer_bytes ? parts_.workers->threads() : 1;
  const uint32_t used = threads < count_of(blocks) ? threads : count_of(blocks);
  std::byte* buffers[kMaxThreads] = {buffer};
  for (uint32_t i = 1; i < used; ++i) buffers[i] = parts_.arena->claim_tile_buffer(i);
  auto task = [&](uint32_t thread) -> Status {
    const RowRange part = part_of(blocks, used, thread);
    for (uint32_t y = part.begin; y < part.end; ++y) {
      CARREL_RETURN_IF_ERROR(parts_.gate->open(store, y, counter_, buffers[thread]));
      parts_.kernels->dense_to_row({out, reinterpret_cast<float*>(buffers[thread]), out.shape.width, y});
    }
    return ok_status();
  };
  CARREL_RETURN_IF_ERROR(parts_.workers->run(used, task));
  zero_pads(out, blocks);
  return ok_status();
}

Status Executor::output(const OpDesc& op, RowRange blocks) {
  const StoreDesc& store = program_.stores[op.store];
  const TensorDesc& t = tensor(op.in0);
  std::byte* buffer = parts_.arena->claim_boundary_buffer(store.block_bytes);
  if (t.kind == TensorKind::kPlain) {
    std::byte* data = reinterpret_cast<std::byte*>(plain_data(op.in0));
    for (uint32_t b = blocks.begin; b < blocks.end; ++b) {
      const PlainPiece piece = piece_of(program_, t, data, b);
      if (piece.bytes > 0) std::memcpy(buffer, piece.data, piece.bytes);
      std::memset(buffer + piece.bytes, 0, store.block_bytes - piece.bytes);
      parts_.gate->seal(store, b, counter_, buffer);
    }
    return ok_status();
  }
  const RowRing in = ring(op.in0);
  for (uint32_t y = blocks.begin; y < blocks.end; ++y) {
    parts_.kernels->row_to_dense({in, reinterpret_cast<float*>(buffer), in.shape.width, y});
    parts_.gate->seal(store, y, counter_, buffer);
  }
  return ok_status();
}

Status Executor::spill(const OpDesc& op, RowRange rows) {
  const StoreDesc& store = program_.stores[op.store];
  const ByteRing in = bytes(op.in0);
  stats_->bytes_spilled += uint64_t{count_of(rows)} * store.block_bytes;
  const uint32_t threads = parts_.workers->threads();
  const uint32_t used = threads < count_of(rows) ? threads : count_of(rows);
  auto task = [&](uint32_t thread) -> Status {
    const RowRange part = part_of(rows, used, thread);
    for (uint32_t y = part.begin; y < part.end; ++y) {
      parts_.gate->seal(store, y, counter_, reinterpret_cast<const std::byte*>(in.block_row(y, 0)));
    }
    return ok_status();
  };
  return parts_.workers->run(used, task);
}

// The rows come back verbatim, pads included.
Status Executor::fetch(const OpDesc& op, RowRange rows) {
  const StoreDesc& store = program_.stores[op.store];
  const ByteRing out = bytes(op.out);
  stats_->bytes_fetched += uint64_t{count_of(rows)} * store.block_bytes;
  const uint32_t threads = parts_.workers->threads();
  const uint32_t used = threads < count_of(rows) ? threads : count_of(rows);
  auto task = [&](uint32_t thread) -> Status {
    const RowRange part = part_of(rows, used, thread);
    for (uint32_t y = part.begin; y < part.end; ++y) {
      CARREL_RETURN_IF_ERROR(
          parts_.gate->open(store, y, counter_, reinterpret_cast<std::byte*>(out.block_row(y, 0))));
    }
    return ok_status();
  };
  return parts_.workers->run(used, task);
}

}  // namespace carrel
