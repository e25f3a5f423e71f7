#pragma once
// From a canonical node to a call of run_plain (engine/kernels/plain/plain.h).
#include <vector>

#include "compiler/graph/graph.h"
#include "engine/layout/plain_op.h"

namespace carrel {

struct PlainEncoding {
  PlainOp op = PlainOp::kUnary;
  std::vector<int64_t> ints;  // at most kMaxPlainInts
  std::vector<float> floats;  // at most kMaxPlainFloats
  Unary activation;
  std::vector<ValueId> inputs;  // those run_plain reads, in its order; kNoValue: omitted
};

// Needs the shapes of the node's inputs. The call's outputs are the node's. Every canonical
// operator has an encoding; elements that are neither float32 nor int64 are the caller's to widen.
// Errors (naming the node): kInvalidInput if an attribute list does not fit the rank; kUnsupported
// for Gather with run-time indices over run-time data (its addresses would depend on data), more
// than three spatial dimensions, and lists longer than a program step holds.
Result<PlainEncoding> encode_plain(const Graph& graph, const Node& node);

}  // namespace carrel
