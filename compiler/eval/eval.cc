#include "compiler/eval/eval.h"

#include <algorithm>
#include <new>

#include "compiler/eval/dequantize.h"
#include "compiler/graph/shape_inference.h"
#include "compiler/lower/lower.h"
#include "engine/kernels/plain/plain.h"

namespace carrel {
namespace {

// run_plain knows two element types; the others travel as one of them, quantized values as float32
// as in the engine.
DType carrier(DType type) {
  const bool wide_integer = type == DType::kI64 || type == DType::kI32 || type == DType::kBool;
  return wide_integer ? DType::kI64 : DType::kF32;
}

template <typename From, typename To>
Tensor convert(const Tensor& t, DType type) {
  Tensor out = Tensor::zeros(type, t.shape);
  for (size_t i = 0, n = static_cast<size_t>(t.count()); i < n; ++i) {
    From from;
    std::memcpy(&from, t.data.data() + i * sizeof(From), sizeof(From));
    const To to = static_cast<To>(from);
    std::memcpy(out.data.data() + i * sizeof(To), &to, sizeof(To));
  }
  return out;
}

Tensor widened(const Tensor& t) {
  if (t.type == DType::kF64) return convert<double, float>(t, DType::kF32);
  if (t.type == DType::kU8) return convert<uint8_t, float>(t, DType::kF32);
  if (t.type == DType::kI8) return convert<int8_t, float>(t, DType::kF32);
  return Tensor::from_i64(t.shape, t.to_i64());
}

// Between integers, so that a conversion to them is defined.
Tensor saturated(Tensor t, float low, float high) {
  for (float& v : t.f32()) v = v > low ? std::min(v, high) : low;
  return t;
}

Tensor narrowed(Tensor t, DType type) {
  switch (type) {
    case DType::kF64:
      return convert<float, double>(t, type);
    case DType::kI32:
      return convert<int64_t, int32_t>(t, type);
    case DType::kI8:
      return convert<float, int8_t>(saturated(std::move(t), -128, 127), type);
    case DType::kU8:
      return convert<float, uint8_t>(saturated(std::move(t), 0, 255), type);
    case DType::kBool:
      return convert<int64_t, bool>(t, type);
    default:
      return t;
  }
}

PlainTensor view(const Tensor& t) {
  static std::byte empty[8];  // a tensor without elements is not an omitted one
  PlainTensor p;
  p.type = t.type == DType::kF32 ? PlainType::kF32 : PlainType::kI64;
  p.rank = static_cast<uint8_t>(t.shape.rank());
  for (int i = 0; i < t.shape.rank(); ++i) p.dims[i] = t.shape[i];
  p.data = t.data.empty() ? empty : const_cast<std::byte*>(t.data.data());
  return p;
}

// Type and shape of every output of a node, from the graph or inferred.
Result<std::vector<Value>> output_values(const Graph& graph, const Node& node) {
  std::vector<Value> values;
  for (ValueId id : node.outputs) {
    if (id == kNoValue || !graph.value(id).shape_known) {
      std::vector<Value> inferred(node.outputs.size());
      CARREL_RETURN_IF_ERROR(infer_node(graph, node, &inferred));
      return inferred;
    }
    values.push_back({"", graph.value(id).type, graph.value(id).shape, true, nullptr});
  }
  return values;
}

// Computes `node`; lookup(id) is the tensor of an input.
template <typename Lookup>
Result<std::vector<Tensor>> run_node(const Graph& graph, const Node& node,
                                     const std::vector<Value>& values, const Lookup& lookup) {
  if (node.op == OpType::kDequantizeConst) return dequantize_const(graph, node);
  CARREL_ASSIGN(const PlainEncoding code, encode_plain(graph, node));
  std::vector<Tensor> wide(code.inputs.size()), outputs;
  std::vector<PlainTensor> in(code.inputs.size()), out;
  for (size_t i = 0; i < code.inputs.size(); ++i) {
    if (code.inputs[i] == kNoValue) continue;
    const Tensor* t = lookup(code.inputs[i]);
    if (t == nullptr)
      return Error(ErrorCode::kInvalidInput, "%s: an input has no value", node.name.c_str());
    if (t->data.size() != static_cast<size_t>(t->count()) * dtype_size(t->type)) {
      return Error(ErrorCode::kInvalidInput, "%s: an input has no data", node.name.c_str());
    }
    const bool direct = t->type == DType::kF32 || t->type == DType::kI64;
    if (!direct) wide[i] = widened(*t);
    in[i] = view(direct ? *t : wide[i]);
  }
  for (const Value& v : values) outputs.push_back(Tensor::zeros(carrier(v.type), v.shape));
  for (const Tensor& t : outputs) out.push_back(view(t));
  PlainCall call = {code.op, in, out, code.ints, code.floats, code.activation};
  const Status status = run_plain(call);
  if (!status.ok()) {
    return Error(status.error().code(), "%s: %s", node.name.c_str(), status.error().message());
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (outputs[i].type != values[i].type)
      outputs[i] = narrowed(std::move(outputs[i]), values[i].type);
  }
  return outputs;
}

Result<uint64_t> output_bytes(const std::vector<Value>& values) {
  uint64_t total = 0;
  for (const Value& v : values) {
    CARREL_ASSIGN(const uint64_t count, v.shape.element_count());
    total += count * sizeof(int64_t);
  }
  return total;
}

// Tensors of a run: constants of the graph, inputs, and results until their last use.
class Run {
 public:
  explicit Run(const Graph& graph)
      : graph_(graph), uses_left_(graph.values.size()), owned_(graph.values.size()) {
    for (const Node& node : graph.nodes) {
      if (node.dead) continue;
      for (ValueId id : node.inputs) {
        if (id != kNoValue) ++uses_left_[static_cast<size_t>(id)];
      }
    }
    for (ValueId id : graph.outputs) ++uses_left_[static_cast<size_t>(id)];
  }
  void set(ValueId id, Tensor tensor) {
    if (id != kNoValue && uses_left_[static_cast<size_t>(id)] > 0)
      owned_[static_cast<size_t>(id)] = std::move(tensor);
  }
  const Tensor* get(ValueId id) const {
    const Value& v = graph_.value(id);
    if (v.is_const()) return v.constant.get();
    const Tensor& t = owned_[static_cast<size_t>(id)];
    return t.data.empty() && t.count() != 0 ? nullptr : &t;
  }
  void release_inputs(const Node& node) {
    for (ValueId id : node.inputs) {
      if (id != kNoValue && --uses_left_[static_cast<size_t>(id)] == 0)
        owned_[static_cast<size_t>(id)] = Tensor();
    }
  }

 private:
  const Graph& graph_;
  std::vector<int64_t> uses_left_;
  std::vector<Tensor> owned_;
};

Status check_inputs(const Graph& graph, const std::vector<Tensor>& inputs) {
  if (inputs.size() != graph.inputs.size()) {
    return Error(ErrorCode::kInvalidInput, "the graph has %zu inputs, %zu were given",
                 graph.inputs.size(), inputs.size());
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& v = graph.value(graph.inputs[i]);
    if (inputs[i].type != v.type || !(inputs[i].shape == v.shape)) {
      return Error(ErrorCode::kInvalidInput, "input %s has another type or shape", v.name.c_str());
    }
  }
  return ok_status();
}

Result<std::vector<Tensor>> eval_checked(const Graph& graph, const std::vector<Tensor>& inputs,
                                         const Observer& observe) {
  CARREL_RETURN_IF_ERROR(check_inputs(graph, inputs));
  CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(graph));
  Run run(graph);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (observe) observe(graph.inputs[i], inputs[i]);
    run.set(graph.inputs[i], inputs[i]);
  }
  for (NodeId id : order) {
    const Node& node = graph.node(id);
    CARREL_ASSIGN(const std::vector<Value> values, output_values(graph, node));
    CARREL_ASSIGN(std::vector<Tensor> results,
                  run_node(graph, node, values, [&](ValueId v) { return run.get(v); }));
    for (size_t i = 0; i < results.size(); ++i) {
      if (observe && node.outputs[i] != kNoValue) observe(node.outputs[i], results[i]);
      run.set(node.outputs[i], std::move(results[i]));
    }
    run.release_inputs(node);
  }
  std::vector<Tensor> outputs;
  for (ValueId id : graph.outputs) {
    const Tensor* t = run.get(id);
    if (t == nullptr)
      return Error(ErrorCode::kInvalidInput, "output %s is never computed",
                   graph.value(id).name.c_str());
    outputs.push_back(*t);
  }
  return outputs;
}

}  // namespace

Tensor image_of(const Tensor& t, const Shape& shape, size_t index) {
  Tensor out;
  out.type = t.type;
  out.shape = shape;
  const size_t bytes = static_cast<size_t>(shape.count()) * dtype_size(t.type);
  const auto begin = t.data.begin() + static_cast<std::ptrdiff_t>(index * bytes);
  out.data.assign(begin, begin + static_cast<std::ptrdiff_t>(bytes));
  return out;
}

namespace {

// How many times the graph's inputs the given ones are.
Result<int64_t> batch_factor(const Graph& graph, const std::vector<Tensor>& inputs) {
  int64_t factor = 1;
  for (size_t i = 0; i < std::min(inputs.size(), graph.inputs.size()); ++i) {
    const Shape& own = graph.value(graph.inputs[i]).shape;
    const Shape& given = inputs[i].shape;
    if (own.rank() == 0 || given.rank() != own.rank() || own[0] == 0 || given[0] % own[0] != 0)
      return 1;
    const int64_t n = given[0] / own[0];
    if (i > 0 && n != factor)
      return Error(ErrorCode::kInvalidInput, "inputs have different batch sizes");
    factor = n;
  }
  return factor;
}

}  // namespace

Result<std::vector<Tensor>> eval_node(const Graph& graph, const Node& node) try {
  CARREL_ASSIGN(const std::vector<Value> values, output_values(graph, node));
  CARREL_ASSIGN(const uint64_t bytes, output_bytes(values));
  if (bytes > kMaxFoldedBytes) {
    return Error(ErrorCode::kInvalidInput, "%s: a constant of %lu bytes is too large",
                 node.name.c_str(), bytes);
  }
  return run_node(graph, node, values, [&](ValueId id) { return graph.value(id).constant.get(); });
} catch (const std::bad_alloc&) {
  return Error(ErrorCode::kIo, "%s: out of memory", node.name.c_str());
}

Result<std::vector<Tensor>> eval_graph(const Graph& graph, const std::vector<Tensor>& inputs,
                                       const Observer& observe) try {
  return eval_checked(graph, inputs, observe);
} catch (const std::bad_alloc&) {
  return Error(ErrorCode::kIo, "%s: out of memory", graph.name.c_str());
}

Result<std::vector<Tensor>> eval_graph(const Graph& graph, const std::vector<Tensor>& inputs) {
  return eval_graph(graph, inputs, nullptr);
}

Result<std::vector<Tensor>> eval_batch(const Graph& graph, const std::vector<Tensor>& inputs) {
  CARREL_ASSIGN(const int64_t factor, batch_factor(graph, inputs));
  if (factor == 1) return eval_graph(graph, inputs);
  if (factor == 0) return Error(ErrorCode::kInvalidInput, "the batch is empty");
  std::vector<Tensor> stacked;
  for (int64_t n = 0; n < factor; ++n) {
    std::vector<Tensor> parts;
    for (size_t i = 0; i < inputs.size(); ++i) {
      parts.push_back(image_of(inputs[i], graph.value(graph.inputs[i]).shape, static_cast<size_t>(n)));
    }
    CARREL_ASSIGN(std::vector<Tensor> outputs, eval_graph(graph, parts));
    if (n == 0) {
      stacked = std::move(outputs);
      continue;
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      stacked[i].data.insert(stacked[i].data.end(), outputs[i].data.begin(), outputs[i].data.end());
    }
  }
  for (Tensor& t : stacked) {
    if (t.shape.rank() == 0)
      return Error(ErrorCode::kInvalidInput, "an output has no batch dimension");
    t.shape[0] *= factor;
  }
  return stacked;
}

}  // namespace carrel
