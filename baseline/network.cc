#include "baseline/network.h"

#include <algorithm>

#include "baseline/network_builder.h"

namespace carrel::unmodified {
namespace {

constexpr int32_t kUnread = -1;  // weights have their places before the layers are known

}  // namespace

NetworkBuilder::NetworkBuilder(const Graph& graph, const StreamPlan& streams, uint32_t threads)
    : graph_(graph),
      streams_(streams),
      threads_(threads),
      uses_(find_uses(graph)),
      value_place_(graph.values.size(), -1),
      node_weights_(graph.nodes.size()) {}

Status NetworkBuilder::build() {
  CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(graph_));
  for (NodeId id : order) CARREL_RETURN_IF_ERROR(check_runnable(graph_.node(id)));
  CARREL_RETURN_IF_ERROR(add_streams());
  for (ValueId id : graph_.inputs) {
    out_.inputs.push_back(new_activation(id));
    place(place_of(id)).first_layer = -1;
  }
  for (NodeId id : order) CARREL_RETURN_IF_ERROR(add_node(id));
  for (ValueId id : graph_.outputs) {
    if (place_of(id) < 0) {
      return Error(ErrorCode::kUnsupported, "output %s is never computed", value(id).name.c_str());
    }
    out_.outputs.push_back(read(id));
  }
  add_workspace();
  out_.bytes = lay_out(&out_.places);
  return ok_status();
}

Status NetworkBuilder::check_runnable(const Node& node) const {
  const auto is_float = [&](ValueId id) { return id == kNoValue || value(id).type == DType::kF32; };
  const bool floats = std::all_of(node.outputs.begin(), node.outputs.end(), is_float);
  if (floats && node.op < OpType::kQuantize) return ok_status();
  return Error(ErrorCode::kUnsupported, "%s (%s): the unmodified engine runs float operators only",
               node.name.c_str(), op_name(node.op));
}

Status NetworkBuilder::add_node(NodeId id) {
  const Node& node = graph_.node(id);
  const bool renames = node.op == OpType::kReshape || node.op == OpType::kIdentity;
  if (renames && node.activation.fn == UnaryFn::kNone && place_of(node.inputs[0]) >= 0) {
    add_alias(node);
    return ok_status();
  }
  Layer layer;
  layer.name = node.name;
  layer.activation = node.activation;
  const bool done = add_conv(id, &layer) || add_sealed(id, &layer) || add_pool(node, &layer) ||
                    add_elementwise(node, &layer);
  if (!done) CARREL_RETURN_IF_ERROR(add_plain(node, &layer));
  out_.layers.push_back(std::move(layer));
  return ok_status();
}

// The same bytes under another shape; read by whoever reads the new name.
void NetworkBuilder::add_alias(const Node& node) {
  const int place = place_of(node.inputs[0]);
  place_of(node.outputs[0]) = place;
  reads_left_[static_cast<size_t>(place)] += uses(node.outputs[0]) - 1;
}

void NetworkBuilder::add_outputs(const Node& node, Layer* layer) {
  for (ValueId id : node.outputs) {
    if (id != kNoValue) layer->outputs.push_back(new_activation(id));
  }
}

void NetworkBuilder::add_output_in_place(const Node& node, Layer* layer) {
  const ValueId out = node.outputs[0];
  for (const Operand& in : layer->inputs) {
    const Place& p = place(in.place);
    const bool free =
        p.kind == PlaceKind::kActivation && reads_left_[static_cast<size_t>(in.place)] == 0;
    if (!free || !(in.shape == value(out).shape)) continue;
    place_of(out) = in.place;
    reads_left_[static_cast<size_t>(in.place)] = uses(out);
    layer->outputs.push_back({in.place, in.shape});
    return;
  }
  add_outputs(node, layer);
}

int NetworkBuilder::new_place(PlaceKind kind, const std::string& name, uint64_t count) {
  const int32_t layer = kind == PlaceKind::kWeights ? kUnread : this_layer();
  out_.places.push_back({name, kind, 0, count * sizeof(float), layer, layer});
  reads_left_.push_back(0);
  return static_cast<int>(out_.places.size()) - 1;
}

Operand NetworkBuilder::new_activation(ValueId id) {
  const auto count = static_cast<uint64_t>(value(id).shape.count());
  const int p = new_place(PlaceKind::kActivation, value(id).name, count);
  place_of(id) = p;
  reads_left_.back() = uses(id);
  return {p, value(id).shape};
}

Operand NetworkBuilder::read(ValueId id) {
  --reads_left_[static_cast<size_t>(place_of(id))];
  return read(Operand{place_of(id), value(id).shape});
}

Operand NetworkBuilder::read(Operand operand) {
  Place& p = place(operand.place);
  if (p.kind == PlaceKind::kWeights && p.first_layer == kUnread) p.first_layer = this_layer();
  p.last_layer = this_layer();
  return operand;
}

// Reads of this value by nodes, and by the caller where it is an output.
int64_t NetworkBuilder::uses(ValueId id) const {
  return static_cast<int64_t>(uses_.consumers[static_cast<size_t>(id)].size()) +
         std::count(graph_.outputs.begin(), graph_.outputs.end(), id);
}

void NetworkBuilder::add_workspace() {
  uint64_t count = 0;
  int32_t first = -1, last = -1;
  for (size_t i = 0; i < out_.layers.size(); ++i) {
    const uint64_t needed = workspace_count(out_.layers[i], threads_);
    if (needed == 0) continue;
    count = std::max(count, needed);
    if (first < 0) first = static_cast<int32_t>(i);
    last = static_cast<int32_t>(i);
  }
  if (count == 0) return;
  out_.workspace = new_place(PlaceKind::kWorkspace, "workspace", count);
  place(out_.workspace).first_layer = first;
  place(out_.workspace).last_layer = last;
}

uint64_t workspace_count(const Layer& layer, uint32_t threads) {
  const PlaneWindow& w = layer.window;
  switch (layer.kind) {
    case LayerKind::kConv:
      if (w.pointwise()) return 0;
      return static_cast<uint64_t>(layer.inputs[0].shape[1] * w.taps() * w.out_count());
    case LayerKind::kDepthwise:
    case LayerKind::kMaxPool:
    case LayerKind::kAveragePool:
      return threads * static_cast<uint64_t>(PlanePhases(w).scratch_count());
    default:
      return 0;
  }
}

Result<Network> build_network(const Graph& graph, const StreamPlan& streams, uint32_t threads) {
  NetworkBuilder builder(graph, streams, threads);
  CARREL_RETURN_IF_ERROR(builder.build());
  return builder.take();
}

}  // namespace carrel::unmodified
