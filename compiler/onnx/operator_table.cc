// From ONNX operator names to their handlers.
#include <string_view>

#include "compiler/onnx/node_context.h"

namespace carrel {

const OperatorEntry* find_operator(const std::string& name) {
  static const auto* const kTable = [] {
    auto* table = new std::unordered_map<std::string_view, const OperatorEntry*>;
    for (const auto family :
         {conv_operators(), pool_operators(), activation_operators(), elementwise_operators(),
          norm_operators(), matrix_operators(), reduce_operators(), shape_operators(),
          movement_operators(), resize_operators(), constant_operators(),
          quantize_operators(), integer_operators()}) {
      for (const OperatorEntry& entry : family) table->emplace(entry.name, &entry);
    }
    return table;
  }();
  const auto it = kTable->find(name);
  return it == kTable->end() ? nullptr : it->second;
}

int first_same_opset(const std::string& name) {
  // From ONNX's changelog; operators that are not listed kept their first definition until opset 7.
  static const auto* const kSince = new std::unordered_map<std::string_view, int>{
      {"Add", 7},        {"AveragePool", 7}, {"BatchNormalization", 7},
      {"Div", 7},        {"Dropout", 7},     {"Gemm", 7},
      {"Mul", 7},        {"PRelu", 7},       {"Pow", 7},
      {"Sub", 7},        {"Upsample", 7},    {"Abs", 6},
      {"Cast", 6},       {"Clip", 6},        {"Elu", 6},
      {"Exp", 6},        {"HardSigmoid", 6}, {"InstanceNormalization", 6},
      {"LeakyRelu", 6},  {"Log", 6},         {"Max", 6},
      {"Mean", 6},       {"Min", 6},         {"Neg", 6},
      {"Reciprocal", 6}, {"Relu", 6},        {"Selu", 6},
      {"Sigmoid", 6},    {"Sqrt", 6},        {"Sum", 6},
      {"Tanh", 6},       {"Reshape", 5},     {"Concat", 4},
      {"Pad", 2},        {"Split", 2},
  };
  const auto it = kSince->find(name);
  return it == kSince->end() ? 1 : it->second;
}

}  // namespace carrel
