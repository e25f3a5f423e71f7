// Resize. Upsample ended with opset 9 and is met in the node tests alone.
#include "tests/onnx/recipes.h"

namespace carrel::conformance {
namespace {

using M = Maker&;

struct ResizeForm {
  const char* mode;
  const char* coordinates;
  const char* nearest;  // null: the default
  std::vector<float> scales;
  std::vector<int64_t> sizes;
};

TestCase resize(M m, const ResizeForm& form) {
  m.in("x", {2, 3, 5, 4});
  if (!form.sizes.empty())
    m.ints("sizes", form.sizes);
  else
    m.floats("scales", form.scales);
  const bool sized = !form.sizes.empty();
  onnx::NodeProto& node = m.node("Resize", {"x", "", sized ? "" : "scales", sized ? "sizes" : ""});
  set_string(node, "mode", form.mode);
  set_string(node, "coordinate_transformation_mode", form.coordinates);
  if (form.nearest != nullptr) set_string(node, "nearest_mode", form.nearest);
  return m.finish();
}

TestCase crop(M m, const char* mode, const std::vector<float>& roi) {
  m.in("x", {2, 3, 5, 4});
  m.floats("roi", roi);
  m.ints("sizes", {2, 3, 4, 6});
  onnx::NodeProto& node = m.node("Resize", {"x", "roi", "", "sizes"});
  set_string(node, "mode", mode);
  set_string(node, "coordinate_transformation_mode", "tf_crop_and_resize");
  set_float(node, "extrapolation_value", -1.5f);
  return m.finish();
}

TestCase resize_axes(M m) {
  m.in("x", {2, 3, 5, 4});
  m.floats("scales", {2, 1.5f});
  onnx::NodeProto& node = m.node("Resize", {"x", "", "scales"});
  set_string(node, "mode", "linear");
  set_ints(node, "axes", {2, 3});
  return m.finish();
}

const Recipe kRecipes[] = {
    {"Resize", "nearest, asymmetric, floor", 13,
     [](M m) {
       return resize(m, {"nearest", "asymmetric", "floor", {1, 1, 2, 3}, {}});
     }},
    {"Resize", "nearest, half_pixel", 13,
     [](M m) {
       return resize(m, {"nearest", "half_pixel", nullptr, {1, 1, 1.6f, 0.5f}, {}});
     }},
    {"Resize", "nearest, align_corners, ceil", 13,
     [](M m) {
       return resize(m, {"nearest", "align_corners", "ceil", {}, {2, 3, 8, 7}});
     }},
    {"Resize", "linear, half_pixel", 13,
     [](M m) {
       return resize(m, {"linear", "half_pixel", nullptr, {1, 1, 2, 2}, {}});
     }},
    {"Resize", "linear, half_pixel, sizes", 13,
     [](M m) {
       return resize(m, {"linear", "half_pixel", nullptr, {}, {2, 3, 3, 9}});
     }},
    {"Resize", "linear, align_corners", 13,
     [](M m) {
       return resize(m, {"linear", "align_corners", nullptr, {}, {2, 3, 9, 7}});
     }},
    {"Resize", "linear, pytorch_half_pixel", 13,
     [](M m) {
       return resize(m, {"linear", "pytorch_half_pixel", nullptr, {}, {2, 3, 1, 6}});
     }},
    {"Resize", "linear, asymmetric", 13,
     [](M m) {
       return resize(m, {"linear", "asymmetric", nullptr, {1, 1, 1.5f, 2}, {}});
     }},
    {"Resize", "linear, tf_crop_and_resize", 13,
     [](M m) {
       return crop(m, "linear", {0, 0, 0.2f, 0.1f, 1, 1, 0.7f, 0.9f});
     }},
    {"Resize", "linear, tf_crop_and_resize beyond the input", 13,
     [](M m) {
       return crop(m, "linear", {0, 0, -0.3f, 0.1f, 1, 1, 0.7f, 1.4f});
     }},
    {"Resize", "nearest, tf_crop_and_resize", 13,
     [](M m) {
       return crop(m, "nearest", {0, 0, 0.2f, 0.15f, 1, 1, 0.7f, 0.9f});
     }},
    {"Resize", "nearest, tf_crop_and_resize beyond the input", 13,
     [](M m) {
       return crop(m, "nearest", {0, 0, -0.3f, 0.1f, 1, 1, 0.7f, 1.4f});
     }},
    {"Resize", "linear, half_pixel_symmetric", 19,
     [](M m) {
       return resize(m, {"linear", "half_pixel_symmetric", nullptr, {1, 1, 1.3f, 0.7f}, {}});
     }},
    {"Resize", "nearest, half_pixel_symmetric", 19,
     [](M m) {
       return resize(m, {"nearest", "half_pixel_symmetric", nullptr, {1, 1, 1.3f, 1.7f}, {}});
     }},
    {"Resize", "axes", 18, resize_axes},
};

}  // namespace

std::span<const Recipe> resize_recipes() { return kRecipes; }

}  // namespace carrel::conformance
