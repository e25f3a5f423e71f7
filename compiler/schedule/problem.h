#pragma once
// A scheduling problem over two abstract memory tiers: a small fast one with a hard budget, and a big slow one.
// The TEE planner and the homomorphic store both state theirs in these terms: tensors made of rows, nodes that
// read rows and make rows, weights that can be kept or fetched again.
#include <cstdint>
#include <string>
#include <vector>

namespace carrel {

using TensorIndex = int32_t;
using NodeIndex = int32_t;

struct SchedTensor {
  std::string name;
  uint32_t rows = 1;        // a tensor that is only ever whole has one row
  uint64_t row_bytes = 0;   // in the small tier
  bool spillable = true;    // may leave to the big tier row by row
  bool is_input = false;    // starts in the big tier
  bool is_output = false;   // must end in the big tier
  NodeIndex producer = -1;  // -1: an input
  std::vector<NodeIndex> consumers;  // ascending
};

// Which rows of one input a node needs.
struct RowNeed {
  enum class Kind : uint8_t {
    kWindow,      // output rows [a, b) read input rows [a * stride - pad, (b - 1) * stride - pad + span)
    kAll,         // every row before the first output row
    kAccumulate,  // takes rows in order as they come; its (one-row) output is ready after the last
  };
  Kind kind = Kind::kWindow;
  uint32_t stride = 1;
  uint32_t span = 1;
  int32_t pad = 0;
};

struct SchedNode {
  std::string name;
  std::vector<TensorIndex> inputs;
  std::vector<RowNeed> needs;  // one per input
  std::vector<TensorIndex> outputs;
  // Small tier, while the node runs; nodes of one segment share it. Affine in the rows of an action, rounded up to
  // row_multiple.
  uint64_t scratch_bytes = 0;
  uint64_t scratch_bytes_per_row = 0;
  uint32_t row_multiple = 1;           // actions end at multiples of it, or with the last row; > 1: one output
  uint64_t weight_stored_bytes = 0;    // fetched from the big tier
  uint64_t weight_resident_bytes = 0;  // small tier, if kept
  bool streamable = false;             // weights may pass through a small buffer on every action instead
};

struct SchedProblem {
  std::vector<SchedTensor> tensors;
  std::vector<SchedNode> nodes;  // topological order
};

}  // namespace carrel
