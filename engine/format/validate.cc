#include "engine/format/validate.h"

#include "base/checked.h"
#include "base/cpu.h"

namespace carrel {

Status validate_header(const ProgramView& program) {
  const ProgramHeader& h = *program.header;
  const auto bad = [](const char* what) { return refuse("header", 0, what); };
  if (h.threads < 1 || h.threads > kMaxThreads) return bad("threads out of range");
  if (h.isa > static_cast<uint8_t>(IsaLevel::kAvx512)) return bad("unknown instruction set");
  if (h.strategy > static_cast<uint8_t>(Strategy::kAuto)) return bad("unknown strategy");
  if (h.winograd > 1) return bad("winograd is not a flag");
  if (h.arena_bytes % 64 != 0 || h.tile_buffer_bytes % 64 != 0) return bad("sizes are not multiples of 64");
  if (h.step_count > 0 && h.op_count == 0) return bad("steps without operators");
  if (h.tensor_count > kNone16 || h.stream_count > kNone16 || h.op_count > kNone16) return bad("too many entries");
  if (h.store_count > kMaxStores) return bad("too many stores");
  if (uint32_t{h.input_count} + h.output_count > h.store_count) return bad("too few stores");
  const uint64_t buffers = uint64_t{h.threads} * h.tile_buffer_bytes;
  const uint64_t least = least_boundary_buffer_bytes(program.stores);
  if (buffers < least) {
    return Error(ErrorCode::kInvalidInput, "program: tile buffers are smaller than a block of an input or output (%llu bytes)",
                 static_cast<unsigned long long>(least));
  }
  uint64_t peak = runtime_reserve_bytes(h.threads) + round_up(h.program_bytes, 64);
  if (!checked_add(peak, buffers, &peak) || !checked_add(peak, h.arena_bytes, &peak) || peak != h.planned_peak_bytes) {
    return bad("planned peak does not add up");
  }
  if (h.budget_bytes < h.planned_peak_bytes) return bad("planned peak exceeds the budget");
  return ok_status();
}

Status validate_program(const ProgramView& program) {
  CARREL_RETURN_IF_ERROR(validate_header(program));
  CARREL_RETURN_IF_ERROR(validate_tensors(program));
  CARREL_RETURN_IF_ERROR(validate_streams(program));
  CARREL_RETURN_IF_ERROR(validate_stores(program));
  for (uint32_t i = 0; i < program.header->op_count; ++i) CARREL_RETURN_IF_ERROR(validate_op(program, i));
  CARREL_RETURN_IF_ERROR(validate_steps(program));
  return validate_rows(program);
}

}  // namespace carrel
