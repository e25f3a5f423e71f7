#include "compiler/plan/layer_builder.h"

#include <algorithm>


namespace carrel {

namespace {

// Map layers whose kernels apply a fused activation.
bool applies_activation(OpType op) {
  switch (op) {
    case OpType::kConv:
    case OpType::kGemm:
    case OpType::kMatMul:
    case OpType::kUnary:
    case OpType::kAffine:
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
    case OpType::kDiv:
    case OpType::kMax:
    case OpType::kMin:
    case OpType::kPow: return true;
    default: return false;
  }
}

// Dense tensors hold floats; quantized values are their integers.
bool runs_dense(DType type) { return type == DType::kF32 || type == DType::kU8; }

}  // namespace

LayerBuilder::LayerBuilder(const Graph& graph) : graph_(graph), uses_(find_uses(graph)), forms_(graph.values.size()) {}

Status LayerBuilder::build() {
  CARREL_RETURN_IF_ERROR(find_zeros());
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    const ValueId id = graph_.inputs[i];
    MapShape map;
    const int t = is_map_value(id, &map) ? new_map(id, map) : new_plain(id);
    out_.tensors[static_cast<size_t>(t)].input = static_cast<int>(i);
    out_.inputs.push_back(t);
  }
  CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(graph_));
  for (NodeId id : order) CARREL_RETURN_IF_ERROR(add_node(id));
  return add_outputs();
}

Status LayerBuilder::add_node(NodeId id) {
  if (node(id).dead || try_map_node(id)) return ok_status();
  return add_plain_node(id);
}

bool LayerBuilder::try_map_node(NodeId id) {
  if (node(id).activation.fn != UnaryFn::kNone && !applies_activation(node(id).op)) return false;
  switch (node(id).op) {
    case OpType::kConv: return add_conv(id);
    case OpType::kGemm:
    case OpType::kMatMul: return add_fully_connected(id);
    case OpType::kMaxPool:
    case OpType::kAveragePool: return add_pool(id);
    case OpType::kGlobalAveragePool:
    case OpType::kGlobalMaxPool:
    case OpType::kReduceMean:
    case OpType::kReduceMax: return add_global_pool(id);
    case OpType::kUnary: return add_unary(id);
    case OpType::kAffine: return add_vectors(id, 2, false);
    case OpType::kPRelu: return add_vectors(id, 1, true);
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
    case OpType::kDiv:
    case OpType::kMax:
    case OpType::kMin:
    case OpType::kPow: return add_binary(id);
    case OpType::kConcat: return add_concat(id);
    case OpType::kSplit: return add_split(id);
    case OpType::kLrn: return add_lrn(id);
    case OpType::kSoftmax:
    case OpType::kLogSoftmax: return add_softmax(id);
    case OpType::kReshape:
    case OpType::kIdentity: return add_reshape(id);
    default: return try_quantized_node(id);
  }
}

Status LayerBuilder::add_plain_node(NodeId id) {
  const Node& me = node(id);
  for (ValueId v : me.outputs) {
    if (v != kNoValue && !runs_dense(value(v).type)) {
      return Error(ErrorCode::kUnsupported, "%s: %s: type %s at run time", me.name.c_str(), op_name(me.op),
                   dtype_name(value(v).type));
    }
  }
  CARREL_ASSIGN(PlainEncoding encoding, encode_plain(graph_, me));
  std::vector<int> operands, inputs, outputs;
  for (ValueId v : encoding.inputs) {
    if (v == kNoValue) {
      operands.push_back(-1);
      continue;
    }
    CARREL_ASSIGN(const int t, as_plain(v));
    operands.push_back(t);
    if (std::find(inputs.begin(), inputs.end(), t) == inputs.end()) inputs.push_back(t);
  }
  for (ValueId v : me.outputs) {
    if (v != kNoValue) outputs.push_back(new_plain(v));
  }
  Layer& layer = new_layer(id, Opcode::kPlain, inputs, outputs);
  layer.activation = encoding.activation;
  layer.plain_operands = std::move(operands);
  layer.plain = std::move(encoding);
  return ok_status();
}

// A graph output crosses in its boundary form; one that is an input or a constant gets a copy of its own.
Status LayerBuilder::add_outputs() {
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    const ValueId id = graph_.outputs[i];
    if (value(id).type != DType::kF32) {
      return Error(ErrorCode::kUnsupported, "output %s: type %s", value(id).name.c_str(), dtype_name(value(id).type));
    }
    MapShape map;
    int t = -1;
    if (is_map_value(id, &map)) {
      t = as_map(id);
    } else {
      CARREL_ASSIGN(t, as_plain(id));
    }
    const PlanTensor& tensor = out_.tensors[static_cast<size_t>(t)];
    if (tensor.input >= 0 || tensor.output >= 0) {
      const int copy = tensor.kind == TensorKind::kMap ? new_map(id, tensor.map) : new_plain(id);
      if (out_.tensors[static_cast<size_t>(copy)].kind == TensorKind::kMap) {
        new_layer(-1, Opcode::kCopy, {t}, {copy});
      } else {
        Layer& layer = new_layer(-1, Opcode::kPlain, {t}, {copy});
        layer.plain.op = PlainOp::kReshape;
        layer.plain_operands = {t};
      }
      t = copy;
    }
    out_.tensors[static_cast<size_t>(t)].output = static_cast<int>(i);
    out_.outputs.push_back(t);
  }
  return ok_status();
}

bool LayerBuilder::is_map_value(ValueId id, MapShape* map) const {
  if (id == kNoValue || value(id).is_const() || !runs_dense(value(id).type)) return false;
  if (!is_map_shape(value(id).shape, map)) return false;
  if (value(id).type == DType::kF32) return true;
  map->type = ElementType::kU8;
  map->zero = static_cast<uint8_t>(std::max(0, zeros_[static_cast<size_t>(id)]));
  return true;
}

bool LayerBuilder::is_float_const(ValueId id) const {
  return id != kNoValue && value(id).is_const() && value(id).type == DType::kF32;
}

// One number, or one per channel, when broadcast against a map of shape `like`.
bool LayerBuilder::channel_const(ValueId id, const Shape& like, uint32_t channels) const {
  if (!is_float_const(id)) return false;
  const Shape& shape = value(id).shape;
  if (shape.rank() > like.rank()) return false;
  const int64_t count = shape.count();
  if (count == 1) return true;
  const int channel_dim = shape.rank() - (like.rank() - 1);
  return count == channels && channel_dim >= 0 && shape[channel_dim] == channels;
}

int LayerBuilder::as_map(ValueId id) {
  if (forms(id).map >= 0) return forms(id).map;
  MapShape map;
  CARREL_CHECK(is_map_value(id, &map));
  const Result<int> plain = as_plain(id);
  CARREL_CHECK(plain.ok());
  const ElementType type = map.type;
  map.type = ElementType::kF32;
  map.zero = 0;
  const int t = new_map(id, map);
  new_layer(-1, Opcode::kPlainToRows, {*plain}, {t}).name = value(id).name + " (to rows)";
  return type == ElementType::kU8 ? forms(id).map = retyped(id, t, type) : t;
}

Result<int> LayerBuilder::as_plain(ValueId id) {
  if (forms(id).plain >= 0) return forms(id).plain;
  const Value& me = value(id);
  if (!runs_dense(me.type) || (me.is_const() && me.type != DType::kF32)) {
    return Error(ErrorCode::kUnsupported, "%s: type %s at run time", me.name.c_str(), dtype_name(me.type));
  }
  int source = forms(id).map;
  if (source < 0 && forms(id).flattened_from != kNoValue) source = as_map(forms(id).flattened_from);
  const int t = new_plain(id);
  if (me.is_const()) {
    Layer& layer = new_layer(-1, Opcode::kLoad, {}, {t});
    layer.name = me.name;
    layer.constant = id;
    layer.weights.kind = WeightsKind::kPlain;
    layer.weights.element_count = static_cast<uint64_t>(me.shape.count());
    return t;
  }
  CARREL_CHECK(source >= 0);
  if (me.type == DType::kU8) source = retyped(id, source, ElementType::kF32);
  new_layer(-1, Opcode::kRowsToPlain, {source}, {t}).name = me.name + " (to dense)";
  return t;
}

int LayerBuilder::new_map(ValueId id, const MapShape& shape) {
  PlanTensor t;
  t.name = value(id).name;
  t.map = shape;
  t.map.pad_left = t.map.pad_right = 0;
  out_.tensors.push_back(std::move(t));
  forms(id).map = static_cast<int>(out_.tensors.size()) - 1;
  return forms(id).map;
}

int LayerBuilder::new_plain(ValueId id) {
  PlanTensor t;
  t.name = value(id).name;
  t.kind = TensorKind::kPlain;
  for (int i = 0; i < value(id).shape.rank(); ++i) t.dims.push_back(value(id).shape[i]);
  out_.tensors.push_back(std::move(t));
  forms(id).plain = static_cast<int>(out_.tensors.size()) - 1;
  return forms(id).plain;
}

Layer& LayerBuilder::new_layer(NodeId id, Opcode opcode, std::vector<int> inputs, std::vector<int> outputs) {
  Layer layer;
  layer.opcode = opcode;
  layer.node = id;
  if (id >= 0) {
    layer.name = node(id).name;
    layer.activation = node(id).activation;
  }
  layer.inputs = std::move(inputs);
  layer.outputs = std::move(outputs);
  out_.layers.push_back(std::move(layer));
  return out_.layers.back();
}

}  // namespace carrel
