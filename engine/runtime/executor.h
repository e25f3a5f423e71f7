#pragma once
// Runs the steps of a validated program on one image. One small function per opcode builds the kernel call; work is
// split over threads by rows, channel blocks or tiles, and no result depends on the split.
#include "engine/kernels/rows/rows.h"
#include "engine/runtime/arena.h"
#include "engine/runtime/block_gate.h"
#include "engine/runtime/profiler.h"
#include "engine/runtime/tile_stream.h"
#include "engine/runtime/tracer.h"
#include "engine/runtime/workers.h"

namespace carrel {

// What a thread does of a row operator.
struct Share {
  RowRange rows;
  uint32_t block_begin = 0, block_count = 0;
};

inline Unary activation_of(const OpDesc& op) { return {op.activation, op.activation_a, op.activation_b}; }

class Executor {
 public:
  struct Parts {
    Arena* arena = nullptr;
    Workers* workers = nullptr;
    const TileStream* tiles = nullptr;
    const BlockGate* gate = nullptr;
    const RowKernels* kernels = nullptr;
    Tracer* tracer = nullptr;
    Profiler* profiler = nullptr;
  };
  void attach(const ProgramView& program, const Parts& parts);

  // All steps. first: also the loads that happen once. Adds to bytes_* of `stats`.
  Status run(uint64_t counter, bool first, RunStats* stats);

 private:
  Status run_step(const Step& step);
  Status run_profiled_step(uint32_t step);
  Status load(const OpDesc& op);
  Status conv(const OpDesc& op, RowRange rows);
  Status any_conv(const OpDesc& op, RowRange rows);
  Status winograd(const OpDesc& op, RowRange rows);
  Status dense(const OpDesc& op, const StreamDesc& stream);
  Status depthwise(const OpDesc& op, RowRange rows);
  Status pool(const OpDesc& op, RowRange rows);
  Status global_pool(const OpDesc& op, RowRange rows);
  Status unary(const OpDesc& op, RowRange rows);
  Status binary(const OpDesc& op, RowRange rows);
  Status lrn(const OpDesc& op, RowRange rows);
  Status softmax(const OpDesc& op, RowRange rows);
  Status copy(const OpDesc& op, RowRange rows);
  struct QuantConvPlan;
  Status quant_conv(const OpDesc& op, RowRange rows);
  // Of thread `thread`: panels or tiles `units` for `rows`.
  Status quant_units(const QuantConvPlan& plan, uint32_t thread, RowRange units, RowRange rows);
  Status quant_tile(const QuantConvPlan& plan, uint32_t thread, uint32_t tile, QuantConvCall* call);
  Status quant_depthwise(const OpDesc& op, RowRange rows);
  Status quant_add(const OpDesc& op, RowRange rows);
  Status quant_pool(const OpDesc& op, RowRange rows);
  Status quant_copy(const OpDesc& op, RowRange rows);
  Status quantize(const OpDesc& op, RowRange rows);
  Status dequantize(const OpDesc& op, RowRange rows);
  Status rows_to_plain(const OpDesc& op, RowRange rows);
  Status plain_to_rows(const OpDesc& op, RowRange rows);
  Status plain(const OpDesc& op);
  Status input(const OpDesc& op, RowRange blocks);
  Status output(const OpDesc& op, RowRange blocks);
  Status spill(const OpDesc& op, RowRange rows);
  Status fetch(const OpDesc& op, RowRange rows);

  const TensorDesc& tensor(uint16_t id) const { return program_.tensors[id]; }
  RowRing ring(uint16_t id) { return parts_.arena->claim_ring(tensor(id)); }
  ByteRing bytes(uint16_t id) { return parts_.arena->claim_bytes(tensor(id)); }
  RowRing residual_of(const OpDesc& conv) { return conv.in1 == kNone16 ? RowRing() : ring(conv.in1); }
  float* plain_data(uint16_t id) {
    const TensorDesc& t = tensor(id);
    return reinterpret_cast<float*>(parts_.arena->claim(t.arena_offset, t.bytes));
  }
  // Resident weights of `op`, expanded.
  const float* resident(const OpDesc& op, uint64_t bytes) {
    return reinterpret_cast<const float*>(parts_.arena->claim(op.weights_offset, bytes));
  }

  // body(share) on the threads; by rows where there are enough, else by `blocks` (0: cannot be split). The pads of
  // what was written in `out` become zero.
  template <typename Body>
  Status split(const RowRing& out, RowRange rows, uint32_t blocks, Body body);
  // The same without the pads, for `elements` of work.
  template <typename Body>
  Status split_work(uint64_t elements, RowRange rows, uint32_t blocks, Body body);
  void fill_pads(const ByteRing& out, RowRange rows) const;
  void zero_pads(const RowRing& out, RowRange rows) const;

  ProgramView program_;
  Parts parts_;
  uint64_t counter_ = 0;
  bool first_ = true;
  RunStats* stats_ = nullptr;
};

// Part `index` of `parts` nearly equal ones of [0, total).
inline RowRange part_of(uint32_t total, uint32_t parts, uint32_t index) {
  return {static_cast<uint32_t>(uint64_t{total} * index / parts),
          static_cast<uint32_t>(uint64_t{total} * (index + 1) / parts)};
}
inline uint32_t count_of(RowRange range) { return range.end - range.begin; }
inline RowRange part_of(RowRange range, uint32_t parts, uint32_t index) {
  const RowRange part = part_of(count_of(range), parts, index);
  return {range.begin + part.begin, range.begin + part.end};
}

// Below this much output a second thread costs more than it saves (waking one takes a microsecond at best).
inline constexpr uint64_t kFloatsWorthAThread = 8 * 1024;

template <typename Body>
Status Executor::split_work(uint64_t elements, RowRange rows, uint32_t blocks, Body body) {
  const uint32_t count = count_of(rows);
  const uint32_t threads = parts_.workers->threads();
  const bool by_rows = blocks == 0 || count >= threads;
  const uint32_t units = by_rows ? count : blocks;
  uint32_t used = elements < 2 * kFloatsWorthAThread ? 1 : threads;
  if (used > units) used = units;
  auto task = [&](uint32_t thread) -> Status {
    const Share share = by_rows ? Share{part_of(rows, used, thread), 0, blocks}
                                : Share{rows, part_of(blocks, used, thread).begin,
                                        count_of(part_of(blocks, used, thread))};
    return body(share);
  };
  return parts_.workers->run(used, task);
}

template <typename Body>
Status Executor::split(const RowRing& out, RowRange rows, uint32_t blocks, Body body) {
  CARREL_RETURN_IF_ERROR(split_work(uint64_t{count_of(rows)} * out.shape.row_floats(), rows, blocks, body));
  zero_pads(out, rows);
  return ok_status();
}

}  // namespace carrel
