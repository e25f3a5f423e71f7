#pragma once
// Chooses, node by node, the engine layer that does it.
#include <vector>

#include "compiler/plan/layers.h"

namespace carrel {

class LayerBuilder {
 public:
  explicit LayerBuilder(const Graph& graph);
  Status build();
  LayerGraph take() { return std::move(out_); }

 private:
  // What a value is so far: -1 where it does not exist in that form.
  struct Forms {
    int map = -1;
    int plain = -1;
    ValueId flattened_from = kNoValue;  // a reshape of that value, not made unless somebody wants it
  };

  Status add_node(NodeId id);
  bool try_map_node(NodeId id);  // true: a map layer does it
  Status add_plain_node(NodeId id);
  Status add_outputs();

  bool add_conv(NodeId id);
  bool add_fully_connected(NodeId id);
  bool add_pool(NodeId id);
  bool add_global_pool(NodeId id);
  bool add_unary(NodeId id);
  bool add_vectors(NodeId id, uint32_t rows, bool prelu);
  bool add_binary(NodeId id);
  bool fuse_residual(NodeId id);
  bool add_binary_const(NodeId id, ValueId map_value, ValueId constant, bool constant_first);
  bool add_concat(NodeId id);
  bool add_split(NodeId id);
  bool add_lrn(NodeId id);
  // On quantized values (quant_layers.cc).
  bool try_quantized_node(NodeId id);
  bool add_type_change(NodeId id);
  bool add_quant_conv(NodeId id);
  bool add_quant_gemm(NodeId id);
  bool add_quant_add(NodeId id);
  bool add_quant_pool(NodeId id, bool global);
  bool add_quant_concat(NodeId id);
  // Zero points of quantized values, from the nodes that make and take them. Errors: kUnsupported.
  Status find_zeros();
  Status set_zero(ValueId id, int64_t zero);
  bool add_softmax(NodeId id);
  bool add_reshape(NodeId id);

  const Node& node(NodeId id) const { return graph_.node(id); }
  const Value& value(ValueId id) const { return graph_.value(id); }
  Forms& forms(ValueId id) { return forms_[static_cast<size_t>(id)]; }
  // Non-constant float or quantized value whose shape is a map's.
  bool is_map_value(ValueId id, MapShape* map) const;
  bool is_float_const(ValueId id) const;
  bool channel_const(ValueId id, const Shape& like, uint32_t channels) const;

  // The value in the wanted form; inserts a conversion or a constant's load. The first is for is_map_value only.
  int as_map(ValueId id);
  Result<int> as_plain(ValueId id);
  int new_map(ValueId id, const MapShape& shape);
  // A map of the other type: integers as floats.
  int retyped(ValueId id, int tensor, ElementType type);
  int new_plain(ValueId id);
  Layer& new_layer(NodeId id, Opcode opcode, std::vector<int> inputs, std::vector<int> outputs);

  const Graph& graph_;
  Uses uses_;
  std::vector<Forms> forms_;
  std::vector<int> zeros_;  // by value; -1: unknown
  LayerGraph out_;
};

// strides, dilations, pads of a 2-D window; false if a number is out of range (pads may not be negative here).
bool read_window(const Node& node, int64_t kernel_h, int64_t kernel_w, Window* w);
// The pads that an average counts, beside the window's own: bottom << 16 | right. False if they cannot be.
bool read_counted_pads(const Node& node, const Window& window, uint32_t* pads);

// Neighbouring groups of a convolution that one stream holds, zeros in between: the fewest that are whole blocks of
// 16 channels on both sides, else all. A stream has as many times the weights of the model.
uint32_t groups_per_stream(const Graph& graph, const Node& conv);
// A stream stores at most so many times the model's weights; beyond, the plain operator takes a grouped convolution.
inline constexpr uint32_t kMostMergedGroups = 16;

}  // namespace carrel
