#pragma once
// What the passes share.
#include "compiler/graph/patch.h"

namespace carrel {

// Uses plus which values are graph outputs.
class UseMap {
 public:
  explicit UseMap(const Graph& graph);
  NodeId producer(ValueId id) const { return uses_.producer[static_cast<size_t>(id)]; }
  const std::vector<NodeId>& consumers(ValueId id) const {
    return uses_.consumers[static_cast<size_t>(id)];
  }
  bool is_output(ValueId id) const { return is_output_[static_cast<size_t>(id)]; }
  // One consumer and nothing outside looks at it: its producer may change what it holds.
  bool single_use(ValueId id) const { return !is_output(id) && consumers(id).size() == 1; }

 private:
  Uses uses_;
  std::vector<bool> is_output_;
};

// Collects one patch; a node is replaced at most once per patch, so that changes never overlap.
class PatchBuilder {
 public:
  PatchBuilder(const Graph& graph, const char* context);
  bool touched(NodeId id) const { return touched_[static_cast<size_t>(id)]; }
  // `node` (outputs included) takes the place of the nodes `old`.
  void replace(std::initializer_list<NodeId> old, Node node);
  ValueId add_const(std::string name, Tensor tensor);
  ValueId add_const(std::string name, TensorPtr tensor);
  ValueId add_value(Value value);
  void shunt(ValueId from, ValueId to) { patch_.shunts.emplace_back(from, to); }
  void kill(NodeId id);
  Patch& patch() { return patch_; }
  Patch take() { return std::move(patch_); }

 private:
  size_t value_count_;
  std::vector<bool> touched_;
  Patch patch_;
};

// A float32 constant whose data is present.
bool is_weight(const Graph& graph, ValueId id);

}  // namespace carrel
