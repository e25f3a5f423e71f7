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
          movement_operators(), resize_operators(), constant_operators()}) {
      for (const OperatorEntry& entry : family) table->emplace(entry.name, &entry);
    }
    return table;
  }();
  const auto it = kTable->find(name);
  return it == kTable->end() ? nullptr : it->second;
}

}  // namespace carrel
