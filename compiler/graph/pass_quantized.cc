// fuse_quantized: what lies between kDequantize and kQuantize works on the levels themselves.
#include "compiler/graph/pass_util.h"
#include "compiler/graph/quantized.h"
#include "compiler/graph/quantized_weights.h"

namespace carrel {
namespace {

// A kQuantize, the operator before it, and a Relu or Clip between or within.
struct Pattern {
  NodeId quantize = -1, op = -1;
  NodeId bend = -1;  // a kUnary of its own
  Unary activation;
};

class QuantizedPass {
 public:
  explicit QuantizedPass(const Graph& graph)
      : graph_(graph), uses_(graph), builder_(graph, "fuse_quantized") {}

  Patch run() {
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes.size()); ++n) {
      const Node& node = graph_.node(n);
      if (node.dead || builder_.touched(n)) continue;
      if (node.op == OpType::kQuantize) fuse(n);
      if (moves_levels(node) && !builder_.touched(n)) lift(n);
    }
    return builder_.take();
  }

 private:
  const Value& value(ValueId id) const { return graph_.value(id); }
  const Node* source(ValueId id, OpType op) const {
    const NodeId producer = id == kNoValue ? -1 : uses_.producer(id);
    if (producer < 0 || graph_.node(producer).op != op) return nullptr;
    return &graph_.node(producer);
  }
  const Node* levels(ValueId id) const { return source(id, OpType::kDequantize); }

  bool moves_levels(const Node& node) const;
  void lift(NodeId id);
  void fuse(NodeId id);
  bool match(NodeId quantize, Pattern* pattern) const;
  bool fuse_step(NodeId id);
  bool fuse_weighted(const Pattern& pattern);
  bool fuse_add(const Pattern& pattern);
  bool fuse_pool(const Pattern& pattern);
  bool fuse_concat(const Pattern& pattern);
  // The fused operator in place of the pattern.
  void replace(const Pattern& pattern, Node fused);
  // y_scale, y_zero, and where `bounds` the levels that the activation leaves.
  void set_result(const Pattern& pattern, bool bounds, Node* fused) const;

  const Graph& graph_;
  const UseMap uses_;
  PatchBuilder builder_;
};

// A window that reaches no element gives -infinity, which has no level.
bool reaches_elements(const Node& pool) {
  const std::vector<int64_t>& kernel = pool.attributes.int_list("kernel_shape");
  const std::vector<int64_t>& pads = pool.attributes.int_list("pads");
  for (int64_t dilation : pool.attributes.int_list("dilations")) {
    if (dilation != 1) return false;
  }
  for (size_t i = 0; i < pads.size(); ++i) {
    if (pads[i] >= kernel[i % kernel.size()]) return false;
  }
  return true;
}

bool QuantizedPass::moves_levels(const Node& node) const {
  if (node.activation.fn != UnaryFn::kNone || node.outputs.size() != 1) return false;
  switch (node.op) {
    case OpType::kMaxPool:
      return reaches_elements(node);
    case OpType::kReshape:
    case OpType::kTranspose:
    case OpType::kSlice:
    case OpType::kIdentity:
      return true;
    default:
      return false;
  }
}

// op(dequantize(x)) = dequantize(op(x)) where op moves or selects elements.
void QuantizedPass::lift(NodeId id) {
  Node moved = graph_.node(id);
  const Node* dequantize = levels(moved.inputs[0]);
  if (dequantize == nullptr) return;
  const ValueId real = moved.outputs[0];
  Value result = value(real);
  result.name += ".levels";
  result.type = DType::kU8;
  const ValueId raw = builder_.add_value(std::move(result));
  moved.inputs[0] = dequantize->inputs[0];
  moved.outputs = {raw};
  Node back = *dequantize;
  back.name = moved.name + ".dequantize";
  back.inputs = {raw};
  back.outputs = {real};
  builder_.replace({id}, std::move(moved));
  builder_.replace({}, std::move(back));
}

bool QuantizedPass::match(NodeId quantize, Pattern* pattern) const {
  pattern->quantize = quantize;
  ValueId at = graph_.node(quantize).inputs[0];
  for (;;) {
    const NodeId producer = uses_.producer(at);
    if (producer < 0 || builder_.touched(producer) || !uses_.single_use(at)) return false;
    const Node& node = graph_.node(producer);
    const UnaryFn fn = node.activation.fn;
    if (fn != UnaryFn::kNone) {
      if ((fn != UnaryFn::kRelu && fn != UnaryFn::kClip) || pattern->bend >= 0) return false;
      pattern->activation = node.activation;
    }
    if (node.op != OpType::kUnary) {
      pattern->op = producer;
      return true;
    }
    pattern->bend = producer;
    at = node.inputs[0];
  }
}

void QuantizedPass::fuse(NodeId id) {
  if (fuse_step(id)) return;
  Pattern pattern;
  if (!match(id, &pattern)) return;
  switch (graph_.node(pattern.op).op) {
    case OpType::kConv:
    case OpType::kGemm:
    case OpType::kMatMul:
      fuse_weighted(pattern);
      return;
    case OpType::kAdd:
      fuse_add(pattern);
      return;
    case OpType::kAveragePool:
    case OpType::kGlobalAveragePool:
      fuse_pool(pattern);
      return;
    case OpType::kConcat:
      fuse_concat(pattern);
      return;
    default:
      return;
  }
}

// Levels that become real and levels again: the same, or other levels.
bool QuantizedPass::fuse_step(NodeId id) {
  const Node& quantize = graph_.node(id);
  const Node* dequantize = levels(quantize.inputs[0]);
  if (dequantize == nullptr) return false;
  const Quantization from = quantization_of(*dequantize), to = quantization_of(quantize);
  if (from == to && !uses_.is_output(quantize.outputs[0])) {
    builder_.shunt(quantize.outputs[0], dequantize->inputs[0]);
    builder_.kill(id);
    return true;
  }
  if (value(quantize.outputs[0]).shape.rank() == 0) return false;
  Node step = quantize;
  step.op = OpType::kQConcat;
  step.attributes = {};
  step.inputs = {dequantize->inputs[0]};
  step.attributes.ints = {{"axis", {0}}, {"zeros", {from.zero}}};
  step.attributes.floats = {{"scales", {from.scale}}};
  set_quantization("y", to, &step);
  builder_.replace({id}, std::move(step));
  return true;
}

void QuantizedPass::replace(const Pattern& pattern, Node fused) {
  fused.activation = {};
  fused.outputs = graph_.node(pattern.quantize).outputs;
  builder_.replace({pattern.quantize, pattern.op}, std::move(fused));
  if (pattern.bend >= 0) builder_.kill(pattern.bend);
}

void QuantizedPass::set_result(const Pattern& pattern, bool bounds, Node* fused) const {
  const Quantization y = quantization_of(graph_.node(pattern.quantize));
  set_quantization("y", y, fused);
  if (!bounds) return;
  const Unary& f = pattern.activation;
  const bool clip = f.fn == UnaryFn::kClip;
  const int64_t low = f.fn == UnaryFn::kNone ? 0 : level_of(clip ? f.a : 0, y);
  const int64_t high = clip ? level_of(f.b, y) : 255;
  // Bounds the wrong way round: Clip takes the upper one.
  fused->attributes.ints["y_low"] = {std::min(low, high)};
  fused->attributes.ints["y_high"] = {high};
}

// Two matrices, the first as it is: a fully-connected layer.
bool is_plain_product(const Graph& graph, const Node& node) {
  for (size_t i = 0; i < 2; ++i) {
    if (graph.value(node.inputs[i]).shape.rank() != 2) return false;
  }
  const Attributes& a = node.attributes;
  return a.int_or("transA", 0) == 0 && a.float_or("alpha", 1) == 1 && a.float_or("beta", 1) == 1;
}

bool QuantizedPass::fuse_weighted(const Pattern& pattern) {
  const Node& node = graph_.node(pattern.op);
  const bool conv = node.op == OpType::kConv;
  if (!conv && !is_plain_product(graph_, node)) return false;
  const Node* x = levels(node.inputs[0]);
  const Node* w = source(node.inputs[1], OpType::kDequantizeConst);
  if (x == nullptr || w == nullptr) return false;
  const bool rows_are_outputs = conv || node.attributes.int_or("transB", 0) != 0;
  const auto weights = quantized_weights(graph_, *w, rows_are_outputs ? 0 : 1, !rows_are_outputs);
  if (!weights) return false;
  const Quantization from = quantization_of(*x);
  const ValueId bias = node.inputs.size() > 2 ? node.inputs[2] : kNoValue;
  const Quantization to = quantization_of(graph_.node(pattern.quantize));
  const auto stored = quantized_bias(graph_, bias, source(bias, OpType::kDequantizeConst),
                                     from.scale, to.scale, *weights);
  if (!stored) return false;
  Node fused = node;
  fused.op = conv ? OpType::kQConv : OpType::kQGemm;
  if (!conv) fused.attributes = {};
  const std::string& weight_name = value(w->inputs[0]).name;
  const Shape channels{static_cast<int64_t>(weights->scale.size())};
  fused.inputs = {
      x->inputs[0], builder_.add_const(weight_name, weights->weight),
      builder_.add_const(node.name + ".weight_scale", Tensor::from_f32(channels, weights->scale))};
  if (bias != kNoValue) fused.inputs.push_back(builder_.add_const(node.name + ".bias", *stored));
  set_quantization("x", from, &fused);
  set_result(pattern, true, &fused);
  replace(pattern, std::move(fused));
  return true;
}

bool QuantizedPass::fuse_add(const Pattern& pattern) {
  const Node& node = graph_.node(pattern.op);
  const Node* a = levels(node.inputs[0]);
  const Node* b = levels(node.inputs[1]);
  if (a == nullptr || b == nullptr) return false;
  if (!(value(node.inputs[0]).shape == value(node.inputs[1]).shape)) return false;
  Node fused = node;
  fused.op = OpType::kQAdd;
  fused.inputs = {a->inputs[0], b->inputs[0]};
  set_quantization("a", quantization_of(*a), &fused);
  set_quantization("b", quantization_of(*b), &fused);
  set_result(pattern, true, &fused);
  replace(pattern, std::move(fused));
  return true;
}

bool QuantizedPass::fuse_pool(const Pattern& pattern) {
  const Node& node = graph_.node(pattern.op);
  const Node* x = levels(node.inputs[0]);
  if (x == nullptr || pattern.activation.fn != UnaryFn::kNone) return false;
  Node fused = node;
  fused.op = node.op == OpType::kAveragePool ? OpType::kQAveragePool : OpType::kQGlobalAveragePool;
  fused.inputs = {x->inputs[0]};
  set_quantization("x", quantization_of(*x), &fused);
  set_result(pattern, false, &fused);
  replace(pattern, std::move(fused));
  return true;
}

bool QuantizedPass::fuse_concat(const Pattern& pattern) {
  const Node& node = graph_.node(pattern.op);
  if (pattern.activation.fn != UnaryFn::kNone) return false;
  Node fused = node;
  bool equal = true;
  const Quantization y = quantization_of(graph_.node(pattern.quantize));
  std::vector<int64_t> zeros;
  std::vector<float> scales;
  for (ValueId& id : fused.inputs) {
    const Node* x = levels(id);
    if (x == nullptr) return false;
    const Quantization from = quantization_of(*x);
    equal &= from == y;
    zeros.push_back(from.zero);
    scales.push_back(from.scale);
    id = x->inputs[0];
  }
  if (!equal) {
    fused.op = OpType::kQConcat;
    fused.attributes.ints["zeros"] = zeros;
    fused.attributes.floats["scales"] = scales;
    set_result(pattern, false, &fused);
  }
  replace(pattern, std::move(fused));
  return true;
}

}  // namespace

Result<Patch> fuse_quantized(const Graph& graph) { return QuantizedPass(graph).run(); }

}  // namespace carrel
