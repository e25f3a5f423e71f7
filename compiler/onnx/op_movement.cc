// Operators that move elements: Concat, Split, Slice, Pad, Transpose, Gather, DepthToSpace,
// SpaceToDepth.
#include <algorithm>

#include "compiler/graph/arity.h"
#include "compiler/onnx/node_context.h"

namespace carrel {
namespace {

// A constant without elements adds nothing beside `filled`, which fits it.
bool adds_nothing(const NodeContext& context, size_t i, int axis, Shape filled) {
  if (!context.is_const(i) || context.shape(i).count() != 0) return false;
  filled[axis] = 0;
  return context.shape(i) == filled;
}

Status import_concat(NodeContext& context) {
  if (!context.has_attribute("axis")) return context.invalid("axis is missing");
  CARREL_ASSIGN(const int axis,
                context.normal_axis(context.int_attribute("axis", 0), context.shape(0).rank()));
  size_t filled = 0;
  for (size_t i = 0; i < context.input_count(); ++i) {
    if (!context.has(i)) return context.invalid("input %zu is missing", i);
    if (context.shape(filled).count() == 0) filled = i;
  }
  Node node = context.make(OpType::kConcat, {});
  for (size_t i = 0; i < context.input_count(); ++i) {
    if (i != filled && adds_nothing(context, i, axis, context.shape(filled))) continue;
    node.inputs.push_back(context.input(i));
  }
  node.attributes.ints["axis"] = {axis};
  return context.finish(std::move(node));
}

// Equal parts; from opset 18 the last one may be smaller.
Result<std::vector<int64_t>> equal_parts(NodeContext& context, int64_t dim) {
  const auto count = static_cast<int64_t>(context.output_count());
  if (context.int_attribute("num_outputs", count) != count) {
    return context.invalid("num_outputs is not the number of its outputs");
  }
  if (context.opset() < 18 && dim % count != 0) {
    return context.invalid("%lld does not divide into %lld equal parts",
                           static_cast<long long>(dim), static_cast<long long>(count));
  }
  const int64_t part = (dim + count - 1) / count;
  std::vector<int64_t> sizes(static_cast<size_t>(count), part);
  sizes.back() = dim - part * (count - 1);
  return sizes;
}

Status import_split(NodeContext& context) {
  const Shape& x = context.shape(0);
  CARREL_ASSIGN(const int axis, context.normal_axis(context.int_attribute("axis", 0), x.rank()));
  if (context.output_count() < 1 || context.output_count() > kMaxNodeValues) {
    return context.invalid("it has %zu outputs", context.output_count());
  }
  CARREL_ASSIGN(std::vector<int64_t> sizes, context.ints_at("split", 13, 1));
  if (sizes.empty()) {
    CARREL_ASSIGN(sizes, equal_parts(context, x[axis]));
  }
  Node node = context.make(OpType::kSplit, {context.input(0)});
  node.attributes.ints["axis"] = {axis};
  node.attributes.ints["split"] = std::move(sizes);
  CARREL_ASSIGN(const std::vector<ValueId> parts,
                context.emit_many(std::move(node), context.output_count()));
  for (size_t i = 0; i < parts.size(); ++i) context.set_output(i, parts[i]);
  return ok_status();
}

struct SliceLists {
  std::vector<int64_t> starts, ends, axes, steps;
};

Result<SliceLists> read_slice(NodeContext& context) {
  SliceLists lists;
  if (context.opset() >= 10) {
    CARREL_ASSIGN(lists.starts, context.const_ints(1, "starts"));
    CARREL_ASSIGN(lists.ends, context.const_ints(2, "ends"));
  } else {
    lists.starts = context.ints_attribute("starts");
    lists.ends = context.ints_attribute("ends");
  }
  CARREL_ASSIGN(lists.axes, context.ints_at("axes", 10, 3));
  if (context.opset() >= 10) {
    CARREL_ASSIGN(lists.steps, context.ints_at("steps", 10, 4));
  }
  if (lists.axes.empty()) {
    for (size_t i = 0; i < lists.starts.size(); ++i) lists.axes.push_back(static_cast<int64_t>(i));
  }
  if (lists.steps.empty()) lists.steps.assign(lists.starts.size(), 1);
  if (lists.ends.size() != lists.starts.size() || lists.axes.size() != lists.starts.size() ||
      lists.steps.size() != lists.starts.size()) {
    return context.invalid("starts, ends, axes and steps differ in length");
  }
  return lists;
}

// Negative positions count from the end; then both are clamped to what exists.
void clamp_range(int64_t dim, int64_t step, int64_t* start, int64_t* end) {
  if (*start < 0) *start += dim;
  if (*end < 0) *end += dim;
  if (step > 0) {
    *start = std::clamp<int64_t>(*start, 0, dim);
    *end = std::clamp<int64_t>(*end, 0, dim);
  } else {
    *start = std::clamp<int64_t>(*start, -1, dim - 1);
    *end = std::clamp<int64_t>(*end, -1, dim - 1);
    if (*start < 0) *end = *start;
  }
}

Status import_slice(NodeContext& context) {
  const Shape& x = context.shape(0);
  CARREL_ASSIGN(SliceLists lists, read_slice(context));
  for (size_t i = 0; i < lists.starts.size(); ++i) {
    CARREL_ASSIGN(const int axis, context.normal_axis(lists.axes[i], x.rank()));
    lists.axes[i] = axis;
    int64_t& step = lists.steps[i];
    if (step == 0) return context.invalid("a step is 0");
    // Longer steps reach nothing either.
    const int64_t longest = std::max<int64_t>(std::min(x[axis], int64_t{1} << 31), 1);
    step = std::clamp(step, -longest, longest);
    clamp_range(x[axis], step, &lists.starts[i], &lists.ends[i]);
  }
  Node node = context.make(OpType::kSlice, {context.input(0)});
  node.attributes.ints["starts"] = std::move(lists.starts);
  node.attributes.ints["ends"] = std::move(lists.ends);
  node.attributes.ints["axes"] = std::move(lists.axes);
  node.attributes.ints["steps"] = std::move(lists.steps);
  return context.finish(std::move(node));
}

Result<std::vector<int64_t>> read_pads(NodeContext& context) {
  const auto rank = static_cast<size_t>(context.shape(0).rank());
  CARREL_ASSIGN(std::vector<int64_t> given, context.ints_at("pads", 11, 1));
  std::vector<int64_t> axes;
  if (context.opset() >= 18 && context.has(3)) {
    CARREL_ASSIGN(axes, context.const_ints(3, "axes"));
  } else {
    for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (given.size() != 2 * axes.size()) {
    return context.invalid("pads has %zu entries for %zu dimensions", given.size(), axes.size());
  }
  std::vector<int64_t> pads(2 * rank, 0);
  for (size_t i = 0; i < axes.size(); ++i) {
    CARREL_ASSIGN(const int axis, context.normal_axis(axes[i], static_cast<int>(rank)));
    pads[static_cast<size_t>(axis)] = given[i];
    pads[static_cast<size_t>(axis) + rank] = given[i + axes.size()];
  }
  return pads;
}

Result<float> read_pad_value(NodeContext& context) {
  if (context.opset() < 11) return context.float_attribute("value", 0);
  if (!context.has(2)) return 0.0f;
  if (context.is_const(2) && context.in(2).type == DType::kI64) {
    CARREL_ASSIGN(const std::vector<int64_t> value, context.const_ints(2, "constant_value"));
    if (value.size() != 1) return context.invalid("constant_value is not a scalar");
    return static_cast<float>(value[0]);
  }
  CARREL_ASSIGN(const std::vector<float> value, context.const_floats(2, "constant_value"));
  if (value.size() != 1) return context.invalid("constant_value is not a scalar");
  return value[0];
}

Status import_pad(NodeContext& context) {
  const std::string mode = context.string_attribute("mode", "constant");
  const char* const kModes[] = {"constant", "reflect", "edge"};
  const auto found = std::find(std::begin(kModes), std::end(kModes), mode);
  if (found == std::end(kModes)) return context.unsupported("mode '%s'", mode.c_str());
  Node node = context.make(OpType::kPad, {context.input(0)});
  node.attributes.ints["mode"] = {found - std::begin(kModes)};
  CARREL_ASSIGN(node.attributes.ints["pads"], read_pads(context));
  CARREL_ASSIGN(const float value, read_pad_value(context));
  node.attributes.floats["value"] = {value};
  return context.finish(std::move(node));
}

Status import_transpose(NodeContext& context) {
  Node node = context.make(OpType::kTranspose, {context.input(0)});
  std::vector<int64_t> perm = context.ints_attribute("perm");
  if (perm.empty()) {
    for (int i = context.shape(0).rank(); i-- > 0;) perm.push_back(i);
  }
  node.attributes.ints["perm"] = std::move(perm);
  return context.finish(std::move(node));
}

Status import_gather(NodeContext& context) {
  const Shape& x = context.shape(0);
  CARREL_ASSIGN(const int axis, context.normal_axis(context.int_attribute("axis", 0), x.rank()));
  CARREL_ASSIGN(std::vector<int64_t> indices, context.const_ints(1, "indices"));
  ValueId indices_id = context.input(1);
  bool negative = false;
  for (int64_t& index : indices) {
    if (index < -x[axis] || index >= x[axis]) return context.invalid("an index is out of range");
    negative |= index < 0;
    if (index < 0) index += x[axis];
  }
  if (negative) indices_id = context.add_const(Tensor::from_i64(context.shape(1), indices));
  Node node = context.make(OpType::kGather, {context.input(0), indices_id});
  node.attributes.ints["axis"] = {axis};
  return context.finish(std::move(node));
}

Status import_depth_to_space(NodeContext& context) {
  const std::string mode = context.string_attribute("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") return context.invalid("mode is '%s'", mode.c_str());
  Node node = context.make(OpType::kDepthToSpace, {context.input(0)});
  node.attributes.ints["blocksize"] = {context.int_attribute("blocksize", 0)};
  node.attributes.ints["mode"] = {mode == "CRD"};
  return context.finish(std::move(node));
}

Status import_space_to_depth(NodeContext& context) {
  Node node = context.make(OpType::kSpaceToDepth, {context.input(0)});
  node.attributes.ints["blocksize"] = {context.int_attribute("blocksize", 0)};
  return context.finish(std::move(node));
}

constexpr OperatorEntry kOperators[] = {
    {"Concat", import_concat, 1, kMaxNodeValues},
    {"Split", import_split, 1, 2},
    {"Slice", import_slice, 1, 5},
    {"Pad", import_pad, 1, 4},
    {"Transpose", import_transpose, 1, 1},
    {"Gather", import_gather, 2, 2},
    {"DepthToSpace", import_depth_to_space, 1, 1},
    {"SpaceToDepth", import_space_to_depth, 1, 1},
};

}  // namespace

std::span<const OperatorEntry> movement_operators() { return kOperators; }

}  // namespace carrel
