#pragma once
// Inside this room: the network in the making.
#include "baseline/network.h"

namespace carrel::unmodified {

class NetworkBuilder {
 public:
  NetworkBuilder(const Graph& graph, const StreamPlan& streams, uint32_t threads);
  Status build();
  Network take() { return std::move(out_); }

 private:
  // What a sealed file holds for a node: places of its matrix and bias.
  struct NodeWeights {
    Operand matrix, bias;
  };

  // weight_places.cc
  Status add_streams();
  int add_constant(ValueId id);
  StreamTarget add_node_stream(const StreamPlan::Source& source, const WeightsShape& shape);
  NodeWeights make_node_weights(const Node& node, const WeightsShape& shape);

  // layers.cc: which layer does a node. The first four are false where another has to.
  bool add_conv(NodeId id, Layer* layer);
  bool add_pool(const Node& node, Layer* layer);
  bool add_elementwise(const Node& node, Layer* layer);
  bool add_sealed(NodeId id, Layer* layer);
  Status add_plain(const Node& node, Layer* layer);
  bool is_map(ValueId id) const;

  // network.cc
  Status check_runnable(const Node& node) const;
  Status add_node(NodeId id);
  void add_alias(const Node& node);
  void add_workspace();

  // The node's outputs as new activations, or its only one in the place of an input that nobody
  // reads again. After the inputs.
  void add_outputs(const Node& node, Layer* layer);
  void add_output_in_place(const Node& node, Layer* layer);

  // Places and their lifetimes.
  int new_place(PlaceKind kind, const std::string& name, uint64_t count);
  Operand new_activation(ValueId id);
  Operand read(ValueId id);       // an activation or constant that has a place
  Operand read(Operand weights);  // touched by this layer
  int64_t uses(ValueId id) const;

  int32_t this_layer() const { return static_cast<int32_t>(out_.layers.size()); }
  const Value& value(ValueId id) const { return graph_.value(id); }
  int& place_of(ValueId id) { return value_place_[static_cast<size_t>(id)]; }
  int place_of(ValueId id) const { return value_place_[static_cast<size_t>(id)]; }
  Place& place(int id) { return out_.places[static_cast<size_t>(id)]; }

  const Graph& graph_;
  const StreamPlan& streams_;
  const uint32_t threads_;
  Uses uses_;
  std::vector<int> value_place_;           // -1: none
  std::vector<NodeWeights> node_weights_;  // by node
  std::vector<int64_t> reads_left_;        // by place
  Network out_;
};

}  // namespace carrel::unmodified
