// Canonical operators as ONNX nodes of opset 17.
#include <algorithm>

#include "compiler/onnx/exporter.h"

namespace carrel {
namespace {

using AttributeProto = onnx::AttributeProto;

AttributeProto* add_attribute(onnx::NodeProto* node, const std::string& name,
                              AttributeProto::AttributeType type) {
  AttributeProto* attribute = node->add_attribute();
  attribute->set_name(name);
  attribute->set_type(type);
  return attribute;
}

void set_int(onnx::NodeProto* node, const std::string& name, int64_t value) {
  add_attribute(node, name, AttributeProto::INT)->set_i(value);
}

void set_float(onnx::NodeProto* node, const std::string& name, float value) {
  add_attribute(node, name, AttributeProto::FLOAT)->set_f(value);
}

void set_string(onnx::NodeProto* node, const std::string& name, const char* value) {
  add_attribute(node, name, AttributeProto::STRING)->set_s(value);
}

void set_ints(onnx::NodeProto* node, const std::string& name, const std::vector<int64_t>& values) {
  AttributeProto* attribute = add_attribute(node, name, AttributeProto::INTS);
  for (int64_t value : values) attribute->add_ints(value);
}

// Attributes that ONNX has under the same name and form.
struct Plain {
  std::vector<const char*> lists;  // ints
  std::vector<const char*> ints;
  std::vector<const char*> floats;
};

Plain plain_attributes(OpType op) {
  switch (op) {
    case OpType::kConv:
      return {{"strides", "pads", "dilations"}, {"group"}, {}};
    case OpType::kConvTranspose:
      return {{"strides", "dilations", "output_padding"}, {"group"}, {}};
    case OpType::kGemm:
      return {{}, {"transA", "transB"}, {"alpha", "beta"}};
    case OpType::kBatchNorm:
    case OpType::kInstanceNorm:
      return {{}, {}, {"epsilon"}};
    case OpType::kLayerNorm:
      return {{}, {"axis"}, {"epsilon"}};
    case OpType::kLrn:
      return {{}, {"size"}, {"alpha", "beta", "bias"}};
    case OpType::kSoftmax:
    case OpType::kLogSoftmax:
    case OpType::kConcat:
    case OpType::kSplit:
    case OpType::kGather:
      return {{}, {"axis"}, {}};
    case OpType::kReduceMean:
    case OpType::kReduceMax:
    case OpType::kReduceMin:
    case OpType::kReduceProd:
      return {{"axes"}, {"keepdims"}, {}};
    case OpType::kReduceSum:
      return {{}, {"keepdims"}, {}};
    case OpType::kTranspose:
      return {{"perm"}, {}, {}};
    case OpType::kDepthToSpace:
    case OpType::kSpaceToDepth:
      return {{}, {"blocksize"}, {}};
    default:
      return {};
  }
}

}  // namespace

std::string Exporter::output_of(onnx::NodeProto* node) {
  const std::string name = fresh_name(node->name() + ".result");
  node->add_output(name);
  return name;
}

onnx::NodeProto* Exporter::write_binary(const char* op, const std::string& node_name,
                                        const std::string& a, const std::string& b) {
  onnx::NodeProto* node = add_node(op, node_name);
  node->add_input(a);
  node->add_input(b);
  return node;
}

// Gelu is an operator only from opset 20 on: x/2 (1 + erf(x / sqrt 2)), or tanh(sqrt(2/pi) (x +
// 0.044715 x^3)).
Result<onnx::NodeProto*> Exporter::write_gelu(const Unary& function, const std::string& in,
                                              const std::string& node_name) {
  const auto constant = [&](float value) { return float_list(node_name + ".c", {value}, true); };
  std::string gate;
  if (function.fn == UnaryFn::kGelu) {
    gate = output_of(write_binary("Mul", node_name + ".scaled", in, constant(0.70710678f)));
  } else {
    const std::string square = output_of(write_binary("Mul", node_name + ".square", in, in));
    const std::string weighted =
        output_of(write_binary("Mul", node_name + ".weighted", square, constant(0.044715f)));
    const std::string factor =
        output_of(write_binary("Add", node_name + ".factor", weighted, constant(1)));
    const std::string inner = output_of(write_binary("Mul", node_name + ".inner", factor, in));
    gate = output_of(write_binary("Mul", node_name + ".scaled", inner, constant(0.7978845608f)));
  }
  onnx::NodeProto* bend =
      add_node(function.fn == UnaryFn::kGelu ? "Erf" : "Tanh", node_name + ".bend");
  bend->add_input(gate);
  const std::string open =
      output_of(write_binary("Add", node_name + ".open", output_of(bend), constant(1)));
  const std::string half = output_of(write_binary("Mul", node_name + ".half", in, constant(0.5f)));
  return write_binary("Mul", node_name, half, open);
}

Result<onnx::NodeProto*> Exporter::write_unary(const Unary& function, const std::string& in,
                                               const std::string& node_name) {
  const char* op = nullptr;
  switch (function.fn) {
    case UnaryFn::kRelu:
      op = "Relu";
      break;
    case UnaryFn::kLeakyRelu:
      op = "LeakyRelu";
      break;
    case UnaryFn::kClip:
      op = "Clip";
      break;
    case UnaryFn::kSigmoid:
      op = "Sigmoid";
      break;
    case UnaryFn::kHardSigmoid:
      op = "HardSigmoid";
      break;
    case UnaryFn::kHardSwish:
      op = "HardSwish";
      break;
    case UnaryFn::kTanh:
      op = "Tanh";
      break;
    case UnaryFn::kElu:
      op = "Elu";
      break;
    case UnaryFn::kSelu:
      op = "Selu";
      break;
    case UnaryFn::kSoftplus:
      op = "Softplus";
      break;
    case UnaryFn::kErf:
      op = "Erf";
      break;
    case UnaryFn::kSqrt:
      op = "Sqrt";
      break;
    case UnaryFn::kExp:
      op = "Exp";
      break;
    case UnaryFn::kLog:
      op = "Log";
      break;
    case UnaryFn::kNeg:
      op = "Neg";
      break;
    case UnaryFn::kAbs:
      op = "Abs";
      break;
    case UnaryFn::kReciprocal:
      op = "Reciprocal";
      break;
    case UnaryFn::kGelu:
    case UnaryFn::kGeluTanh:
      return write_gelu(function, in, node_name);
    case UnaryFn::kSwish: {
      onnx::NodeProto* sigmoid = add_node("Sigmoid", node_name + ".gate");
      sigmoid->add_input(in);
      return write_binary("Mul", node_name, in, output_of(sigmoid));
    }
    case UnaryFn::kNone:
    case UnaryFn::kCount:
      break;
  }
  if (op == nullptr)
    return Error(ErrorCode::kUnsupported, "node %s: no ONNX form", node_name.c_str());
  onnx::NodeProto* node = add_node(op, node_name);
  node->add_input(in);
  if (function.fn == UnaryFn::kClip) {
    node->add_input(float_list(node_name + ".min", {function.a}, true));
    node->add_input(float_list(node_name + ".max", {function.b}, true));
  }
  const bool has_alpha = function.fn == UnaryFn::kLeakyRelu || function.fn == UnaryFn::kElu ||
                         function.fn == UnaryFn::kSelu || function.fn == UnaryFn::kHardSigmoid;
  if (has_alpha) set_float(node, "alpha", function.a);
  if (function.fn == UnaryFn::kSelu) set_float(node, "gamma", function.b);
  if (function.fn == UnaryFn::kHardSigmoid) set_float(node, "beta", function.b);
  return node;
}

// Lists that opset 17 takes as inputs.
void Exporter::write_list_inputs(const Node& node, onnx::NodeProto* proto) {
  const Attributes& attributes = node.attributes;
  switch (node.op) {
    case OpType::kReduceSum:
      proto->add_input(int_list(node.name + ".axes", attributes.int_list("axes")));
      if (attributes.int_list("axes").empty()) set_int(proto, "noop_with_empty_axes", 1);
      break;
    case OpType::kSplit:
      proto->add_input(int_list(node.name + ".split", attributes.int_list("split")));
      break;
    case OpType::kSlice: {
      std::vector<int64_t> ends = attributes.int_list("ends");
      const std::vector<int64_t>& axes = attributes.int_list("axes");
      for (size_t i = 0; i < ends.size(); ++i) {
        // -1 would count from the end in ONNX; what lies below every dimension means "before
        // element 0".
        if (ends[i] < 0) ends[i] = INT64_MIN;
        // The whole batch, however large.
        if (axes[i] == 0 && graph_.batch != 1) ends[i] = INT64_MAX;
      }
      proto->add_input(int_list(node.name + ".starts", attributes.int_list("starts")));
      proto->add_input(int_list(node.name + ".ends", ends));
      proto->add_input(int_list(node.name + ".axes", attributes.int_list("axes")));
      proto->add_input(int_list(node.name + ".steps", attributes.int_list("steps")));
      break;
    }
    case OpType::kPad:
      proto->add_input(int_list(node.name + ".pads", attributes.int_list("pads")));
      proto->add_input(float_list(node.name + ".value", {attributes.float_or("value", 0)}, true));
      break;
    case OpType::kReshape: {
      std::vector<int64_t> shape = attributes.int_list("shape");
      // One image per batch entry: the leading dimension follows the input's.
      const Shape& in = graph_.value(node.inputs[0]).shape;
      const bool batched = graph_.batch != 1 && !graph_.value(node.inputs[0]).is_const();
      if (batched && !shape.empty() && shape[0] == 1 && in.rank() > 0 && in[0] == 1)
        shape[0] = 0;
      else if (!shape.empty())
        set_int(proto, "allowzero", 1);
      proto->add_input(int_list(node.name + ".shape", shape));
      break;
    }
    case OpType::kExpand:
      proto->add_input(int_list(node.name + ".shape", attributes.int_list("shape")));
      break;
    default:
      break;
  }
}

Status Exporter::write_pool(const Node& node, onnx::NodeProto* proto) {
  const Attributes& attributes = node.attributes;
  set_ints(proto, "kernel_shape", attributes.int_list("kernel_shape"));
  for (const char* name : {"strides", "dilations"}) {
    const std::vector<int64_t>& list = attributes.int_list(name);
    if (list.empty()) continue;
    const bool average = node.op == OpType::kAveragePool && std::string(name) == "dilations";
    for (int64_t entry : list) {
      if (average && entry != 1) {
        return Error(ErrorCode::kUnsupported, "node %s: dilated AveragePool needs opset 19",
                     node.name.c_str());
      }
    }
    if (!average) set_ints(proto, name, list);
  }
  const std::vector<int64_t>& pads = attributes.int_list("pads");
  const std::vector<int64_t>& counted = attributes.int_list("pads_counted");
  const bool include = attributes.int_or("count_include_pad", 0) != 0;
  // Pads beyond the counted ones come from ceil_mode.
  const bool ceil =
      node.op == OpType::kAveragePool && include && !counted.empty() && counted != pads;
  if (!pads.empty()) set_ints(proto, "pads", ceil ? counted : pads);
  if (ceil) set_int(proto, "ceil_mode", 1);
  if (include) set_int(proto, "count_include_pad", 1);
  return ok_status();
}

// BatchNormalization with mean 0, variance 1 and epsilon 0 is X * scale + shift.
Status Exporter::write_affine(const Node& node, onnx::NodeProto* proto) {
  const auto channels = static_cast<size_t>(graph_.value(node.inputs[0]).shape[1]);
  proto->add_input(float_list(node.name + ".mean", std::vector<float>(channels, 0), false));
  proto->add_input(float_list(node.name + ".var", std::vector<float>(channels, 1), false));
  set_float(proto, "epsilon", 0);
  return ok_status();
}

// Scale and zero point as inputs; the zero point has the levels' type.
void Exporter::write_levels(const Node& node, onnx::NodeProto* proto) {
  const bool constant = node.op == OpType::kDequantizeConst;
  const Value& levels =
      graph_.value(node.op == OpType::kQuantize ? node.outputs[0] : node.inputs[0]);
  Tensor zero = Tensor::zeros(levels.type, Shape{});
  if (constant) {
    const Tensor& given = *graph_.value(node.inputs[2]).constant;
    zero = Tensor::zeros(levels.type, given.shape);
    const std::vector<int64_t> zeros = given.to_i64();
    // Little-endian: the low bytes are the narrower integer.
    const size_t size = dtype_size(levels.type);
    for (size_t i = 0; i < zeros.size(); ++i)
      std::memcpy(zero.data.data() + i * size, &zeros[i], size);
    set_int(proto, "axis", node.attributes.int_or("axis", 0));
  } else {
    zero.data[0] = static_cast<std::byte>(node.attributes.int_or("zero", 0));
    proto->add_input(
        float_list(node.name + ".scale", {node.attributes.float_or("scale", 1)}, true));
  }
  proto->add_input(fresh_name(node.name + ".zero"));
  write_tensor(zero, proto->input(proto->input_size() - 1));
}

Status Exporter::write_resize(const Node& node, onnx::NodeProto* proto) {
  const Attributes& attributes = node.attributes;
  const char* const kModes[] = {"nearest", "linear"};
  const char* const kCoordinates[] = {"half_pixel", "asymmetric", "align_corners",
                                      "pytorch_half_pixel"};
  const char* const kNearest[] = {"round_prefer_floor", "floor", "ceil", "round_prefer_ceil"};
  set_string(proto, "mode", kModes[attributes.int_or("mode", 0)]);
  set_string(proto, "coordinate_transformation_mode",
             kCoordinates[attributes.int_or("coordinate", 0)]);
  set_string(proto, "nearest_mode", kNearest[attributes.int_or("nearest", 0)]);
  const std::vector<int64_t>& sizes = attributes.int_list("output_shape");
  const std::vector<float>& scales = attributes.floats.at("scales");
  const Shape& in = graph_.value(node.inputs[0]).shape;
  bool scaled = true;  // the sizes follow from the scales
  for (size_t i = 0; i < sizes.size(); ++i) {
    const float size = static_cast<float>(in[static_cast<int>(i)]) * scales[i];
    scaled &= static_cast<int64_t>(size) == sizes[i];
  }
  proto->add_input("");
  if (scaled) {
    proto->add_input(float_list(node.name + ".scales", scales, false));
  } else {
    if (graph_.batch == 0) {
      return Error(ErrorCode::kUnsupported, "node %s: sizes of a symbolic batch",
                   node.name.c_str());
    }
    std::vector<int64_t> file_sizes = sizes;
    if (graph_.batch > 1) file_sizes[0] *= graph_.batch;
    proto->add_input("");
    proto->add_input(int_list(node.name + ".sizes", file_sizes));
  }
  return ok_status();
}

// Negative pads have no place in ONNX, but output_shape implies them: all of a negative total at
// the end.
Status Exporter::write_transposed_pads(const Node& node, onnx::NodeProto* proto) {
  const std::vector<int64_t>& pads = node.attributes.int_list("pads");
  bool negative = false;
  bool implied = true;  // output_shape alone gives these pads
  for (size_t i = 0; i < pads.size() / 2; ++i) {
    const int64_t begin = pads[i];
    const int64_t end = pads[i + pads.size() / 2];
    negative |= begin < 0 || end < 0;
    const int64_t trimmed = std::max<int64_t>(begin + end, 0);
    implied &= begin == trimmed - trimmed / 2;
  }
  if (!negative) {
    if (!pads.empty()) set_ints(proto, "pads", pads);
    return ok_status();
  }
  if (!implied) {
    return Error(ErrorCode::kUnsupported, "node %s: its negative pads have no ONNX form",
                 node.name.c_str());
  }
  const Shape& out = graph_.value(node.outputs[0]).shape;
  std::vector<int64_t> sizes;
  for (int i = 2; i < out.rank(); ++i) sizes.push_back(out[i]);
  set_ints(proto, "output_shape", sizes);
  return ok_status();
}

Status Exporter::write_attributes(const Node& node, onnx::NodeProto* proto) {
  const Attributes& attributes = node.attributes;
  const Plain plain = plain_attributes(node.op);
  for (const char* name : plain.lists) {
    const auto it = attributes.ints.find(name);
    if (it != attributes.ints.end() && !it->second.empty()) set_ints(proto, name, it->second);
  }
  for (const char* name : plain.ints) {
    const auto it = attributes.ints.find(name);
    if (it != attributes.ints.end() && !it->second.empty()) set_int(proto, name, it->second[0]);
  }
  for (const char* name : plain.floats) {
    const auto it = attributes.floats.find(name);
    if (it != attributes.floats.end() && !it->second.empty()) set_float(proto, name, it->second[0]);
  }
  write_list_inputs(node, proto);
  switch (node.op) {
    case OpType::kMaxPool:
    case OpType::kAveragePool:
      return write_pool(node, proto);
    case OpType::kConvTranspose:
      return write_transposed_pads(node, proto);
    case OpType::kAffine:
      return write_affine(node, proto);
    case OpType::kResize:
      return write_resize(node, proto);
    case OpType::kQuantize:
    case OpType::kDequantize:
    case OpType::kDequantizeConst:
      write_levels(node, proto);
      return ok_status();
    case OpType::kPad: {
      const char* const kModes[] = {"constant", "reflect", "edge"};
      set_string(proto, "mode", kModes[attributes.int_or("mode", 0)]);
      return ok_status();
    }
    case OpType::kDepthToSpace:
      set_string(proto, "mode", attributes.int_or("mode", 0) != 0 ? "CRD" : "DCR");
      return ok_status();
    default:
      return ok_status();
  }
}

Result<onnx::NodeProto*> Exporter::write_operator(const Node& node) {
  if (node.op == OpType::kUnary) {
    return write_unary(node.activation, name(node.inputs[0]), node.name);
  }
  if (node.op >= OpType::kQConv) {
    return Error(ErrorCode::kUnsupported, "node %s: fused quantized operators have no ONNX form",
                 node.name.c_str());
  }
  const char* op = node.op == OpType::kAffine            ? "BatchNormalization"
                   : node.op == OpType::kDequantizeConst ? "DequantizeLinear"
                                                         : op_name(node.op);
  std::vector<std::string> inputs;
  // A constant's zero point is written in its levels' type.
  const size_t count = node.op == OpType::kDequantizeConst ? 2 : node.inputs.size();
  for (size_t i = 0; i < count; ++i) inputs.push_back(name(node.inputs[i]));
  onnx::NodeProto* proto = add_node(op, node.name);
  for (const std::string& input : inputs) proto->add_input(input);
  CARREL_RETURN_IF_ERROR(write_attributes(node, proto));
  return proto;
}

Status Exporter::write_node(const Node& node) {
  CARREL_ASSIGN(onnx::NodeProto * proto, write_operator(node));
  const bool fused = node.op != OpType::kUnary && node.activation.fn != UnaryFn::kNone;
  if (fused) {
    CARREL_ASSIGN(proto, write_unary(node.activation, output_of(proto), node.name + ".activation"));
  }
  for (ValueId id : node.outputs) proto->add_output(name(id));
  return ok_status();
}

}  // namespace carrel
