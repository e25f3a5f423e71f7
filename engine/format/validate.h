#pragma once
// Inside this room: the parts of validate_program. Each names table and index of what it refuses.
#include "engine/format/program.h"

namespace carrel {

inline Error refuse(const char* table, uint64_t index, const char* what) {
  return Error(ErrorCode::kInvalidInput, "program: %s %llu: %s", table, static_cast<unsigned long long>(index), what);
}
#define CARREL_REQUIRE(condition, table, index, what)             \
  do {                                                            \
    if (!(condition)) return refuse(table, index, what);          \
  } while (0)

Status validate_header(const ProgramView& program);
Status validate_tensors(const ProgramView& program);
Status validate_streams(const ProgramView& program);
Status validate_stores(const ProgramView& program);
// Requires valid tensors, streams and stores.
Status validate_op(const ProgramView& program, uint32_t index);
// Requires valid ops.
Status validate_steps(const ProgramView& program);
// Every row that a step reads was written by steps before it and is still in its ring. Not followed: which channels of
// a row were written, and tensors whose memory others take over. Requires valid steps.
Status validate_rows(const ProgramView& program);

}  // namespace carrel
