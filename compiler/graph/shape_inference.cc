#include "compiler/graph/shape_inference.h"

#include "compiler/graph/arity.h"
#include "compiler/graph/infer_internal.h"

namespace carrel {

std::string shape_text(const Shape& shape) {
  if (shape.rank() == 0) return "scalar";
  std::string text;
  for (int i = 0; i < shape.rank(); ++i) {
    if (i > 0) text += 'x';
    text += std::to_string(shape[i]);
  }
  return text;
}

Error Inference::fail(const char* reason) const {
  std::string shapes;
  for (size_t i = 0; i < node_.inputs.size() && i < 4; ++i) {
    if (i > 0) shapes += ", ";
    shapes += has(i) ? shape_text(shape(i)) : "-";
  }
  return Error(ErrorCode::kInvalidInput, "node %s: %s of %s: %s", node_.name.c_str(),
               op_name(node_.op), shapes.c_str(), reason);
}

Status Inference::set(size_t i, DType type, const Shape& shape) {
  const Result<uint64_t> count = shape.element_count();
  if (!count.ok()) return fail("the result is too large");
  Value& output = outputs_[i];
  output.type = type;
  output.shape = shape;
  output.shape_known = true;
  return ok_status();
}

Status Inference::require_float(size_t first) const {
  for (size_t i = first; i < node_.inputs.size(); ++i) {
    if (has(i) && in(i).type != DType::kF32) {
      return Error(ErrorCode::kUnsupported, "node %s: %s of type %s", node_.name.c_str(),
                   op_name(node_.op), dtype_name(in(i).type));
    }
  }
  return ok_status();
}

Result<std::vector<int64_t>> Inference::list(const char* name, int count, int64_t fallback,
                                             int64_t low) const {
  const std::vector<int64_t>& given = node_.attributes.int_list(name);
  if (given.empty()) return std::vector<int64_t>(static_cast<size_t>(count), fallback);
  if (given.size() != static_cast<size_t>(count)) return fail(name);
  for (int64_t entry : given) {
    if (entry < low || entry >= kMaxWindow) return fail(name);
  }
  return given;
}

Result<int> Inference::axis(int limit) const {
  const int64_t axis = node_.attributes.int_or("axis", -1);
  if (axis < 0 || axis >= limit) return fail("axis is out of range");
  return static_cast<int>(axis);
}

Result<Shape> broadcast_shapes(const Shape& a, const Shape& b) {
  Shape result;
  result.resize(std::max(a.rank(), b.rank()));
  for (int i = 0; i < result.rank(); ++i) {
    const int ia = i - (result.rank() - a.rank());
    const int ib = i - (result.rank() - b.rank());
    const int64_t da = ia < 0 ? 1 : a[ia];
    const int64_t db = ib < 0 ? 1 : b[ib];
    if (da != db && da != 1 && db != 1) {
      return Error(ErrorCode::kInvalidInput, "shapes %s and %s do not broadcast",
                   shape_text(a).c_str(), shape_text(b).c_str());
    }
    result[i] = da == 1 ? db : da;
  }
  return result;
}

namespace {

Status dispatch(Inference& inference) {
  switch (inference.node().op) {
    case OpType::kConv:
    case OpType::kConvTranspose:
      return infer_conv(inference);
    case OpType::kMaxPool:
    case OpType::kAveragePool:
    case OpType::kGlobalAveragePool:
    case OpType::kGlobalMaxPool:
      return infer_pool(inference);
    case OpType::kGemm:
    case OpType::kMatMul:
      return infer_matrix(inference);
    case OpType::kReduceMean:
    case OpType::kReduceSum:
    case OpType::kReduceMax:
    case OpType::kReduceMin:
    case OpType::kReduceProd:
      return infer_reduce(inference);
    case OpType::kConcat:
    case OpType::kSplit:
    case OpType::kSlice:
    case OpType::kPad:
    case OpType::kReshape:
    case OpType::kTranspose:
    case OpType::kExpand:
    case OpType::kGather:
      return infer_movement(inference);
    case OpType::kResize:
    case OpType::kDepthToSpace:
    case OpType::kSpaceToDepth:
      return infer_resample(inference);
    case OpType::kQuantize:
    case OpType::kDequantize:
    case OpType::kDequantizeConst:
    case OpType::kQConv:
    case OpType::kQGemm:
    case OpType::kQAdd:
    case OpType::kQAveragePool:
    case OpType::kQGlobalAveragePool:
    case OpType::kQConcat:
      return infer_quantized(inference);
    case OpType::kCount:
      return inference.fail("unknown operator");
    default:
      return infer_elementwise(inference);
  }
}

}  // namespace

Status infer_node(const Graph& graph, const Node& node, std::vector<Value>* outputs) {
  outputs->assign(node.outputs.size(), Value{});
  Inference inference(graph, node, outputs);
  const Arity arity = op_arity(node.op);
  const int inputs = static_cast<int>(node.inputs.size());
  if (inputs < arity.min_inputs || inputs > arity.max_inputs || outputs->empty() ||
      static_cast<int>(outputs->size()) > arity.max_outputs) {
    return inference.fail("wrong number of inputs or outputs");
  }
  for (int i = 0; i < inputs; ++i) {
    const ValueId id = node.inputs[static_cast<size_t>(i)];
    if (id == kNoValue) {
      if (i < arity.min_inputs) return inference.fail("a required input is missing");
    } else if (!graph.value(id).shape_known) {
      return inference.fail("the shape of an input is unknown");
    }
  }
  CARREL_RETURN_IF_ERROR(dispatch(inference));
  for (size_t i = 0; i < outputs->size(); ++i) {
    if (node.outputs[i] != kNoValue) (*outputs)[i].name = graph.value(node.outputs[i]).name;
  }
  return ok_status();
}

Status infer_shapes(Graph* graph) {
  CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(*graph));
  std::vector<Value> outputs;
  for (NodeId n : order) {
    const Node& node = graph->node(n);
    CARREL_RETURN_IF_ERROR(infer_node(*graph, node, &outputs));
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) continue;
      Value& value = graph->value(node.outputs[i]);
      value.type = outputs[i].type;
      value.shape = outputs[i].shape;
      value.shape_known = true;
    }
  }
  return ok_status();
}

}  // namespace carrel
