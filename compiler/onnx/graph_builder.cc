#include "compiler/onnx/graph_builder.h"

#include <unordered_map>

#include "compiler/graph/patch.h"
#include "compiler/graph/quantized.h"
#include "compiler/onnx/names.h"
#include "compiler/onnx/quantization.h"

namespace carrel {
namespace {

class GraphBuilder {
 public:
  GraphBuilder(const Source& source, const ImportOptions& options, int64_t batch,
               std::vector<std::string>* unsupported)
      : source_(source), options_(options), batch_(batch), unsupported_(*unsupported) {
    build_.options = &options;
    build_.tensors = &source.tensors;
    build_.opset = source.opset;
    build_.batch = batch;
    build_.file_batch = batch < 0 ? batch : source.batch;
  }

  Result<Graph> run() {
    build_.graph.name = printable(source_.proto->name());
    CARREL_RETURN_IF_ERROR(add_constants());
    CARREL_RETURN_IF_ERROR(add_inputs());
    for (int n : source_.order) {
      const Status added = add_node(source_.proto->node(n), n);
      // What is unsupported is worth more to the reader than what follows from it.
      if (!added.ok() && unsupported_.empty()) return added.error();
    }
    if (!unsupported_.empty()) return unsupported_error();
    CARREL_RETURN_IF_ERROR(add_outputs());
    name_values();
    shift_to_uint8(&build_.graph);
    CARREL_RETURN_IF_ERROR(drop_dead());
    CARREL_RETURN_IF_ERROR(check_types());
    if (!unsupported_.empty()) return unsupported_error();
    CARREL_ASSIGN(Graph graph, compact(build_.graph));
    CARREL_RETURN_IF_ERROR(verify_graph(graph));
    return graph;
  }

 private:
  Error unsupported_error() const {
    return Error(ErrorCode::kUnsupported, "%zu unsupported, first %s", unsupported_.size(),
                 unsupported_[0].c_str());
  }
  void report(const std::string& where, const std::string& op, const std::string& reason) {
    unsupported_.push_back(where + ": " + op + ": " + reason);
  }

  ValueId add_shared(const std::string& name, TensorPtr tensor) {
    Value value;
    value.name = printable(name);
    value.type = tensor->type;
    value.shape = tensor->shape;
    value.shape_known = true;
    value.constant = std::move(tensor);
    return build_.graph.add_value(std::move(value));
  }

  // As tensor_reader.h: floats as float32, integers as int64.
  static Tensor canonical(const Tensor& tensor) {
    if (tensor.type == DType::kF32 || is_narrow(tensor.type)) return tensor;
    if (tensor.type != DType::kF64) return Tensor::from_i64(tensor.shape, tensor.to_i64());
    Tensor floats = Tensor::zeros(DType::kF32, tensor.shape);
    for (size_t i = 0; i < floats.f32().size(); ++i) {
      double wide;
      std::memcpy(&wide, tensor.data.data() + i * sizeof(wide), sizeof(wide));
      floats.f32()[i] = static_cast<float>(wide);
    }
    return floats;
  }

  Status add_constants() {
    for (const onnx::TensorProto& proto : source_.proto->initializer()) {
      if (options_.frozen_inputs.count(proto.name())) continue;
      std::string reason;
      TensorPtr tensor = source_.tensors.find(&proto, &reason);
      if (tensor != nullptr) {
        ids_[proto.name()] = add_shared(proto.name(), std::move(tensor));
      } else if (source_.consumed.count(proto.name())) {
        report(printable(proto.name()), "Initializer", reason);
      }
    }
    for (const auto& [name, tensor] : options_.frozen_inputs) {
      ids_[name] = build_.graph.add_const(printable(name), canonical(tensor));
    }
    return ok_status();
  }

  Status add_inputs() {
    for (const onnx::ValueInfoProto& input : source_.proto->input()) {
      if (ids_.count(input.name())) continue;
      CARREL_RETURN_IF_ERROR(add_input(input));
    }
    return ok_status();
  }

  Status add_input(const onnx::ValueInfoProto& input) {
    const std::string name = printable(input.name());
    if (!input.type().has_tensor_type()) {
      report(name, "Input", "not a tensor");
      return ok_status();
    }
    const int type = input.type().tensor_type().elem_type();
    Value value;
    value.name = input.name();
    value.shape_known = true;
    const size_t reported = unsupported_.size();
    CARREL_ASSIGN(value.shape, input_shape(input, name));
    if (unsupported_.size() != reported) return ok_status();
    const bool narrow = type == onnx::TensorProto::UINT8 || type == onnx::TensorProto::INT8;
    if (type != onnx::TensorProto::FLOAT && !narrow) {
      const std::string type_name = onnx::TensorProto_DataType_Name(type);
      report(name, "Input", "type " + (type_name.empty() ? std::to_string(type) : type_name));
      // The shape of an integer input may still be of use to what follows.
      if (type != onnx::TensorProto::INT64 && type != onnx::TensorProto::INT32) return ok_status();
      value.type = DType::kI64;
    }
    const ValueId id = build_.graph.add_value(std::move(value));
    build_.graph.inputs.push_back(id);
    ids_[input.name()] = narrow ? quantized_input(id, type) : id;
    return ok_status();
  }

  // Integers cross the boundary as floats.
  ValueId quantized_input(ValueId id, int type) {
    const bool is_signed = type == onnx::TensorProto::INT8;
    Value levels = build_.graph.value(id);
    levels.name += ".levels";
    levels.type = is_signed ? DType::kI8 : DType::kU8;
    Node node = unit_step(OpType::kQuantize, build_.graph.value(id).name, id);
    if (is_signed) node.attributes.ints["signed"] = {1};
    node.outputs = {build_.graph.add_value(std::move(levels))};
    build_.graph.add_node(node);
    return node.outputs[0];
  }

  // A kQuantize or kDequantize that changes no number.
  static Node unit_step(OpType op, const std::string& name, ValueId input) {
    Node node;
    node.op = op;
    node.name = name;
    node.inputs = {input};
    node.attributes.floats["scale"] = {1};
    node.attributes.ints["zero"] = {0};
    return node;
  }

  Result<Shape> input_shape(const onnx::ValueInfoProto& input, const std::string& name) {
    if (!input.type().tensor_type().has_shape()) {
      return Error(ErrorCode::kInvalidInput, "input %s: its shape is not given", name.c_str());
    }
    Shape shape;
    const onnx::TensorShapeProto& proto = input.type().tensor_type().shape();
    for (int i = 0; i < proto.dim_size(); ++i) {
      const onnx::TensorShapeProto::Dimension& dim = proto.dim(i);
      int64_t size = dim.has_dim_value() ? dim.dim_value() : 0;
      const auto symbol = options_.symbols.find(dim.dim_param());
      if (dim.has_dim_param() && symbol != options_.symbols.end()) size = symbol->second;
      if (i == 0 && batch_ > 0) size = batch_;
      if (dim.has_dim_value() && dim.dim_value() == 0) {
        report(name, "Input", "an empty tensor");
        return Shape{};
      }
      if (i == 0 && size <= 0) size = 1;  // an open leading dimension; some exporters write -1
      if (size < 1) {
        return Error(ErrorCode::kInvalidInput, "input %s: dimension %d (%s) has no positive size",
                     name.c_str(), i, printable(dim.dim_param()).c_str());
      }
      if (!shape.push_back(size)) {
        return Error(ErrorCode::kInvalidInput, "input %s: more than %d dimensions", name.c_str(),
                     Shape::kMaxRank);
      }
    }
    CARREL_RETURN_IF_ERROR(shape.element_count());
    return shape;
  }

  // Why the node cannot even be tried; empty if it can.
  std::string refuse(const onnx::NodeProto& proto, const OperatorEntry** entry) const {
    if (!proto.domain().empty() && proto.domain() != "ai.onnx") return "unknown domain";
    *entry = find_operator(proto.op_type());
    if (*entry == nullptr) return "unknown operator";
    if (source_.opset >= first_same_opset((*entry)->name)) return "";
    return "its definition of opset " + std::to_string(source_.opset);
  }

  Status add_node(const onnx::NodeProto& proto, int index) {
    const std::string label = node_label(proto, index);
    const OperatorEntry* entry = nullptr;
    if (const std::string reason = refuse(proto, &entry); !reason.empty()) {
      report(label, printable(proto.op_type()), reason);
      return ok_status();
    }
    if (proto.input_size() > entry->max_inputs || proto.output_size() < 1) {
      return Error(ErrorCode::kInvalidInput, "node %s: %s with %d inputs and %d outputs",
                   label.c_str(), entry->name, proto.input_size(), proto.output_size());
    }
    std::vector<ValueId> inputs;
    for (const std::string& name : proto.input()) {
      const auto it = ids_.find(name);
      // Follows from a node already reported.
      if (!name.empty() && it == ids_.end()) return ok_status();
      inputs.push_back(name.empty() ? kNoValue : entry->narrow ? it->second : widened(it->second));
    }
    for (int i = 0; i < entry->min_inputs; ++i) {
      if (static_cast<size_t>(i) >= inputs.size() || inputs[static_cast<size_t>(i)] == kNoValue) {
        return Error(ErrorCode::kInvalidInput, "node %s: %s without input %d", label.c_str(),
                     entry->name, i);
      }
    }
    NodeContext context(&build_, &proto, label, std::move(inputs));
    Status status = entry->handler(context);
    if (status.ok()) status = context.attribute_status();
    if (status.ok()) status = context.constants_status();
    if (!status.ok() && status.error().code() == ErrorCode::kUnsupported) {
      report(label, entry->name, status.error().message());
      return ok_status();
    }
    CARREL_RETURN_IF_ERROR(status);
    bind_outputs(proto, label, context.outputs());
    return ok_status();
  }

  // An int8 or uint8 constant as int64.
  ValueId widened(ValueId id) {
    const Value& value = build_.graph.value(id);
    if (!value.is_const() || !is_narrow(value.type)) return id;
    const auto [it, fresh] = widened_.emplace(id, kNoValue);
    if (fresh) {
      const Tensor wide = Tensor::from_i64(value.shape, value.constant->to_i64());
      build_.folded_bytes += wide.data.size();
      it->second = build_.graph.add_const(value.name, wide);
    }
    return it->second;
  }

  void bind_outputs(const onnx::NodeProto& proto, const std::string& label,
                    const std::vector<ValueId>& outputs) {
    for (int i = 0; i < proto.output_size(); ++i) {
      const std::string& name = proto.output(i);
      const ValueId id = outputs[static_cast<size_t>(i)];
      if (name.empty()) continue;
      if (id != kNoValue) {
        Value& value = build_.graph.value(id);
        if (value.name.empty()) value.name = printable(name);
        ids_[name] = id;
      } else if (source_.consumed.count(name)) {
        report(label, proto.op_type(), "output " + std::to_string(i) + " is not supported");
      }
    }
  }

  // Every output has a producer and its own name; what is shared, constant or an input gets an
  // Identity.
  Status add_outputs() {
    Graph& graph = build_.graph;
    std::set<ValueId> taken(graph.inputs.begin(), graph.inputs.end());
    for (const onnx::ValueInfoProto& output : source_.proto->output()) {
      const auto it = ids_.find(output.name());
      if (it == ids_.end()) {
        return Error(ErrorCode::kInvalidInput, "graph output '%s' is not defined",
                     printable(output.name()).c_str());
      }
      ValueId id = it->second;
      const bool narrow = is_narrow(graph.value(id).type);
      if (graph.value(id).is_const()) id = widened(id);
      if (narrow || graph.value(id).is_const() || !taken.insert(id).second) {
        Value copy = graph.value(id);
        copy.constant = nullptr;
        Node identity = unit_step(OpType::kDequantize, printable(output.name()), id);
        if (is_narrow(copy.type)) {
          copy.type = DType::kF32;
        } else {
          identity.op = OpType::kIdentity;
          identity.attributes = {};
        }
        id = graph.add_value(std::move(copy));
        identity.outputs = {id};
        graph.add_node(std::move(identity));
      }
      graph.value(id).name = output.name();
      graph.outputs.push_back(id);
    }
    return ok_status();
  }

  void name_values() {
    for (const Node& node : build_.graph.nodes) {
      for (ValueId id : node.outputs) {
        Value& value = build_.graph.value(id);
        if (value.name.empty()) value.name = node.name + ".output";
      }
    }
  }

  Status drop_dead() {
    for (;;) {
      CARREL_ASSIGN(const Patch patch, remove_dead(build_.graph));
      if (patch.empty()) return ok_status();
      CARREL_RETURN_IF_ERROR(apply_patch(patch, &build_.graph));
    }
  }

  // Only float32 and uint8, and something of it, flows at run time.
  Status check_types() {
    for (const Node& node : build_.graph.nodes) {
      if (node.dead) continue;
      for (ValueId id : node.outputs) {
        const Value& value = build_.graph.value(id);
        if (value.type != DType::kF32 && value.type != DType::kU8) {
          report(node.name, op_name(node.op), std::string("type ") + dtype_name(value.type));
        } else if (value.shape.count() == 0) {
          report(node.name, op_name(node.op), "an empty result");
        }
      }
    }
    return ok_status();
  }

  const Source& source_;
  const ImportOptions& options_;
  const int64_t batch_;
  std::vector<std::string>& unsupported_;
  Build build_;
  std::unordered_map<std::string, ValueId> ids_;
  std::unordered_map<ValueId, ValueId> widened_;
};

}  // namespace

Result<Graph> build_graph(const Source& source, const ImportOptions& options, int64_t batch,
                          std::vector<std::string>* unsupported) {
  return GraphBuilder(source, options, batch, unsupported).run();
}

}  // namespace carrel
