// Resize and Upsample: nearest and linear.
#include "compiler/onnx/op_resize.h"

#include <algorithm>
#include <cmath>

namespace carrel {
namespace {

struct Target {
  std::vector<float> scales;   // full rank
  std::vector<int64_t> sizes;  // full rank
};

// Position in a list of names, or -1.
int64_t index_of(std::initializer_list<const char*> names, const std::string& name) {
  const auto it = std::find(names.begin(), names.end(), name);
  return it == names.end() ? -1 : it - names.begin();
}

Status target_from_scales(const NodeContext& context, const std::vector<float>& scales,
                          const std::vector<int>& axes, Target* target) {
  if (scales.size() != axes.size()) {
    return context.invalid("%zu scales for %zu dimensions", scales.size(), axes.size());
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t dim = context.shape(0)[axes[i]];
    if (!std::isfinite(scales[i]) || scales[i] <= 0)
      return context.invalid("a scale is not positive");
    const float size = std::floor(static_cast<float>(dim) * scales[i]);
    if (!(size < 1e12f)) return context.invalid("a scale is too large");
    target->scales[static_cast<size_t>(axes[i])] = scales[i];
    target->sizes[static_cast<size_t>(axes[i])] = static_cast<int64_t>(size);
  }
  return ok_status();
}

Status target_from_sizes(NodeContext& context, std::vector<int64_t> sizes,
                         const std::vector<int>& axes, Target* target) {
  if (sizes.size() != axes.size()) {
    return context.invalid("%zu sizes for %zu dimensions", sizes.size(), axes.size());
  }
  const std::string policy = context.string_attribute("keep_aspect_ratio_policy", "stretch");
  const int64_t kept = index_of({"stretch", "not_larger", "not_smaller"}, policy);
  if (kept < 0) return context.invalid("keep_aspect_ratio_policy is '%s'", policy.c_str());
  double common = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const double dim = static_cast<double>(context.shape(0)[axes[i]]);
    if (sizes[i] < 1 || sizes[i] > int64_t{1} << 40)
      return context.invalid("a size is out of range");
    const double scale = static_cast<double>(sizes[i]) / dim;
    common = i == 0 ? scale : kept == 1 ? std::min(common, scale) : std::max(common, scale);
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const double dim = static_cast<double>(context.shape(0)[axes[i]]);
    if (kept != 0) sizes[i] = static_cast<int64_t>(std::floor(common * dim + 0.5));
    target->sizes[static_cast<size_t>(axes[i])] = sizes[i];
    target->scales[static_cast<size_t>(axes[i])] =
        static_cast<float>(kept != 0 ? common : static_cast<double>(sizes[i]) / dim);
  }
  return ok_status();
}

Target unscaled(const Shape& x) {
  Target target;
  for (int i = 0; i < x.rank(); ++i) {
    target.scales.push_back(1);
    target.sizes.push_back(x[i]);
  }
  return target;
}

// `axes` from opset 18 on, else all of them.
Result<std::vector<int>> resized_axes(NodeContext& context) {
  const int rank = context.shape(0).rank();
  std::vector<int> axes;
  for (int64_t axis : context.ints_attribute("axes")) {
    CARREL_ASSIGN(const int normal, context.normal_axis(axis, rank));
    if (std::count(axes.begin(), axes.end(), normal) != 0) return context.invalid("axes repeat");
    axes.push_back(normal);
  }
  if (axes.empty()) {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  return axes;
}

// As in OpType::kResize.
struct Modes {
  int64_t mode = 0, coordinate = 0, nearest = 0;
};

Result<ValueId> emit_resize(NodeContext& context, ValueId x, const Modes& modes, Target target) {
  if (target.sizes.empty()) return context.unsupported("a scalar");
  Node node = context.make(OpType::kResize, {x});
  node.attributes.ints["mode"] = {modes.mode};
  node.attributes.ints["coordinate"] = {modes.coordinate};
  node.attributes.ints["nearest"] = {modes.nearest};
  node.attributes.ints["output_shape"] = std::move(target.sizes);
  node.attributes.floats["scales"] = std::move(target.scales);
  return context.emit(std::move(node));
}

Status finish_resize(NodeContext& context, const Modes& modes, Target target) {
  CARREL_ASSIGN(const ValueId y, emit_resize(context, context.input(0), modes, std::move(target)));
  context.set_output(0, y);
  return ok_status();
}

// Nearest at asymmetric coordinates, rounded up on axes that shrink and down on those that grow: a
// Resize for each of the two.
Status finish_nearest_by_direction(NodeContext& context, const Target& target) {
  ValueId x = context.input(0);
  const auto resize_axes_that = [&](bool shrink, int64_t nearest) -> Status {
    Target part = unscaled(context.value(x).shape);
    bool any = false;
    for (size_t i = 0; i < target.scales.size(); ++i) {
      if (target.scales[i] == 1 || (target.scales[i] < 1) != shrink) continue;
      part.scales[i] = target.scales[i];
      part.sizes[i] = target.sizes[i];
      any = true;
    }
    if (!any) return ok_status();
    CARREL_ASSIGN(x, emit_resize(context, x, {0, 1, nearest}, std::move(part)));
    return ok_status();
  };
  CARREL_RETURN_IF_ERROR(resize_axes_that(true, 2));
  CARREL_RETURN_IF_ERROR(resize_axes_that(false, 1));
  context.set_output(0, x);
  return ok_status();
}

// Upsample 7 and 9, Resize 10: asymmetric coordinates.
Status import_scaled(NodeContext& context, bool scales_are_input) {
  const std::string mode_name = context.string_attribute("mode", "nearest");
  const int64_t mode =
      index_of({"nearest", "linear"}, mode_name == "bilinear" ? "linear" : mode_name);
  if (mode < 0) return context.unsupported("mode '%s'", mode_name.c_str());
  std::vector<float> scales;
  if (scales_are_input) {
    CARREL_ASSIGN(scales, context.const_floats(1, "scales"));
  } else {
    scales = context.floats_attribute("scales");
  }
  Target target = unscaled(context.shape(0));
  CARREL_ASSIGN(const std::vector<int> axes, resized_axes(context));
  CARREL_RETURN_IF_ERROR(target_from_scales(context, scales, axes, &target));
  if (mode == 0) return finish_nearest_by_direction(context, target);
  return finish_resize(context, {mode, 1, 1}, std::move(target));
}

// half_pixel_symmetric is half_pixel wherever the scaled size is a whole number.
bool is_half_pixel(const NodeContext& context, const Target& target) {
  for (int i = 0; i < context.shape(0).rank(); ++i) {
    const auto s = static_cast<size_t>(i);
    const float exact = target.scales[s] * static_cast<float>(context.shape(0)[i]);
    if (exact != static_cast<float>(target.sizes[s])) return false;
  }
  return true;
}

// tf_crop_and_resize: starts of all axes, then their ends.
Status read_roi(NodeContext& context, const std::vector<int>& axes,
                std::vector<ResizeAxis>* resized) {
  if (!context.has(1)) return context.invalid("roi is missing");
  CARREL_ASSIGN(const std::vector<float> roi, context.const_floats(1, "roi"));
  if (roi.size() != 2 * axes.size()) return context.invalid("roi has %zu entries", roi.size());
  for (size_t i = 0; i < axes.size(); ++i) {
    (*resized)[i].roi_start = roi[i];
    (*resized)[i].roi_end = roi[i + axes.size()];
    const bool sane = std::fabs(roi[i]) < 1e6f && std::fabs(roi[i + axes.size()]) < 1e6f;
    if (!sane) return context.invalid("roi is out of range");
  }
  return ok_status();
}

// What stays the same along its axis needs no work.
void drop_unchanged(const NodeContext& context, std::vector<ResizeAxis>* resized) {
  std::erase_if(*resized, [&](const ResizeAxis& a) {
    return a.size == context.shape(0)[a.axis] && a.scale == 1 && a.roi_start == 0 && a.roi_end == 1;
  });
}

Status finish_by_axes(NodeContext& context, const std::string& coordinates, int64_t mode,
                      int64_t nearest, const Target& target) {
  CARREL_ASSIGN(const std::vector<int> axes, resized_axes(context));
  std::vector<ResizeAxis> resized;
  for (int axis : axes) {
    const auto s = static_cast<size_t>(axis);
    resized.push_back({axis, target.sizes[s], target.scales[s], 0, 1});
  }
  if (coordinates == "tf_crop_and_resize") {
    CARREL_RETURN_IF_ERROR(read_roi(context, axes, &resized));
  }
  drop_unchanged(context, &resized);
  return resize_by_axes(context, coordinates, mode, nearest, resized);
}

Result<Target> read_target(NodeContext& context) {
  Target target = unscaled(context.shape(0));
  for (int i = 0; i < context.shape(0).rank(); ++i) {
    if (context.shape(0)[i] < 1) return context.invalid("its input is empty");
  }
  CARREL_ASSIGN(const std::vector<int> axes, resized_axes(context));
  const bool has_scales = context.has(2) && context.shape(2).count() > 0;
  if (has_scales) {
    CARREL_ASSIGN(const std::vector<float> scales, context.const_floats(2, "scales"));
    CARREL_RETURN_IF_ERROR(target_from_scales(context, scales, axes, &target));
    return target;
  }
  if (!context.has(3)) return context.invalid("neither scales nor sizes are given");
  CARREL_ASSIGN(std::vector<int64_t> sizes, context.const_ints(3, "sizes"));
  CARREL_RETURN_IF_ERROR(target_from_sizes(context, std::move(sizes), axes, &target));
  return target;
}

Status import_resize(NodeContext& context) {
  if (context.opset() < 11) {
    if (!context.has(1)) return context.invalid("scales are missing");
    return import_scaled(context, true);
  }
  const std::string mode_name = context.string_attribute("mode", "nearest");
  const int64_t mode = index_of({"nearest", "linear"}, mode_name);
  if (mode < 0) return context.unsupported("mode '%s'", mode_name.c_str());
  const std::string nearest_name = context.string_attribute("nearest_mode", "round_prefer_floor");
  const int64_t nearest =
      index_of({"round_prefer_floor", "floor", "ceil", "round_prefer_ceil"}, nearest_name);
  if (nearest < 0) return context.unsupported("nearest_mode '%s'", nearest_name.c_str());
  CARREL_ASSIGN(Target target, read_target(context));
  const std::string coordinates =
      context.string_attribute("coordinate_transformation_mode", "half_pixel");
  const bool shrinks = std::any_of(target.scales.begin(), target.scales.end(),
                                   [](float scale) { return scale < 1; });
  if (mode == 1 && shrinks && context.int_attribute("antialias", 0) != 0) {
    return context.unsupported("antialias");
  }
  int64_t coordinate =
      index_of({"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"}, coordinates);
  if (coordinates == "half_pixel_symmetric" && is_half_pixel(context, target)) coordinate = 0;
  if (coordinate < 0 && is_axis_coordinate(coordinates)) {
    return finish_by_axes(context, coordinates, mode, nearest, target);
  }
  if (coordinate < 0) return context.unsupported("coordinates '%s'", coordinates.c_str());
  return finish_resize(context, {mode, coordinate, nearest}, std::move(target));
}

Status import_upsample(NodeContext& context) {
  if (context.opset() >= 9 && !context.has(1)) return context.invalid("scales are missing");
  return import_scaled(context, context.opset() >= 9);
}

constexpr OperatorEntry kOperators[] = {
    {"Resize", import_resize, 1, 4},
    {"Upsample", import_upsample, 1, 2},
};

}  // namespace

std::span<const OperatorEntry> resize_operators() { return kOperators; }

}  // namespace carrel
