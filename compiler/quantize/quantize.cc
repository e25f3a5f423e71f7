#include "compiler/quantize/quantize.h"

#include <algorithm>

#include "compiler/graph/pass_util.h"
#include "compiler/quantize/calibrate.h"
#include "compiler/quantize/prepare.h"
#include "compiler/quantize/weights.h"

namespace carrel {
namespace {

class Quantizer {
 public:
  Quantizer(const Graph& graph, const std::vector<Histogram>& histograms, RangeMethod method)
      : graph_(graph),
        uses_(graph),
        set_(choose_quantized(graph)),
        levels_(graph.values.size()),
        known_(graph.values.size(), false),
        real_(graph.values.size(), kNoValue),
        histograms_(histograms),
        method_(method),
        out_(graph) {}

  Result<Graph> run(QuantizeReport* report) {
    CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(graph_));
    choose_levels(order);
    for (ValueId id : graph_.inputs) {
      if (wants_levels(id)) add_levels(id);
    }
    for (NodeId n : order) rewrite(n, report);
    for (ValueId& id : out_.outputs) id = seen_by_all(id);
    CARREL_ASSIGN(Graph compacted, compact(out_));
    CARREL_RETURN_IF_ERROR(verify_graph(compacted));
    return compacted;
  }

 private:
  bool quantized(NodeId n) const { return set_.node[static_cast<size_t>(n)]; }
  bool has_levels(ValueId id) const { return set_.has_levels[static_cast<size_t>(id)]; }
  const Quantization& levels(ValueId id) const { return levels_[static_cast<size_t>(id)]; }
  bool wants_levels(ValueId id) const {
    const std::vector<NodeId>& consumers = uses_.consumers(id);
    const NodeId producer = uses_.producer(id);
    return (producer >= 0 && quantized(producer)) ||
           std::any_of(consumers.begin(), consumers.end(), [&](NodeId n) { return quantized(n); });
  }
  // What operators on levels take for the value, and what the others take.
  ValueId seen_by_all(ValueId id) const {
    const bool all = id != kNoValue && has_levels(id) && real_[static_cast<size_t>(id)] != kNoValue;
    return all ? real_[static_cast<size_t>(id)] : id;
  }
  ValueId seen_by_quantized(ValueId id) const {
    const bool any = id != kNoValue && real_[static_cast<size_t>(id)] != kNoValue;
    return any ? real_[static_cast<size_t>(id)] : id;
  }

  void choose_levels(const std::vector<NodeId>& order);
  void set_levels(ValueId id, const Quantization& q) {
    levels_[static_cast<size_t>(id)] = q;
    known_[static_cast<size_t>(id)] = true;
  }
  Quantization own_levels(ValueId id) const;
  void add_levels(ValueId id);
  void rewrite(NodeId n, QuantizeReport* report);
  void quantize_weights(Node* node);
  ValueId dequantized(const std::string& name, Tensor tensor, std::vector<float> scale, int axis);
  bool implied(const Unary& activation, const Quantization& q) const;

  const Graph& graph_;
  const UseMap uses_;
  const QuantizedSet set_;
  std::vector<Quantization> levels_;
  std::vector<bool> known_;
  std::vector<ValueId> real_;  // by value: behind kQuantize and kDequantize
  const std::vector<Histogram>& histograms_;
  const RangeMethod method_;
  Graph out_;
};

Quantization Quantizer::own_levels(ValueId id) const {
  Range range = histograms_[static_cast<size_t>(id)].range(method_);
  const NodeId producer = uses_.producer(id);
  const Unary activation = producer < 0 ? Unary{} : graph_.node(producer).activation;
  if (activation.fn == UnaryFn::kRelu) range.low = 0;
  if (activation.fn == UnaryFn::kClip) {
    range.low = std::max(range.low, std::min(activation.a, 0.0f));
    range.high = std::min(range.high, std::max(activation.b, 0.0f));
  }
  return levels_for(range);
}

void Quantizer::choose_levels(const std::vector<NodeId>& order) {
  // A result that only a Concat reads takes the Concat's levels, which makes that a copy.
  for (auto n = order.rbegin(); n != order.rend(); ++n) {
    const Node& node = graph_.node(*n);
    if (node.op != OpType::kConcat || !quantized(*n)) continue;
    if (!known_[static_cast<size_t>(node.outputs[0])]) {
      set_levels(node.outputs[0], own_levels(node.outputs[0]));
    }
    for (ValueId id : node.inputs) {
      const NodeId producer = uses_.producer(id);
      const bool own = producer >= 0 && !keeps_levels(graph_.node(producer).op);
      if (own && uses_.single_use(id)) set_levels(id, levels(node.outputs[0]));
    }
  }
  for (ValueId id : graph_.inputs) set_levels(id, own_levels(id));
  for (NodeId n : order) {
    const Node& node = graph_.node(n);
    const bool follows = quantized(n) && keeps_levels(node.op);
    for (ValueId id : node.outputs) {
      if (id == kNoValue || known_[static_cast<size_t>(id)]) continue;
      set_levels(id, follows ? levels(node.inputs[0]) : own_levels(id));
    }
  }
}

void Quantizer::add_levels(ValueId id) {
  const Value value = graph_.value(id);
  const bool output = uses_.is_output(id) && has_levels(id);
  Value raw = value;
  raw.name = value.name + ".levels";
  raw.type = DType::kU8;
  Value real = value;
  real.name = output ? value.name : value.name + ".real";
  if (output && uses_.producer(id) >= 0) out_.value(id).name = value.name + ".float";
  Node quantize;
  quantize.op = OpType::kQuantize;
  quantize.name = value.name + ".quantize";
  quantize.inputs = {id};
  quantize.outputs = {out_.add_value(std::move(raw))};
  set_quantization(levels(id), &quantize);
  Node dequantize;
  dequantize.op = OpType::kDequantize;
  dequantize.name = value.name + ".dequantize";
  dequantize.inputs = quantize.outputs;
  dequantize.outputs = {out_.add_value(std::move(real))};
  set_quantization(levels(id), &dequantize);
  real_[static_cast<size_t>(id)] = dequantize.outputs[0];
  out_.add_node(std::move(quantize));
  out_.add_node(std::move(dequantize));
}

// Saturation to the levels does what the activation would.
bool Quantizer::implied(const Unary& activation, const Quantization& q) const {
  const float lowest = -static_cast<float>(q.zero) * q.scale;
  const float highest = static_cast<float>(255 - q.zero) * q.scale;
  if (activation.fn == UnaryFn::kRelu) return q.zero == 0;
  return activation.fn == UnaryFn::kClip && lowest >= activation.a &&
         highest <= activation.b + q.scale / 1024;
}

ValueId Quantizer::dequantized(const std::string& name, Tensor tensor, std::vector<float> scale,
                               int axis) {
  const Shape shape = tensor.shape;
  const Shape channels{static_cast<int64_t>(scale.size())};
  Node node;
  node.op = OpType::kDequantizeConst;
  node.name = name + ".dequantize";
  node.inputs = {out_.add_const(name + ".levels", std::move(tensor)),
                 out_.add_const(name + ".scale", Tensor::from_f32(channels, scale)),
                 out_.add_const(name + ".zero", Tensor::zeros(DType::kI64, channels))};
  node.attributes.ints["axis"] = {axis};
  node.outputs = {out_.add_value({name + ".real", DType::kF32, shape, true, nullptr})};
  out_.add_node(node);
  return node.outputs[0];
}

void Quantizer::quantize_weights(Node* node) {
  const bool rows = node->op == OpType::kConv || node->attributes.int_or("transB", 0) != 0;
  const bool has_bias = node->inputs.size() > 2 && node->inputs[2] != kNoValue;
  const Tensor* bias = has_bias ? graph_.value(node->inputs[2]).constant.get() : nullptr;
  const float x_scale = levels(node->inputs[0]).scale;
  IntegerWeights integers =
      integer_weights(*graph_.value(node->inputs[1]).constant, rows ? 0 : 1, bias, x_scale);
  std::vector<float> units = integers.scale;
  for (float& unit : units) unit *= x_scale;
  node->inputs[1] = dequantized(node->name + ".weight", std::move(integers.weight),
                                std::move(integers.scale), rows ? 0 : 1);
  if (!has_bias) return;
  node->inputs[2] =
      dequantized(node->name + ".bias", std::move(integers.bias), std::move(units), 0);
}

void Quantizer::rewrite(NodeId n, QuantizeReport* report) {
  Node node = graph_.node(n);
  const bool weighted =
      node.op == OpType::kConv || node.op == OpType::kGemm || node.op == OpType::kMatMul;
  if (quantized(n)) {
    ++report->quantized;
    if (weighted) quantize_weights(&node);
    if (implied(node.activation, levels(node.outputs[0]))) node.activation = {};
  } else {
    report->kept_float.push_back(node.name + ": " + op_name(node.op));
  }
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    if (id == kNoValue || static_cast<size_t>(id) >= graph_.values.size()) continue;
    node.inputs[i] = quantized(n) ? seen_by_quantized(id) : seen_by_all(id);
  }
  const std::vector<ValueId> outputs = node.outputs;
  out_.node(n) = std::move(node);
  for (ValueId id : outputs) {
    if (id != kNoValue && wants_levels(id)) add_levels(id);
  }
}

Status check_float(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    for (ValueId id : node.outputs) {
      if (node.dead || id == kNoValue || graph.value(id).type == DType::kF32) continue;
      return Error(ErrorCode::kInvalidInput, "node %s: the network is quantized already",
                   node.name.c_str());
    }
  }
  return ok_status();
}

}  // namespace

Result<Graph> quantize_graph(const Graph& graph, const std::vector<Tensor>& inputs,
                             const QuantizeOptions& options, QuantizeReport* report) {
  *report = {};
  CARREL_RETURN_IF_ERROR(check_float(graph));
  const Graph prepared = prepare_for_quantization(graph);
  CARREL_ASSIGN(const std::vector<Histogram> histograms,
                calibrate(prepared, inputs, options, &report->images));
  return Quantizer(prepared, histograms, options.method).run(report);
}

}  // namespace carrel
