#pragma once
// Small canonical graphs for tests.
#include <string>
#include <vector>

#include "compiler/eval/eval.h"
#include "compiler/graph/graph.h"
#include "compiler/graph/shape_inference.h"

namespace carrel {

class GraphMaker {
 public:
  ValueId input(const std::string& name, const Shape& shape) {
    Value value;
    value.name = name;
    value.shape = shape;
    value.shape_known = true;
    graph.inputs.push_back(graph.add_value(std::move(value)));
    return graph.inputs.back();
  }
  // Small numbers of both signs, different per position and `seed`.
  ValueId weight(const std::string& name, const Shape& shape, int seed = 1) {
    return graph.add_const(name, ramp(shape, seed));
  }
  static Tensor ramp(const Shape& shape, int seed = 1) {
    Tensor tensor = Tensor::zeros(DType::kF32, shape);
    for (size_t i = 0; i < tensor.f32().size(); ++i) {
      const auto position = static_cast<int>((i * 7 + static_cast<size_t>(seed) * 5) % 23);
      tensor.f32()[i] = static_cast<float>(position - 11) / 8.0f;
    }
    return tensor;
  }
  ValueId node(OpType op, std::vector<ValueId> inputs,
               std::map<std::string, std::vector<int64_t>> ints = {}, Unary activation = {}) {
    Node added;
    added.op = op;
    added.name = std::string(op_name(op)) + std::to_string(graph.nodes.size());
    added.inputs = std::move(inputs);
    added.attributes.ints = std::move(ints);
    added.activation = activation;
    Value value;
    value.name = added.name + "_out";
    added.outputs = {graph.add_value(std::move(value))};
    graph.add_node(added);
    return added.outputs[0];
  }
  ValueId unary(UnaryFn fn, ValueId x) { return node(OpType::kUnary, {x}, {}, {fn, 0, 0}); }
  // Shapes inferred; `outputs` are the graph's.
  Graph finish(std::vector<ValueId> outputs) {
    graph.outputs = std::move(outputs);
    const Status status = infer_shapes(&graph);
    if (!status.ok()) error = status.error().message();
    return graph;
  }

  Graph graph;
  std::string error;
};

}  // namespace carrel
