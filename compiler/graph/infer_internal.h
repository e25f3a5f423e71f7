#pragma once
// What the operator families of shape inference share.
#include <span>

#include "compiler/graph/shape_inference.h"

namespace carrel {

// Kernel sizes, strides, pads and spatial dims stay below this, so that their products fit in
// int64.
inline constexpr int64_t kMaxWindow = int64_t{1} << 31;

// One call of infer_node. Arity is checked before a family sees it: required inputs exist.
class Inference {
 public:
  Inference(const Graph& graph, const Node& node, std::vector<Value>* outputs)
      : graph_(graph), node_(node), outputs_(*outputs) {}

  const Node& node() const { return node_; }
  bool has(size_t i) const { return i < node_.inputs.size() && node_.inputs[i] != kNoValue; }
  size_t input_count() const { return node_.inputs.size(); }
  const Value& in(size_t i) const { return graph_.value(node_.inputs[i]); }
  const Shape& shape(size_t i) const { return in(i).shape; }
  size_t output_count() const { return outputs_.size(); }

  // kInvalidInput naming the node, its operator and its input shapes.
  Error fail(const char* reason) const;
  // Sets output i; checks that the size is sane.
  Status set(size_t i, DType type, const Shape& shape);
  Status set(const Shape& shape) { return set(0, in(0).type, shape); }
  // Every input from `first` on is float32, else kUnsupported.
  Status require_float(size_t first = 0) const;
  // The named list with exactly `count` entries in [low, kMaxWindow); absent: all `fallback`.
  Result<std::vector<int64_t>> list(const char* name, int count, int64_t fallback,
                                    int64_t low) const;
  // The named entry, which must lie in [0, limit).
  Result<int> axis(int limit) const;

 private:
  const Graph& graph_;
  const Node& node_;
  std::vector<Value>& outputs_;
};

// NumPy broadcasting of two shapes.
Result<Shape> broadcast_shapes(const Shape& a, const Shape& b);
// "2x3x4", "scalar"
std::string shape_text(const Shape& shape);

// Families: each sets all outputs of the operators it knows.
Status infer_conv(Inference& inference);         // Conv, ConvTranspose
Status infer_pool(Inference& inference);         // pools, global ones too
Status infer_matrix(Inference& inference);       // Gemm, MatMul
Status infer_elementwise(Inference& inference);  // shape-keeping and broadcasting operators
Status infer_reduce(Inference& inference);
Status infer_concat(Inference& inference);     // kConcat and kQConcat
Status infer_movement(Inference& inference);   // Concat, Split, Slice, Pad, Reshape, ...
Status infer_resample(Inference& inference);   // Resize, DepthToSpace, SpaceToDepth
Status infer_quantized(Inference& inference);  // kQuantize and all that follow

// The result of a convolution, pool, Concat for inputs whose types are checked.
Status infer_conv_shape(Inference& inference);
Status infer_pool_shape(Inference& inference);

}  // namespace carrel
