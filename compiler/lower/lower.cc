#include "compiler/lower/lower.h"

#include <algorithm>

namespace carrel {
namespace {

Error invalid(const Node& node, const char* what) {
  return Error(ErrorCode::kInvalidInput, "%s (%s): %s", node.name.c_str(), op_name(node.op), what);
}
Error unsupported(const Node& node, const char* what) {
  return Error(ErrorCode::kUnsupported, "%s (%s): %s", node.name.c_str(), op_name(node.op), what);
}

class Encoder {
 public:
  Encoder(const Graph& graph, const Node& node) : graph_(graph), node_(node) {
    out_.activation = node.activation;
    out_.inputs = node.inputs;
  }

  Result<PlainEncoding> encode() {
    if (node_.op >= OpType::kCount) return invalid(node_, "no such operator");
    for (ValueId id : node_.inputs) {
      const bool known = id >= 0 && static_cast<size_t>(id) < graph_.values.size();
      if (id != kNoValue && !known) return invalid(node_, "an input does not exist");
      if (known && !graph_.value(id).shape_known)
        return invalid(node_, "the shape of an input is not known");
    }
    CARREL_RETURN_IF_ERROR(encode_op());
    if (out_.ints.size() > kMaxPlainInts || out_.floats.size() > kMaxPlainFloats) {
      return unsupported(node_, "its list of numbers is too long");
    }
    if (out_.inputs.size() > kMaxPlainInputs) return unsupported(node_, "too many inputs");
    return std::move(out_);
  }

 private:
  Status encode_op();
  Status encode_windowed();
  Status encode_normalisation();
  Status encode_movement();
  Status windows(bool kernel);
  Status global_pool(PlainOp op);
  Status slice();
  Status gather();
  Status resize();
  Status encode_quantized();
  Status average_windows();
  Status global_qpool();

  Status simple(PlainOp op) {
    out_.op = op;
    return ok_status();
  }
  // An operator whose further inputs have become attributes.
  Status first_input_only(PlainOp op) {
    out_.op = op;
    if (out_.inputs.empty()) return invalid(node_, "needs an input");
    out_.inputs.erase(out_.inputs.begin() + 1, out_.inputs.end());
    return ok_status();
  }
  int rank(size_t input) const {
    if (input >= node_.inputs.size() || node_.inputs[input] == kNoValue) return 0;
    return graph_.value(node_.inputs[input]).shape.rank();
  }
  const Value* input(size_t i) const {
    if (i >= node_.inputs.size() || node_.inputs[i] == kNoValue) return nullptr;
    return &graph_.value(node_.inputs[i]);
  }
  void add_int(const char* name, int64_t fallback) {
    out_.ints.push_back(node_.attributes.int_or(name, fallback));
  }
  void add_each_int(std::initializer_list<const char*> names) {
    for (const char* name : names) add_int(name, 0);
  }
  void add_each_float(std::initializer_list<const char*> names) {
    for (const char* name : names) add_float(name, 1);
  }
  void add_float(const char* name, float fallback) {
    out_.floats.push_back(node_.attributes.float_or(name, fallback));
  }
  // `n` numbers, `fallback` where the attribute is absent.
  Status add_ints(const char* name, int n, int64_t fallback) {
    const std::vector<int64_t>& list = node_.attributes.int_list(name);
    if (list.empty()) {
      out_.ints.insert(out_.ints.end(), static_cast<size_t>(n), fallback);
    } else if (list.size() == static_cast<size_t>(n)) {
      out_.ints.insert(out_.ints.end(), list.begin(), list.end());
    } else {
      return invalid(node_, name);
    }
    return ok_status();
  }

  const Graph& graph_;
  const Node& node_;
  PlainEncoding out_;
};

Status Encoder::encode_op() {
  switch (node_.op) {
    case OpType::kUnary:
      return simple(PlainOp::kUnary);
    case OpType::kPRelu:
      return simple(PlainOp::kPRelu);
    case OpType::kAffine:
      return simple(PlainOp::kAffine);
    case OpType::kMatMul:
      return simple(PlainOp::kMatMul);
    case OpType::kAdd:
      return simple(PlainOp::kAdd);
    case OpType::kSub:
      return simple(PlainOp::kSub);
    case OpType::kMul:
      return simple(PlainOp::kMul);
    case OpType::kDiv:
      return simple(PlainOp::kDiv);
    case OpType::kPow:
      return simple(PlainOp::kPow);
    case OpType::kMax:
      return simple(PlainOp::kMax);
    case OpType::kMin:
      return simple(PlainOp::kMin);
    case OpType::kGemm:
      add_int("transA", 0);
      add_int("transB", 0);
      add_float("alpha", 1);
      add_float("beta", 1);
      return simple(PlainOp::kGemm);
    case OpType::kConv:
    case OpType::kConvTranspose:
    case OpType::kMaxPool:
    case OpType::kAveragePool:
    case OpType::kGlobalAveragePool:
    case OpType::kGlobalMaxPool:
      return encode_windowed();
    case OpType::kBatchNorm:
    case OpType::kInstanceNorm:
    case OpType::kLayerNorm:
    case OpType::kLrn:
    case OpType::kSoftmax:
    case OpType::kLogSoftmax:
    case OpType::kReduceMean:
    case OpType::kReduceSum:
    case OpType::kReduceMax:
    case OpType::kReduceMin:
    case OpType::kReduceProd:
      return encode_normalisation();
    case OpType::kGather:
      return gather();
    case OpType::kQuantize:
    case OpType::kDequantize:
    case OpType::kDequantizeConst:
    case OpType::kQConv:
    case OpType::kQGemm:
    case OpType::kQAdd:
    case OpType::kQAveragePool:
    case OpType::kQGlobalAveragePool:
    case OpType::kQConcat:
      return encode_quantized();
    default:
      return encode_movement();
  }
}

// strides, pads_begin, pads_end, dilations (after the kernel if `kernel`).
Status Encoder::windows(bool kernel) {
  const int s = rank(0) - 2;
  if (s < 1) return invalid(node_, "needs an input (N, C, spatial...)");
  if (s > 3) return unsupported(node_, "more than three spatial dimensions");
  if (kernel) {
    if (node_.attributes.int_list("kernel_shape").empty()) return invalid(node_, "kernel_shape");
    CARREL_RETURN_IF_ERROR(add_ints("kernel_shape", s, 1));
  }
  CARREL_RETURN_IF_ERROR(add_ints("strides", s, 1));
  CARREL_RETURN_IF_ERROR(add_ints("pads", 2 * s, 0));
  return add_ints("dilations", s, 1);
}

Status Encoder::global_pool(PlainOp op) {
  out_.ints.push_back(1);
  for (int axis = 2; axis < rank(0); ++axis) out_.ints.push_back(axis);
  return simple(op);
}

Status Encoder::average_windows() {
  CARREL_RETURN_IF_ERROR(windows(true));
  add_int("count_include_pad", 0);
  const bool own = !node_.attributes.int_list("pads_counted").empty();
  return add_ints(own ? "pads_counted" : "pads", 2 * (rank(0) - 2), 0);
}

Status Encoder::encode_windowed() {
  const int s = rank(0) - 2;
  switch (node_.op) {
    case OpType::kConv:
      add_int("group", 1);
      CARREL_RETURN_IF_ERROR(windows(false));
      return simple(PlainOp::kConv);
    case OpType::kConvTranspose:
      add_int("group", 1);
      CARREL_RETURN_IF_ERROR(windows(false));
      CARREL_RETURN_IF_ERROR(add_ints("output_padding", s, 0));
      return simple(PlainOp::kConvTranspose);
    case OpType::kMaxPool:
      CARREL_RETURN_IF_ERROR(windows(true));
      return simple(PlainOp::kMaxPool);
    case OpType::kAveragePool:
      CARREL_RETURN_IF_ERROR(average_windows());
      return simple(PlainOp::kAveragePool);
    case OpType::kGlobalAveragePool:
      return global_pool(PlainOp::kReduceMean);
    default:
      return global_pool(PlainOp::kReduceMax);
  }
}

Status Encoder::encode_normalisation() {
  const auto reduce = [this](PlainOp op) -> Status {
    add_int("keepdims", 1);
    const std::vector<int64_t>& axes = node_.attributes.int_list("axes");
    out_.ints.insert(out_.ints.end(), axes.begin(), axes.end());
    return first_input_only(op);
  };
  switch (node_.op) {
    case OpType::kBatchNorm:
      add_float("epsilon", 1e-5f);
      return simple(PlainOp::kBatchNorm);
    case OpType::kInstanceNorm:
      add_float("epsilon", 1e-5f);
      return simple(PlainOp::kInstanceNorm);
    case OpType::kLayerNorm:
      add_int("axis", rank(0) - 1);
      add_float("epsilon", 1e-5f);
      return simple(PlainOp::kLayerNorm);
    case OpType::kLrn:
      add_int("size", 1);
      add_float("alpha", 1e-4f);
      add_float("beta", 0.75f);
      add_float("bias", 1);
      return simple(PlainOp::kLrn);
    case OpType::kSoftmax:
      add_int("axis", rank(0) - 1);
      return simple(PlainOp::kSoftmax);
    case OpType::kLogSoftmax:
      add_int("axis", rank(0) - 1);
      return simple(PlainOp::kLogSoftmax);
    case OpType::kReduceMean:
      return reduce(PlainOp::kReduceMean);
    case OpType::kReduceSum:
      return reduce(PlainOp::kReduceSum);
    case OpType::kReduceMax:
      return reduce(PlainOp::kReduceMax);
    case OpType::kReduceMin:
      return reduce(PlainOp::kReduceMin);
    default:
      return reduce(PlainOp::kReduceProd);
  }
}

Status Encoder::encode_movement() {
  switch (node_.op) {
    case OpType::kConcat:
      add_int("axis", 0);
      return simple(PlainOp::kConcat);
    case OpType::kSplit:
      add_int("axis", 0);
      return first_input_only(PlainOp::kSplit);
    case OpType::kSlice:
      return slice();
    case OpType::kPad:
      add_int("mode", 0);
      CARREL_RETURN_IF_ERROR(add_ints("pads", 2 * rank(0), 0));
      add_float("value", 0);
      return first_input_only(PlainOp::kPad);
    case OpType::kTranspose:
      CARREL_RETURN_IF_ERROR(add_ints("perm", rank(0), 0));
      return first_input_only(PlainOp::kTranspose);
    case OpType::kExpand:
      return first_input_only(PlainOp::kExpand);
    case OpType::kResize:
      return resize();
    case OpType::kDepthToSpace:
      add_int("blocksize", 1);
      add_int("mode", 0);
      return simple(PlainOp::kDepthToSpace);
    case OpType::kSpaceToDepth:
      add_int("blocksize", 1);
      return simple(PlainOp::kSpaceToDepth);
    case OpType::kReshape:
    case OpType::kIdentity:
      return first_input_only(PlainOp::kReshape);
    default:
      return unsupported(node_, "no plain form");
  }
}

Status Encoder::encode_quantized() {
  switch (node_.op) {
    case OpType::kQuantize:
    case OpType::kDequantize:
      add_each_int({"zero"});
      add_each_float({"scale"});
      return simple(node_.op == OpType::kQuantize ? PlainOp::kQuantize : PlainOp::kDequantize);
    case OpType::kQConv:
      add_int("group", 1);
      CARREL_RETURN_IF_ERROR(windows(false));
      add_each_int({"x_zero", "y_zero", "y_low", "y_high"});
      add_each_float({"x_scale", "y_scale"});
      return simple(PlainOp::kQConv);
    case OpType::kQGemm:
      add_each_int({"x_zero", "y_zero", "y_low", "y_high"});
      add_each_float({"x_scale", "y_scale"});
      return simple(PlainOp::kQGemm);
    case OpType::kQAdd:
      add_each_int({"a_zero", "b_zero", "y_zero", "y_low", "y_high"});
      add_each_float({"a_scale", "b_scale", "y_scale"});
      return simple(PlainOp::kQAdd);
    case OpType::kQAveragePool:
      CARREL_RETURN_IF_ERROR(average_windows());
      add_each_int({"x_zero", "y_zero"});
      add_each_float({"x_scale", "y_scale"});
      return simple(PlainOp::kQAveragePool);
    case OpType::kQGlobalAveragePool:
      return global_qpool();
    case OpType::kQConcat: {
      add_each_int({"axis", "y_zero"});
      const int inputs = static_cast<int>(node_.inputs.size());
      CARREL_RETURN_IF_ERROR(add_ints("zeros", inputs, 0));
      add_each_float({"y_scale"});
      const auto scales = node_.attributes.floats.find("scales");
      if (scales == node_.attributes.floats.end()) return invalid(node_, "scales");
      out_.floats.insert(out_.floats.end(), scales->second.begin(), scales->second.end());
      return simple(PlainOp::kQConcat);
    }
    default:
      return unsupported(node_, "constants are dequantized ahead of time");
  }
}

// A window over everything.
Status Encoder::global_qpool() {
  const int s = rank(0) - 2;
  if (s < 1 || s > 3) return unsupported(node_, "needs one to three spatial dimensions");
  const Shape& x = input(0)->shape;
  for (int i = 0; i < s; ++i) out_.ints.push_back(x[i + 2]);
  const auto repeat = [this](int n, int64_t number) {
    out_.ints.insert(out_.ints.end(), static_cast<size_t>(n), number);
  };
  repeat(s, 1);          // strides
  repeat(2 * s, 0);      // pads
  repeat(s, 1);          // dilations
  repeat(1 + 2 * s, 0);  // count_include_pad, counted pads
  add_each_int({"x_zero", "y_zero"});
  add_each_float({"x_scale", "y_scale"});
  return simple(PlainOp::kQAveragePool);
}

Status Encoder::slice() {
  const auto& starts = node_.attributes.int_list("starts");
  const auto& axes = node_.attributes.int_list("axes");
  const auto& steps = node_.attributes.int_list("steps");
  if (axes.size() != starts.size() || (!steps.empty() && steps.size() != starts.size())) {
    return invalid(node_, "starts, axes and steps differ in length");
  }
  const size_t r = static_cast<size_t>(rank(0));
  out_.ints.assign(2 * r, 0);
  std::fill(out_.ints.begin() + static_cast<std::ptrdiff_t>(r), out_.ints.end(), 1);
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] < 0 || static_cast<size_t>(axes[i]) >= r) return invalid(node_, "axes");
    out_.ints[static_cast<size_t>(axes[i])] = starts[i];
    if (!steps.empty()) out_.ints[r + static_cast<size_t>(axes[i])] = steps[i];
  }
  return first_input_only(PlainOp::kSlice);
}

Status Encoder::resize() {
  add_int("mode", 0);
  add_int("coordinate", 0);
  add_int("nearest", 0);
  out_.floats.clear();
  const auto found = node_.attributes.floats.find("scales");
  if (found == node_.attributes.floats.end() ||
      found->second.size() != static_cast<size_t>(rank(0))) {
    return invalid(node_, "scales");
  }
  out_.floats = found->second;
  return first_input_only(PlainOp::kResize);
}

Status Encoder::gather() {
  add_int("axis", 0);
  const Value* data = input(0);
  const Value* indices = input(1);
  if (data == nullptr || indices == nullptr) return invalid(node_, "needs data and indices");
  out_.op = PlainOp::kGather;
  if (indices->is_const() && indices->constant->count() < kMaxPlainInts) {
    const int64_t axis = out_.ints[0];
    if (axis < 0 || axis >= rank(0)) return invalid(node_, "axis");
    const int64_t dim = data->shape[static_cast<int>(axis)];
    for (int64_t index : indices->constant->to_i64())
      out_.ints.push_back(index < 0 ? index + dim : index);
    out_.inputs.erase(out_.inputs.begin() + 1, out_.inputs.end());
    return ok_status();
  }
  if (data->is_const() && indices->is_const()) return ok_status();
  return unsupported(node_, indices->is_const()
                                ? "too many indices"
                                : "indices known only at run time would show in its addresses");
}

}  // namespace

Result<PlainEncoding> encode_plain(const Graph& graph, const Node& node) {
  return Encoder(graph, node).encode();
}

}  // namespace carrel
