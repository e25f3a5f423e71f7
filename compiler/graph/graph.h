#pragma once
// The intermediate representation: a static single assignment graph of ONNX-like operators.
//
// Values and nodes are addressed by index; dead ones stay in place until compact(). Passes never
// mutate a graph: they return a Patch, which apply_patch() applies (patch.h).
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unary.h"
#include "compiler/graph/tensor.h"

namespace carrel {

using ValueId = int32_t;
using NodeId = int32_t;
inline constexpr ValueId kNoValue = -1;  // an omitted optional input

// The canonical operators. The importer maps every ONNX operator and opset to one of these with
// canonical attributes (below), so nothing after it knows an opset. Unless noted, an operator has
// one output, and inputs in ONNX's order; `ints`/`floats` are Attributes entries by name.
enum class OpType : uint8_t {
  kConv,  // X, W [, B]; ints: strides, pads (begin..., end...), dilations, group(1). auto_pad
          // resolved.
  kConvTranspose,  // X, W [, B]; ints: strides, pads, dilations, group, output_padding.
                   // output_shape/auto_pad resolved.
  kGemm,           // A, B [, C]; ints: transA(1), transB(1); floats: alpha(1), beta(1)
  kMatMul,         // batched
  kAffine,     // X, scale, shift: X * scale + shift per channel (axis 1). BatchNormalization with
               // constant statistics.
  kBatchNorm,  // X, scale, bias, mean, var; floats: epsilon. optimize() leaves it only where
               // statistics are not constant.
  kInstanceNorm,  // X, scale, bias; floats: epsilon
  kLayerNorm,     // X, scale [, bias]; ints: axis (>= 0); floats: epsilon. First output only.
  kLrn,           // ints: size; floats: alpha, beta, bias
  kUnary,         // Node::activation says which function
  kPRelu,         // X, slope (broadcast unidirectionally)
  kSoftmax,  // ints: axis (>= 0); opset < 13 "coerced to 2-D" semantics are expressed with reshapes
  kLogSoftmax,
  kMaxPool,  // ints: kernel_shape, strides, pads, dilations; pads resolved so that the output shape
             // follows by floor (ceil_mode becomes end padding). First output only.
  kAveragePool,  // as MaxPool, + ints: count_include_pad(1), pads_counted (the pads that
                 // count_include_pad counts)
  kGlobalAveragePool,
  kGlobalMaxPool,
  // kAdd to kMin: 2 inputs, NumPy broadcasting; n-ary Sum/Max/Min/Mean are chained.
  kAdd,
  kSub,
  kMul,
  kDiv,
  kPow,
  kMax,
  kMin,
  // kReduceMean to kReduceProd: ints: axes (sorted, >= 0), keepdims(1).
  kReduceMean,
  kReduceSum,
  kReduceMax,
  kReduceMin,
  kReduceProd,
  // kMaxPool and what follows to kTranspose, kReshape and kIdentity take quantized values too.
  kConcat,  // ints: axis
  kSplit,   // ints: axis, split (sizes); several outputs
  kSlice,   // ints: starts, ends, axes, steps: clamped and normalised for the input's shape (starts
            // in range, steps may be negative, ends = -1 then means "before element 0")
  kPad,  // ints: pads (begin..., end..., full rank, may be negative), mode(0 constant, 1 reflect, 2
         // edge); floats: value
  kReshape,    // ints: shape (resolved). Flatten, Squeeze, Unsqueeze, Identity on shape too
  kTranspose,  // ints: perm
  kExpand,     // ints: shape (the resolved output shape)
  kGather,     // X, indices (indices constant after folding); ints: axis
  kResize,     // ints: mode(0 nearest, 1 linear), coordinate(0 half_pixel, 1 asymmetric, 2
            // align_corners, 3 pytorch_half_pixel), nearest(0 round_prefer_floor, 1 floor, 2 ceil,
            // 3 round_prefer_ceil), output_shape (full rank); floats: scales (full rank)
  kDepthToSpace,  // ints: blocksize, mode(0 DCR, 1 CRD)
  kSpaceToDepth,  // ints: blocksize
  kIdentity,
  // Quantized values are uint8, real = scale * (q - zero); weights int8 with one scale per output
  // channel, real = weight_scale[m] * w. Scales and zeros of activations are attributes, those of
  // weights are inputs. y = clamp(round(real / y_scale) + y_zero), halves to even, where
  // Convolutions, Gemm and Add clamp to [y_low, y_high] (a fused Relu or Clip) and the others to
  // [0, 255].
  kQuantize,    // X float32; floats: scale; ints: zero, signed(0: 1 makes int8 values, which only
                // import has: q - 128)
  kDequantize,  // X uint8 (int8 during import); floats: scale; ints: zero
  kDequantizeConst,  // X, scale (1 or n), zero (1 or n; int64), all constant; ints: axis.
                     // optimize() fuses or folds it.
  kQConv,  // X, W (M, C/group, kernel), weight_scale (M) [, B (M; int32, in units of x_scale *
           // weight_scale[m])]; kConv's ints; floats: x_scale, y_scale; ints: x_zero, y_zero,
           // y_low, y_high. The factor of a sum is x_scale * weight_scale[m] / y_scale, in float32.
  kQGemm,  // X (M, K), W (N, K), weight_scale (N) [, B (N)]; floats and ints as kQConv
  kQAdd,   // A, B of one shape; floats: a_scale, b_scale, y_scale; ints: a_zero, b_zero, y_zero,
           // y_low, y_high. Each addend is (q - zero) * (scale / y_scale).
  kQAveragePool,  // kAveragePool's ints; floats: x_scale, y_scale; ints: x_zero, y_zero. The factor
                  // of a sum is x_scale / y_scale / count.
  kQGlobalAveragePool,  // floats: x_scale, y_scale; ints: x_zero, y_zero
  kQConcat,  // ints: axis, zeros (one per input), y_zero; floats: scales (one per input), y_scale.
             // An input of the result's scale and zero is copied.
  kCount,
};
const char* op_name(OpType op);  // the ONNX name, e.g. "Conv"

struct Attributes {
  std::map<std::string, std::vector<int64_t>> ints;
  std::map<std::string, std::vector<float>> floats;
  bool operator==(const Attributes&) const = default;
  // The named list; empty if absent.
  const std::vector<int64_t>& int_list(const std::string& name) const;
  int64_t int_or(const std::string& name, int64_t fallback) const;
  float float_or(const std::string& name, float fallback) const;
};

struct Node {
  // ONNX node name, or "Op#index" where it has none; survives fusion for messages.
  std::string name;
  OpType op = OpType::kIdentity;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  Attributes attributes;
  // kUnary: the function. Conv, Gemm, Affine, Add, ...: fused, applied to the result.
  Unary activation;
  bool dead = false;
};

struct Value {
  std::string name;
  DType type = DType::kF32;
  Shape shape;
  bool shape_known = false;
  TensorPtr constant;  // set: a constant (weights included)
  bool is_const() const { return constant != nullptr; }
};

struct Graph {
  std::string name;
  std::vector<Value> values;
  std::vector<Node> nodes;      // any order; topological_order() sorts
  std::vector<ValueId> inputs;  // without constants
  std::vector<ValueId> outputs;
  // How dimension 0 of inputs and outputs relates to one run of this graph.
  // 0: symbolic in the file. The graph has 1 there; any batch runs as an outer loop, one image a
  // run. n > 1: fixed at n in the file. The graph has 1 there; n images run as an outer loop. 1:
  // one run takes the tensors as the graph states them: a batch of 1, inputs without a shared batch
  // dimension, or a
  //    graph that is not batch_separable (batch.h), whose dimension 0 may then be any number.
  int64_t batch = 0;

  ValueId add_value(Value value);
  ValueId add_const(std::string name, Tensor tensor);
  NodeId add_node(Node node);
  const Value& value(ValueId id) const { return values[static_cast<size_t>(id)]; }
  Value& value(ValueId id) { return values[static_cast<size_t>(id)]; }
  const Node& node(NodeId id) const { return nodes[static_cast<size_t>(id)]; }
  Node& node(NodeId id) { return nodes[static_cast<size_t>(id)]; }
};

// Live nodes in an order where producers come first (stable: ties by index). kInvalidInput on a
// cycle.
Result<std::vector<NodeId>> topological_order(const Graph& graph);
// producer[value] = node or -1; consumers[value] = nodes (a node once per use).
struct Uses {
  std::vector<NodeId> producer;
  std::vector<std::vector<NodeId>> consumers;
};
Uses find_uses(const Graph& graph);
// Drops dead nodes and unreferenced values, renumbers, sorts nodes topologically.
Result<Graph> compact(const Graph& graph);
// Every invariant above: ids in range, single producer, shapes known, arity. kInvalidInput names
// the node.
Status verify_graph(const Graph& graph);

}  // namespace carrel
