#pragma once
// Every operator on dense row-major tensors of any rank, run whole: what the row kernels do not
// cover, and constant folding. Straightforward loops, generic ISA; correctness first.
//
// No heap, no exceptions. Scratch is the caller's. Time and addresses independent of tensor
// *values* for float data (Gather's indices are attributes), except in Cast to i64 or bool, which
// only constant folding uses. Thread-safe.
#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/unary.h"
#include "engine/layout/plain_op.h"

namespace carrel {

enum class PlainType : uint8_t { kF32 = 0, kI64 = 1 };

struct PlainTensor {
  PlainType type = PlainType::kF32;
  uint8_t rank = 0;
  int64_t dims[8] = {};
  void* data = nullptr;
};

struct PlainCall {
  PlainOp op = PlainOp::kUnary;
  std::span<const PlainTensor> inputs;  // an omitted optional input has data == nullptr
  std::span<const PlainTensor> outputs;
  std::span<const int64_t> ints;  // meaning per operator: engine/layout/plain_op.h
  std::span<const float> floats;
  Unary activation;
};

// Checks ranks, shapes and attributes against each other first (hostile programs end here), then
// computes. Every operator works in place of its output or in fixed blocks on the stack.
Status run_plain(const PlainCall& call);

}  // namespace carrel
