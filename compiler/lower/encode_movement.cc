// Operators that move elements.
#include "compiler/lower/encoder.h"

#include <algorithm>

namespace carrel {

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

}  // namespace carrel
