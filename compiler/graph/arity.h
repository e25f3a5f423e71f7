#pragma once
// How many inputs and outputs each canonical operator takes.
#include "compiler/graph/graph.h"

namespace carrel {

// A bound for lists in hostile files; Concat and Split of real networks stay far below.
inline constexpr int kMaxNodeValues = 4096;

struct Arity {
  int min_inputs;  // the first min_inputs inputs may not be kNoValue
  int max_inputs;
  int max_outputs = 1;
};

inline Arity op_arity(OpType op) {
  switch (op) {
    case OpType::kConv:
    case OpType::kConvTranspose:
    case OpType::kGemm:
    case OpType::kLayerNorm:
      return {2, 3};
    case OpType::kMatMul:
    case OpType::kPRelu:
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
    case OpType::kDiv:
    case OpType::kPow:
    case OpType::kMax:
    case OpType::kMin:
    case OpType::kGather:
    case OpType::kQAdd:
      return {2, 2};
    case OpType::kAffine:
    case OpType::kInstanceNorm:
    case OpType::kDequantizeConst:
      return {3, 3};
    case OpType::kQConv:
    case OpType::kQGemm:
      return {3, 4};
    case OpType::kBatchNorm:
      return {5, 5};
    case OpType::kConcat:
    case OpType::kQConcat:
      return {1, kMaxNodeValues};
    case OpType::kSplit:
      return {1, 1, kMaxNodeValues};
    default:
      return {1, 1};
  }
}

}  // namespace carrel
