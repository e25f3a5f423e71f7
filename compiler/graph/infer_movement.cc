#include "compiler/graph/infer_internal.h"

namespace carrel {

Status infer_concat(Inference& inference) {
  Shape out = inference.shape(0);
  CARREL_ASSIGN(const int axis, inference.axis(out.rank()));
  for (size_t i = 1; i < inference.input_count(); ++i) {
    if (!inference.has(i)) return inference.fail("an input is missing");
    Shape other = inference.shape(i);
    if (inference.in(i).type != inference.in(0).type) return inference.fail("types differ");
    if (other.rank() != out.rank()) return inference.fail("ranks differ");
    const int64_t joined = out[axis] + other[axis];
    other[axis] = out[axis];
    if (!(other == out)) return inference.fail("sizes differ outside the axis");
    out[axis] = joined;
    if (!out.element_count().ok()) return inference.fail("the result is too large");
  }
  return inference.set(out);
}

namespace {

Status infer_split(Inference& inference) {
  Shape out = inference.shape(0);
  CARREL_ASSIGN(const int axis, inference.axis(out.rank()));
  const std::vector<int64_t>& sizes = inference.node().attributes.int_list("split");
  if (sizes.size() != inference.output_count()) return inference.fail("one size per output");
  int64_t rest = out[axis];
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0 || sizes[i] > rest) return inference.fail("sizes do not add up");
    rest -= sizes[i];
    out[axis] = sizes[i];
    CARREL_RETURN_IF_ERROR(inference.set(i, inference.in(0).type, out));
  }
  if (rest != 0) return inference.fail("sizes do not add up");
  return ok_status();
}

// The number of indices start, start + step, ... before end; -1 if one of them is outside [0, dim).
int64_t slice_count(int64_t dim, int64_t start, int64_t end, int64_t step) {
  if (step == 0 || step <= -kMaxWindow * 2 || step >= kMaxWindow * 2) return -1;
  if (start < -1 || start > dim || end < -1 || end > dim) return -1;
  const int64_t distance = step > 0 ? end - start : start - end;
  if (distance <= 0) return 0;
  const int64_t stride = step > 0 ? step : -step;
  const int64_t count = (distance + stride - 1) / stride;
  return start < 0 || start >= dim ? -1 : count;
}

Status infer_slice(Inference& inference) {
  Shape out = inference.shape(0);
  const Attributes& attributes = inference.node().attributes;
  const std::vector<int64_t>& starts = attributes.int_list("starts");
  const std::vector<int64_t>& ends = attributes.int_list("ends");
  const std::vector<int64_t>& axes = attributes.int_list("axes");
  const std::vector<int64_t>& steps = attributes.int_list("steps");
  if (ends.size() != starts.size() || axes.size() != starts.size() ||
      steps.size() != starts.size()) {
    return inference.fail("starts, ends, axes and steps differ in length");
  }
  std::array<bool, Shape::kMaxRank> seen{};
  for (size_t i = 0; i < starts.size(); ++i) {
    if (axes[i] < 0 || axes[i] >= out.rank() || seen[static_cast<size_t>(axes[i])]) {
      return inference.fail("axes out of range or repeated");
    }
    seen[static_cast<size_t>(axes[i])] = true;
    const int axis = static_cast<int>(axes[i]);
    out[axis] = slice_count(out[axis], starts[i], ends[i], steps[i]);
    if (out[axis] < 0) return inference.fail("starts, ends or steps out of range");
  }
  return inference.set(out);
}

Status infer_pad(Inference& inference) {
  Shape out = inference.shape(0);
  const int rank = out.rank();
  CARREL_ASSIGN(const std::vector<int64_t> pads,
                inference.list("pads", 2 * rank, 0, 1 - kMaxWindow));
  const int64_t mode = inference.node().attributes.int_or("mode", 0);
  if (mode < 0 || mode > 2) return inference.fail("unknown mode");
  for (int i = 0; i < rank; ++i) {
    const int64_t before = pads[static_cast<size_t>(i)];
    const int64_t after = pads[static_cast<size_t>(i + rank)];
    const int64_t dim = out[i];
    const int64_t kept = dim + std::min<int64_t>(before, 0) + std::min<int64_t>(after, 0);
    if (kept < 0) return inference.fail("negative pads remove more than there is");
    const int64_t most = std::max(before, after);
    if (mode == 1 && most > 0 && most >= dim) {
      return inference.fail("reflected pads must be smaller than the input");
    }
    if (mode == 2 && most > 0 && kept == 0) return inference.fail("no edge to repeat");
    out[i] = dim + before + after;
  }
  return inference.set(out);
}

Result<Shape> shape_attribute(const Inference& inference) {
  Shape shape;
  for (int64_t dim : inference.node().attributes.int_list("shape")) {
    if (dim < 0 || !shape.push_back(dim)) return inference.fail("bad target shape");
  }
  return shape;
}

Status infer_reshape(Inference& inference) {
  CARREL_ASSIGN(const Shape out, shape_attribute(inference));
  const Result<uint64_t> count = out.element_count();
  if (!count.ok() || *count != static_cast<uint64_t>(inference.shape(0).count())) {
    return inference.fail("the target shape has another number of elements");
  }
  return inference.set(out);
}

Status infer_expand(Inference& inference) {
  CARREL_ASSIGN(const Shape out, shape_attribute(inference));
  const Result<Shape> both = broadcast_shapes(inference.shape(0), out);
  if (!both.ok() || !(*both == out)) return inference.fail("does not broadcast to the target");
  return inference.set(out);
}

Status infer_transpose(Inference& inference) {
  const Shape& x = inference.shape(0);
  const std::vector<int64_t>& perm = inference.node().attributes.int_list("perm");
  if (perm.size() != static_cast<size_t>(x.rank())) return inference.fail("perm has another rank");
  std::array<bool, Shape::kMaxRank> seen{};
  Shape out;
  for (int64_t p : perm) {
    if (p < 0 || p >= x.rank() || seen[static_cast<size_t>(p)]) {
      return inference.fail("perm is not a permutation");
    }
    seen[static_cast<size_t>(p)] = true;
    CARREL_CHECK(out.push_back(x[static_cast<int>(p)]));
  }
  return inference.set(out);
}

Status infer_gather(Inference& inference) {
  const Shape& x = inference.shape(0);
  const Value& indices = inference.in(1);
  CARREL_ASSIGN(const int axis, inference.axis(x.rank()));
  if (indices.type != DType::kI64) return inference.fail("indices must be int64");
  if (indices.is_const()) {
    for (int64_t index : indices.constant->i64()) {
      if (index < 0 || index >= x[axis]) return inference.fail("an index is out of range");
    }
  }
  Shape out;
  bool fits = true;
  for (int i = 0; i < axis; ++i) fits = fits && out.push_back(x[i]);
  for (int i = 0; i < indices.shape.rank(); ++i) fits = fits && out.push_back(indices.shape[i]);
  for (int i = axis + 1; i < x.rank(); ++i) fits = fits && out.push_back(x[i]);
  if (!fits) return inference.fail("the result has too many dimensions");
  return inference.set(out);
}

}  // namespace

Status infer_movement(Inference& inference) {
  switch (inference.node().op) {
    case OpType::kConcat:
      return infer_concat(inference);
    case OpType::kSplit:
      return infer_split(inference);
    case OpType::kSlice:
      return infer_slice(inference);
    case OpType::kPad:
      return infer_pad(inference);
    case OpType::kReshape:
      return infer_reshape(inference);
    case OpType::kExpand:
      return infer_expand(inference);
    case OpType::kTranspose:
      return infer_transpose(inference);
    case OpType::kGather:
      return infer_gather(inference);
    default:
      return inference.fail("unknown operator");
  }
}

}  // namespace carrel
