// resize_by_axes: every output position is a weighted sum of input positions of its axis.
#include <algorithm>
#include <cmath>

#include "compiler/graph/fold_cost.h"
#include "compiler/onnx/op_resize.h"

namespace carrel {
namespace {

struct Positions {
  std::vector<double> at;  // of each output element, in input elements
  int64_t inputs = 0;
  bool outside_is_zero = false;  // else clamped to the border
};

double symmetric_position(const ResizeAxis& axis, int64_t inputs, int64_t o) {
  const double n = static_cast<double>(inputs), m = static_cast<double>(axis.size);
  const double adjustment = m / (axis.scale * n);
  return n / 2 * (1 - adjustment) + (static_cast<double>(o) + 0.5) / axis.scale - 0.5;
}

// The others in float as in ONNX Runtime: where they should fall on an element or between two, its
// rounding decides.
double position(const std::string& coordinates, const ResizeAxis& axis, int64_t inputs, int64_t o) {
  if (coordinates == "half_pixel_symmetric") return symmetric_position(axis, inputs, o);
  const float at = static_cast<float>(o);
  if (coordinates == "tf_half_pixel_for_nn") return (at + 0.5f) / axis.scale;
  const float last = static_cast<float>(inputs - 1), start = axis.roi_start, end = axis.roi_end;
  if (axis.size == 1) return 0.5f * (start + end) * last;
  return start * last + at * (end - start) * last / static_cast<float>(axis.size - 1);
}

Positions find_positions(const NodeContext& context, const std::string& coordinates,
                         const ResizeAxis& axis) {
  Positions positions;
  positions.inputs = context.shape(0)[axis.axis];
  positions.outside_is_zero = coordinates == "tf_crop_and_resize";
  for (int64_t o = 0; o < axis.size; ++o) {
    positions.at.push_back(position(coordinates, axis, positions.inputs, o));
  }
  return positions;
}

bool is_outside(const Positions& positions, double at) {
  return positions.outside_is_zero && (at < 0 || at > static_cast<double>(positions.inputs - 1));
}

int64_t clamp_index(const Positions& positions, double at) {
  return static_cast<int64_t>(std::clamp(at, 0.0, static_cast<double>(positions.inputs - 1)));
}

double rounded(double at, int64_t nearest) {
  switch (nearest) {
    case 0:
      return std::ceil(at - 0.5);
    case 1:
      return std::floor(at);
    case 2:
      return std::ceil(at);
    default:
      return std::floor(at + 0.5);
  }
}

bool any_outside(const Positions& positions) {
  return std::any_of(positions.at.begin(), positions.at.end(),
                     [&](double at) { return is_outside(positions, at); });
}

Result<ValueId> gather_nearest(NodeContext& context, ValueId x, const ResizeAxis& axis,
                               const Positions& positions, int64_t nearest) {
  std::vector<int64_t> indices;
  for (double at : positions.at) indices.push_back(clamp_index(positions, rounded(at, nearest)));
  const ValueId list = context.add_const(Tensor::from_i64(Shape{axis.size}, indices));
  Node node = context.make(OpType::kGather, {x, list});
  node.attributes.ints["axis"] = {axis.axis};
  return context.emit(std::move(node));
}

// [inputs][outputs]; columns of positions outside are zero.
Tensor weights_of(const Positions& positions, int64_t mode, int64_t nearest) {
  const int64_t outputs = static_cast<int64_t>(positions.at.size());
  Tensor weights = Tensor::zeros(DType::kF32, Shape{positions.inputs, outputs});
  const auto add = [&](double from, int64_t to, double weight) {
    const int64_t row = clamp_index(positions, from);
    weights.f32()[static_cast<size_t>(row * outputs + to)] += static_cast<float>(weight);
  };
  for (int64_t o = 0; o < outputs; ++o) {
    const double at = positions.at[static_cast<size_t>(o)];
    if (is_outside(positions, at)) continue;
    if (mode == 0) {
      add(rounded(at, nearest), o, 1);
      continue;
    }
    const double low = std::floor(at);
    add(low, o, 1 - (at - low));
    add(low + 1, o, at - low);
  }
  return weights;
}

Result<ValueId> swap_with_last(NodeContext& context, ValueId x, int axis) {
  const int rank = context.value(x).shape.rank();
  if (axis == rank - 1) return x;
  Node node = context.make(OpType::kTranspose, {x});
  std::vector<int64_t>& perm = node.attributes.ints["perm"];
  for (int i = 0; i < rank; ++i) perm.push_back(i);
  std::swap(perm[static_cast<size_t>(axis)], perm.back());
  return context.emit(std::move(node));
}

Result<ValueId> multiply(NodeContext& context, ValueId x, const ResizeAxis& axis, Tensor table) {
  const ValueId weights = context.add_const(std::move(table));
  CARREL_ASSIGN(const ValueId turned, swap_with_last(context, x, axis.axis));
  CARREL_ASSIGN(const ValueId product,
                context.emit(context.make(OpType::kMatMul, {turned, weights})));
  return swap_with_last(context, product, axis.axis);
}

// A file's few bytes may not become large tables.
Status check_sizes(const NodeContext& context, const ResizeAxis& axis) {
  uint64_t cells = 0;
  const auto inputs = static_cast<uint64_t>(context.shape(0)[axis.axis]);
  const bool counted =
      axis.size > 0 && checked_mul(inputs, static_cast<uint64_t>(axis.size), &cells);
  if (counted && cells <= kFoldBytesLimit / sizeof(int64_t)) return ok_status();
  return context.unsupported("%lld output positions from these coordinates",
                             static_cast<long long>(axis.size));
}

// Output elements with a position outside, which are 0 so far, become `value`.
class Extrapolation {
 public:
  Extrapolation(int rank, float value) : value_(value) {
    for (int i = 0; i < rank; ++i) outside_.push_back({false});
  }
  void add(const ResizeAxis& axis, const Positions& positions) {
    std::vector<bool>& outside = outside_[static_cast<size_t>(axis.axis)];
    outside.clear();
    for (double at : positions.at) outside.push_back(is_outside(positions, at));
    any_ = true;
  }
  Result<ValueId> apply(NodeContext& context, ValueId x) const {
    if (!any_ || value_ == 0) return x;
    Shape shape;
    for (const auto& outside : outside_) {
      CARREL_CHECK(shape.push_back(static_cast<int64_t>(outside.size())));
    }
    const Result<uint64_t> count = shape.element_count();
    if (!count.ok() || *count > kFoldBytesLimit / sizeof(int64_t)) {
      return context.unsupported("so many positions outside its input");
    }
    Tensor table = Tensor::zeros(DType::kF32, shape);
    for (size_t i = 0; i < table.f32().size(); ++i) table.f32()[i] = is_out(i) ? value_ : 0;
    return context.emit(context.make(OpType::kAdd, {x, context.add_const(std::move(table))}));
  }

 private:
  bool is_out(size_t index) const {
    bool out = false;
    for (size_t d = outside_.size(); d-- > 0; index /= outside_[d].size()) {
      out = out || outside_[d][index % outside_[d].size()];
    }
    return out;
  }

  std::vector<std::vector<bool>> outside_;  // by axis; one element where all are inside
  float value_;
  bool any_ = false;
};

}  // namespace

bool is_axis_coordinate(const std::string& name) {
  return name == "half_pixel_symmetric" || name == "tf_half_pixel_for_nn" ||
         name == "tf_crop_and_resize";
}

Status resize_by_axes(NodeContext& context, const std::string& coordinates, int64_t mode,
                      int64_t nearest, const std::vector<ResizeAxis>& axes) {
  ValueId x = context.input(0);
  Extrapolation extrapolation(context.shape(0).rank(),
                              context.float_attribute("extrapolation_value", 0));
  for (const ResizeAxis& axis : axes) {
    CARREL_RETURN_IF_ERROR(check_sizes(context, axis));
    const Positions positions = find_positions(context, coordinates, axis);
    const bool outside = any_outside(positions);
    if (outside) extrapolation.add(axis, positions);
    if (mode == 0 && !outside) {
      CARREL_ASSIGN(x, gather_nearest(context, x, axis, positions, nearest));
    } else {
      CARREL_ASSIGN(x, multiply(context, x, axis, weights_of(positions, mode, nearest)));
    }
  }
  CARREL_ASSIGN(x, extrapolation.apply(context, x));
  context.set_output(0, x);
  return ok_status();
}

}  // namespace carrel
