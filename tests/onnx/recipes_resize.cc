// Resize and what it was before opset 11: without coordinates in opset 10, Upsample until opset 9.
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

// Until opset 12 roi and scales are tensors, perhaps empty ones, and later they may be left out.
std::string optional_floats(M m, const std::string& name, const std::vector<float>& values) {
  if (values.empty() && m.opset() >= 13) return "";
  m.floats(name, values);
  return name;
}

TestCase resize(M m, const ResizeForm& form) {
  m.in("x", {2, 3, 5, 4});
  const std::string roi = optional_floats(m, "roi", {});
  const std::string scales = optional_floats(m, "scales", form.scales);
  if (!form.sizes.empty()) m.ints("sizes", form.sizes);
  onnx::NodeProto& node = m.node("Resize", {"x", roi, scales, form.sizes.empty() ? "" : "sizes"});
  set_string(node, "mode", form.mode);
  set_string(node, "coordinate_transformation_mode", form.coordinates);
  if (form.nearest != nullptr) set_string(node, "nearest_mode", form.nearest);
  return m.finish();
}

TestCase crop(M m, const char* mode, const std::vector<float>& roi) {
  m.in("x", {2, 3, 5, 4});
  m.floats("roi", roi);
  m.ints("sizes", {2, 3, 4, 6});
  onnx::NodeProto& node = m.node("Resize", {"x", "roi", optional_floats(m, "scales", {}), "sizes"});
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

// Upsample, whose scales are an attribute before opset 9, and Resize of opset 10.
TestCase scaled(M m, const char* op, const char* mode, const std::vector<float>& scales) {
  m.in("x", {2, 3, 5, 4});
  onnx::NodeProto& node = m.node(op, {"x"});
  set_string(node, "mode", mode);
  if (m.opset() < 9) {
    set_floats(node, "scales", scales);
  } else {
    m.floats("scales", scales);
    node.add_input("scales");
  }
  return m.finish();
}

const Recipe kRecipes[] = {
    {"Upsample", "nearest", 7,
     [](M m) {
       return scaled(m, "Upsample", "nearest", {1, 1, 2, 3});
     },
     9},
    {"Upsample", "nearest, fractions", 7,
     [](M m) {
       return scaled(m, "Upsample", "nearest", {1, 1, 1.3f, 1.7f});
     },
     9},
    {"Resize", "nearest, growing", 10,
     [](M m) {
       return scaled(m, "Resize", "nearest", {1, 1, 2, 1.5f});
     },
     10},
    {"Resize", "nearest, shrinking", 10,
     [](M m) {
       return scaled(m, "Resize", "nearest", {1, 1, 0.6f, 0.6f});
     },
     10},
    {"Resize", "nearest, growing and shrinking", 10,
     [](M m) {
       return scaled(m, "Resize", "nearest", {1, 1, 1.5f, 0.7f});
     },
     10},
    {"Upsample", "linear", 7,
     [](M m) {
       return scaled(m, "Upsample", "linear", {1, 1, 2, 3});
     },
     9},
    {"Upsample", "linear, fractions", 7,
     [](M m) {
       return scaled(m, "Upsample", "linear", {1, 1, 1.3f, 1.7f});
     },
     9},
    {"Resize", "linear, growing", 10,
     [](M m) {
       return scaled(m, "Resize", "linear", {1, 1, 2, 1.5f});
     },
     10},
    {"Resize", "linear, shrinking", 10,
     [](M m) {
       return scaled(m, "Resize", "linear", {1, 1, 0.6f, 0.6f});
     },
     10},
    {"Resize", "linear, growing and shrinking", 10,
     [](M m) {
       return scaled(m, "Resize", "linear", {1, 1, 1.5f, 0.7f});
     },
     10},
    {"Resize", "nearest, tf_half_pixel_for_nn, floor", 11,
     [](M m) {
       return resize(m, {"nearest", "tf_half_pixel_for_nn", "floor", {1, 1, 1.7f, 0.3f}, {}});
     },
     12},
    {"Resize", "nearest, asymmetric, floor", 11,
     [](M m) {
       return resize(m, {"nearest", "asymmetric", "floor", {1, 1, 2, 3}, {}});
     }},
    {"Resize", "nearest, asymmetric, ceil, shrinking", 11,
     [](M m) {
       return resize(m, {"nearest", "asymmetric", "ceil", {1, 1, 0.6f, 0.7f}, {}});
     }},
    {"Resize", "nearest, half_pixel", 11,
     [](M m) {
       return resize(m, {"nearest", "half_pixel", nullptr, {1, 1, 1.6f, 0.5f}, {}});
     }},
    {"Resize", "nearest, align_corners, ceil", 11,
     [](M m) {
       return resize(m, {"nearest", "align_corners", "ceil", {}, {2, 3, 8, 7}});
     }},
    {"Resize", "linear, half_pixel", 11,
     [](M m) {
       return resize(m, {"linear", "half_pixel", nullptr, {1, 1, 2, 2}, {}});
     }},
    {"Resize", "linear, half_pixel, sizes", 11,
     [](M m) {
       return resize(m, {"linear", "half_pixel", nullptr, {}, {2, 3, 3, 9}});
     }},
    {"Resize", "linear, align_corners", 11,
     [](M m) {
       return resize(m, {"linear", "align_corners", nullptr, {}, {2, 3, 9, 7}});
     }},
    {"Resize", "linear, pytorch_half_pixel", 11,
     [](M m) {
       return resize(m, {"linear", "pytorch_half_pixel", nullptr, {}, {2, 3, 1, 6}});
     }},
    {"Resize", "linear, asymmetric", 11,
     [](M m) {
       return resize(m, {"linear", "asymmetric", nullptr, {1, 1, 1.5f, 2}, {}});
     }},
    {"Resize", "linear, tf_crop_and_resize", 11,
     [](M m) {
       return crop(m, "linear", {0, 0, 0.2f, 0.1f, 1, 1, 0.7f, 0.9f});
     }},
    {"Resize", "linear, tf_crop_and_resize beyond the input", 11,
     [](M m) {
       return crop(m, "linear", {0, 0, -0.3f, 0.1f, 1, 1, 0.7f, 1.4f});
     }},
    {"Resize", "nearest, tf_crop_and_resize", 11,
     [](M m) {
       return crop(m, "nearest", {0, 0, 0.2f, 0.15f, 1, 1, 0.7f, 0.9f});
     }},
    {"Resize", "nearest, tf_crop_and_resize beyond the input", 11,
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
