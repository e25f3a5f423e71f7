#pragma once
// A sealed model's graph as layers on whole tensors, each with its places in memory.
#include <string>
#include <vector>

#include "base/result.h"
#include "baseline/memory_layout.h"
#include "baseline/planes.h"
#include "compiler/graph/graph.h"
#include "compiler/lower/lower.h"
#include "compiler/plan/plan.h"

namespace carrel::unmodified {

enum class LayerKind : uint8_t {
  kConv,         // x, W [, bias]: im2col and a GEMM per group
  kDepthwise,    // x, W [, bias]: one input channel per group, by a direct loop
  kDense,        // x (1, K), W (N, K) [, bias]
  kAffine,       // x, (2, C): scale and shift per channel
  kAdd,          // two tensors of one shape
  kUnary,        // the activation alone
  kMaxPool,      // 2-D
  kAveragePool,  // 2-D, without pads
  kLrn,          // `plain` has its numbers
  kPlain,        // anything else: run_plain()
};

// A float tensor: row-major in `place`.
struct Operand {
  int place = -1;  // -1: omitted
  Shape shape;
};

struct Layer {
  std::string name;
  LayerKind kind = LayerKind::kPlain;
  std::vector<Operand> inputs, outputs;
  Unary activation;     // applied to the result
  PlaneWindow window;   // kConv, kDepthwise, pools
  int64_t groups = 1;   // kConv
  PlainEncoding plain;  // kLrn, kPlain
};

// Where stream i of the sealed file goes, in floats from the start of its places.
struct StreamTarget {
  int weights = -1, bias = -1;  // places; -1: left out
  uint64_t weights_offset = 0, bias_offset = 0;
  uint32_t merged_groups = 1;
};

struct Network {
  std::vector<Place> places;
  std::vector<Layer> layers;  // in execution order
  std::vector<StreamTarget> streams;
  std::vector<Operand> inputs, outputs;
  int workspace = -1;  // its place; -1: no layer needs it
  uint64_t bytes = 0;  // all places
};

// `graph`: with or without the numbers of its weights; `streams`: how they are sealed. For
// `threads` threads. Errors: kUnsupported naming the node or weights that are not fp32 or fp16.
Result<Network> build_network(const Graph& graph, const StreamPlan& streams, uint32_t threads);

// Floats of workspace: im2col's matrix of the whole layer (none where the input is that matrix), or
// a plane's scratch per thread.
uint64_t workspace_count(const Layer& layer, uint32_t threads);

}  // namespace carrel::unmodified
