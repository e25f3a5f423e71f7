#include "compiler/graph/quantized.h"

#include <algorithm>
#include <cmath>

namespace carrel {
namespace {

constexpr int64_t kShift = 128;

Tensor shifted(const Tensor& levels) {
  Tensor up = levels;
  up.type = DType::kU8;
  for (std::byte& b : up.data) b ^= std::byte{kShift};
  return up;
}

}  // namespace

Quantization quantization_of(const Node& node) {
  return {node.attributes.float_or("scale", 1), node.attributes.int_or("zero", 0)};
}

void set_quantization(const Quantization& quantization, Node* node) {
  node->attributes.floats["scale"] = {quantization.scale};
  node->attributes.ints["zero"] = {quantization.zero};
}

void set_quantization(const std::string& prefix, const Quantization& quantization, Node* node) {
  node->attributes.floats[std::string(prefix).append("_scale")] = {quantization.scale};
  node->attributes.ints[std::string(prefix).append("_zero")] = {quantization.zero};
}

int64_t level_of(float x, const Quantization& quantization) {
  constexpr float kFar = 65536;
  const float steps = std::clamp(x / quantization.scale, -kFar, kFar);
  return std::clamp<int64_t>(std::lrint(steps) + quantization.zero, 0, 255);
}

void shift_to_uint8(Graph* graph) {
  std::vector<bool> run_time(graph->values.size());
  for (size_t v = 0; v < run_time.size(); ++v) {
    run_time[v] = graph->values[v].type == DType::kI8 && !graph->values[v].is_const();
  }
  for (Node& node : graph->nodes) {
    if (node.dead || node.op == OpType::kDequantizeConst) continue;
    for (ValueId& id : node.inputs) {
      if (id == kNoValue || graph->value(id).type != DType::kI8 || !graph->value(id).is_const()) {
        continue;
      }
      id = graph->add_const(graph->value(id).name, shifted(*graph->value(id).constant));
      if (node.op == OpType::kDequantize) node.attributes.ints["zero"][0] += kShift;
    }
    const bool in =
        static_cast<size_t>(node.inputs.empty() ? 0 : node.inputs[0]) < run_time.size() &&
        !node.inputs.empty() && node.inputs[0] != kNoValue &&
        run_time[static_cast<size_t>(node.inputs[0])];
    if (node.op == OpType::kDequantize && in) node.attributes.ints["zero"][0] += kShift;
    if (node.op == OpType::kPad && in) {
      node.attributes.floats["value"] = {node.attributes.float_or("value", 0) + kShift};
    }
    if (node.op == OpType::kQuantize && node.attributes.ints.erase("signed") > 0) {
      node.attributes.ints["zero"][0] += kShift;
    }
  }
  for (size_t v = 0; v < run_time.size(); ++v) {
    if (run_time[v]) graph->values[v].type = DType::kU8;
  }
}

}  // namespace carrel
