#pragma once
// The engine's one block of memory, cut up as engine/format/program.h says:
//
//   [program blob, rounded up to 64][threads x tile buffer][arena]
//
// Every kernel and buffer gets its memory here, so the highest byte handed out is the measured peak: it owes nothing
// to the plan. Used by the thread that runs the step loop only. No secrets of its own.
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/format/program.h"
#include "engine/runtime/tracer.h"

namespace carrel {

class Arena {
 public:
  // `block` holds the program's blob at its start. Errors: kBudgetTooSmall; detail() = the least budget.
  Status attach(std::span<std::byte> block, const ProgramHeader& header, const Tracer* tracer);

  // Ranges are those of a validated program: a bad one is our own bug.
  std::byte* claim(uint64_t offset, uint64_t bytes);
  std::byte* claim_tile_buffer(uint32_t thread);
  // The tile buffers as one, for a block of an input or output.
  std::byte* claim_boundary_buffer(uint64_t bytes);
  RowRing claim_ring(const TensorDesc& map);
  ByteRing claim_bytes(const TensorDesc& map);

  // Bytes from the block's start to the highest one ever handed out.
  uint64_t high_water_bytes() const { return high_water_; }

 private:
  std::byte* hand_out(uint64_t begin, uint64_t bytes, uint64_t limit);

  std::span<std::byte> block_;
  uint64_t buffers_ = 0;  // offsets in the block
  uint64_t arena_ = 0;
  uint64_t end_ = 0;
  uint64_t tile_buffer_bytes_ = 0;
  uint64_t high_water_ = 0;
  const Tracer* tracer_ = nullptr;
};

}  // namespace carrel
