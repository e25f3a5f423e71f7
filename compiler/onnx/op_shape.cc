// Operators that only change the shape: each becomes a Reshape or an Expand with a resolved shape.
#include <algorithm>

#include "compiler/graph/infer_internal.h"
#include "compiler/onnx/node_context.h"

namespace carrel {
namespace {

Status finish_reshape(NodeContext& context, std::vector<int64_t> dims) {
  if (dims.size() > Shape::kMaxRank) return context.unsupported("%zu dimensions", dims.size());
  Node node = context.make(OpType::kReshape, {context.input(0)});
  node.attributes.ints["shape"] = std::move(dims);
  return context.finish(std::move(node));
}

// A leading file batch, written out as a number, follows the batch that the graph is specialised
// to.
void specialise_batch(const NodeContext& context, std::vector<int64_t>* dims) {
  const Build& build = context.build();
  const Shape& x = context.shape(0);
  if (build.batch == build.file_batch || context.is_const(0) || dims->empty()) return;
  const bool batched = x.rank() > 0 && x[0] == build.batch;
  if (batched && (*dims)[0] == build.file_batch) (*dims)[0] = build.batch;
}

// 0: the input's dimension (unless allowzero); -1: whatever is left.
Status resolve_dims(NodeContext& context, bool allow_zero, std::vector<int64_t>* dims) {
  const Shape& x = context.shape(0);
  int64_t* open = nullptr;
  uint64_t known = 1;
  for (size_t i = 0; i < dims->size(); ++i) {
    int64_t& dim = (*dims)[i];
    if (dim == 0 && !allow_zero) {
      if (static_cast<int>(i) >= x.rank()) return context.invalid("its shape copies a missing dim");
      dim = x[static_cast<int>(i)];
    }
    if (dim < -1) return context.invalid("its shape has a negative entry");
    if (dim == -1) {
      if (open != nullptr) return context.invalid("its shape has more than one -1");
      open = &dim;
    } else if (!checked_mul(known, static_cast<uint64_t>(dim), &known)) {
      return context.invalid("its shape is too large");
    }
  }
  if (open == nullptr) return ok_status();
  const auto count = static_cast<uint64_t>(x.count());
  if (known == 0 || count % known != 0) {
    return context.invalid("%s does not divide into its shape", shape_text(x).c_str());
  }
  *open = static_cast<int64_t>(count / known);
  return ok_status();
}

Status import_reshape(NodeContext& context) {
  CARREL_ASSIGN(std::vector<int64_t> dims, context.const_ints(1, "shape"));
  if (dims.size() > Shape::kMaxRank) return context.unsupported("%zu dimensions", dims.size());
  specialise_batch(context, &dims);
  CARREL_RETURN_IF_ERROR(resolve_dims(context, context.int_attribute("allowzero", 0) != 0, &dims));
  return finish_reshape(context, std::move(dims));
}

Status import_flatten(NodeContext& context) {
  const Shape& x = context.shape(0);
  int64_t axis = context.int_attribute("axis", 1);
  if (axis < 0) axis += x.rank();
  if (axis < 0 || axis > x.rank()) return context.invalid("axis is out of range");
  int64_t rows = 1;
  int64_t columns = 1;
  for (int i = 0; i < x.rank(); ++i) (i < axis ? rows : columns) *= x[i];
  return finish_reshape(context, {rows, columns});
}

Result<std::vector<bool>> axis_set(NodeContext& context, const std::vector<int64_t>& axes,
                                   int rank) {
  std::vector<bool> chosen(static_cast<size_t>(rank), false);
  for (int64_t axis : axes) {
    CARREL_ASSIGN(const int normal, context.normal_axis(axis, rank));
    if (chosen[static_cast<size_t>(normal)]) return context.invalid("axes repeat");
    chosen[static_cast<size_t>(normal)] = true;
  }
  return chosen;
}

Status import_squeeze(NodeContext& context) {
  const Shape& x = context.shape(0);
  CARREL_ASSIGN(const std::vector<int64_t> axes, context.ints_at("axes", 13, 1));
  CARREL_ASSIGN(std::vector<bool> chosen, axis_set(context, axes, x.rank()));
  std::vector<int64_t> dims;
  for (int i = 0; i < x.rank(); ++i) {
    const bool drop = axes.empty() ? x[i] == 1 : chosen[static_cast<size_t>(i)];
    if (drop && x[i] != 1) return context.invalid("a squeezed dimension is not 1");
    if (!drop) dims.push_back(x[i]);
  }
  return finish_reshape(context, std::move(dims));
}

Status import_unsqueeze(NodeContext& context) {
  const Shape& x = context.shape(0);
  CARREL_ASSIGN(const std::vector<int64_t> axes, context.ints_at("axes", 13, 1));
  if (axes.empty()) return context.invalid("axes are missing");
  if (axes.size() > Shape::kMaxRank) return context.unsupported("%zu new dimensions", axes.size());
  const int rank = x.rank() + static_cast<int>(axes.size());
  CARREL_ASSIGN(const std::vector<bool> chosen, axis_set(context, axes, rank));
  std::vector<int64_t> dims;
  int next = 0;
  for (int i = 0; i < rank; ++i) dims.push_back(chosen[static_cast<size_t>(i)] ? 1 : x[next++]);
  return finish_reshape(context, std::move(dims));
}

Status import_expand(NodeContext& context) {
  CARREL_ASSIGN(std::vector<int64_t> dims, context.const_ints(1, "shape"));
  if (dims.size() > Shape::kMaxRank) return context.unsupported("%zu dimensions", dims.size());
  specialise_batch(context, &dims);
  Shape target;
  for (int64_t dim : dims) {
    if (dim < 0 || !target.push_back(dim)) return context.invalid("its shape is negative");
  }
  const Result<Shape> both = broadcast_shapes(context.shape(0), target);
  if (!both.ok()) return context.invalid("%s", both.error().message());
  if (*both == context.shape(0)) {
    context.set_output(0, context.input(0));
    return ok_status();
  }
  Node node = context.make(OpType::kExpand, {context.input(0)});
  std::vector<int64_t>& shape = node.attributes.ints["shape"];
  for (int i = 0; i < both->rank(); ++i) shape.push_back((*both)[i]);
  return context.finish(std::move(node));
}

constexpr OperatorEntry kOperators[] = {
    {"Reshape", import_reshape, 2, 2}, {"Flatten", import_flatten, 1, 1},
    {"Squeeze", import_squeeze, 1, 2}, {"Unsqueeze", import_unsqueeze, 1, 2},
    {"Expand", import_expand, 2, 2},
};

}  // namespace

std::span<const OperatorEntry> shape_operators() { return kOperators; }

}  // namespace carrel
