// Which place every sealed stream fills.
#include <algorithm>

#include "baseline/network_builder.h"
#include "baseline/unpack.h"

namespace carrel::unmodified {
namespace {

uint64_t stream_weights_count(const WeightsShape& shape) {
  return uint64_t{shape.out_channels} * std::max(1u, shape.in_channels) * shape.kernel_h *
         shape.kernel_w;
}

}  // namespace

Status NetworkBuilder::add_streams() {
  out_.streams.resize(streams_.streams.size());
  for (size_t i = 0; i < streams_.streams.size(); ++i) {
    const StreamPlan::Source& source = streams_.sources[i];
    const WeightsShape& shape = streams_.streams[i].shape;
    const bool constant = source.plain_value != kNoValue;
    if (!can_unpack(shape)) {
      return Error(
          ErrorCode::kUnsupported,
          "%s: weights stored as %s; the unmodified engine runs fp32 and fp16",
          (constant ? value(source.plain_value).name : graph_.node(source.node).name).c_str(),
          stored_name(shape.stored));
    }
    if (constant)
      out_.streams[i].weights = add_constant(source.plain_value);
    else
      out_.streams[i] = add_node_stream(source, shape);
  }
  return ok_status();
}

int NetworkBuilder::add_constant(ValueId id) {
  if (place_of(id) < 0) {
    const auto count = static_cast<uint64_t>(value(id).shape.count());
    place_of(id) = new_place(PlaceKind::kWeights, value(id).name, count);
  }
  return place_of(id);
}

StreamTarget NetworkBuilder::add_node_stream(const StreamPlan::Source& source,
                                             const WeightsShape& shape) {
  NodeWeights& weights = node_weights_[static_cast<size_t>(source.node)];
  const Node& node = graph_.node(source.node);
  if (weights.matrix.place < 0) weights = make_node_weights(node, shape);
  StreamTarget target = {weights.matrix.place, weights.bias.place};
  if (shape.kind == WeightsKind::kConv) {
    target.merged_groups = shape.in_channels / static_cast<uint32_t>(weights.matrix.shape[1]);
    const auto part = static_cast<uint64_t>(source.part);
    target.bias_offset = part * shape.out_channels;
    target.weights_offset = part * stream_weights_count(shape) / target.merged_groups;
  }
  return target;
}

NetworkBuilder::NodeWeights NetworkBuilder::make_node_weights(const Node& node,
                                                              const WeightsShape& shape) {
  NodeWeights out;
  const int64_t channels = shape.out_channels;
  const bool conv = node.op == OpType::kConv;
  if (conv)
    out.matrix.shape = value(node.inputs[1]).shape;
  else if (shape.kind == WeightsKind::kVectors)
    out.matrix.shape = {shape.kernel_h, channels};
  else
    out.matrix.shape = {channels, static_cast<int64_t>(stream_weights_count(shape)) / channels};
  const auto count = static_cast<uint64_t>(out.matrix.shape.count());
  out.matrix.place = new_place(PlaceKind::kWeights, node.name + " weights", count);
  if (shape.kind != WeightsKind::kVectors && node.inputs.size() > 2 && node.inputs[2] != kNoValue) {
    out.bias.shape = {conv ? value(node.outputs[0]).shape[1] : channels};
    out.bias.place = new_place(PlaceKind::kWeights, node.name + " bias",
                               static_cast<uint64_t>(out.bias.shape.count()));
  }
  return out;
}

}  // namespace carrel::unmodified
