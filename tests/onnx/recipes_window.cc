// Convolutions and pools.
#include "tests/onnx/recipes.h"

namespace carrel::conformance {
namespace {

struct ConvForm {
  std::initializer_list<int64_t> x, w;
  int64_t group = 1;
  std::vector<int64_t> strides = {}, pads = {}, dilations = {}, output_padding = {};
  const char* auto_pad = nullptr;
};

TestCase conv(Maker& m, const char* op, const ConvForm& form) {
  m.in("x", form.x);
  m.weight("w", form.w);
  const bool transposed = std::string(op) == "ConvTranspose";
  const int64_t out = transposed ? form.w.begin()[1] * form.group : form.w.begin()[0];
  m.weight("b", {out});
  onnx::NodeProto& node = m.node(op, {"x", "w", "b"});
  set_int(node, "group", form.group);
  if (!form.strides.empty()) set_ints(node, "strides", form.strides);
  if (!form.pads.empty()) set_ints(node, "pads", form.pads);
  if (!form.dilations.empty()) set_ints(node, "dilations", form.dilations);
  if (!form.output_padding.empty()) set_ints(node, "output_padding", form.output_padding);
  if (form.auto_pad != nullptr) set_string(node, "auto_pad", form.auto_pad);
  return m.finish();
}

struct PoolForm {
  std::initializer_list<int64_t> x;
  std::vector<int64_t> kernel, strides = {}, pads = {}, dilations = {};
  bool ceil = false, count_pads = false;
  const char* auto_pad = nullptr;
};

TestCase pool(Maker& m, const char* op, const PoolForm& form) {
  m.in("x", form.x);
  onnx::NodeProto& node = m.node(op, {"x"});
  set_ints(node, "kernel_shape", form.kernel);
  if (!form.strides.empty()) set_ints(node, "strides", form.strides);
  if (!form.pads.empty()) set_ints(node, "pads", form.pads);
  if (!form.dilations.empty()) set_ints(node, "dilations", form.dilations);
  if (form.ceil) set_int(node, "ceil_mode", 1);
  if (form.count_pads) set_int(node, "count_include_pad", 1);
  if (form.auto_pad != nullptr) set_string(node, "auto_pad", form.auto_pad);
  return m.finish();
}

TestCase global(Maker& m, const char* op) {
  m.in("x", {2, 5, 7, 6});
  m.node(op, {"x"});
  return m.finish();
}

using M = Maker&;
const Recipe kRecipes[] = {
    {"Conv", "", 7,
     [](M m) {
       return conv(m, "Conv", {{2, 3, 9, 8}, {5, 3, 3, 3}, 1, {}, {}});
     }},
    {"Conv", "uneven pads, strides", 7,
     [](M m) {
       return conv(m, "Conv", {{1, 3, 9, 8}, {5, 3, 3, 2}, 1, {2, 1}, {1, 0, 2, 1}});
     }},
    {"Conv", "groups", 7,
     [](M m) {
       return conv(m, "Conv", {{1, 6, 7, 7}, {4, 3, 3, 3}, 2, {}, {1, 1, 1, 1}});
     }},
    {"Conv", "depthwise, dilation", 7,
     [](M m) {
       return conv(m, "Conv", {{1, 6, 9, 9}, {6, 1, 3, 3}, 6, {1, 2}, {2, 2, 2, 2}, {2, 2}});
     }},
    {"Conv", "auto_pad SAME_LOWER", 7,
     [](M m) {
       return conv(m, "Conv", {{1, 3, 8, 8}, {4, 3, 2, 4}, 1, {2, 2}, {}, {}, {}, "SAME_LOWER"});
     }},
    {"Conv", "one dimension", 7,
     [](M m) {
       return conv(m, "Conv", {{2, 3, 11}, {4, 3, 3}, 1, {2}, {1, 1}});
     }},
    {"Conv", "three dimensions", 7,
     [](M m) {
       return conv(m, "Conv", {{1, 2, 5, 6, 4}, {3, 2, 2, 3, 2}, 1, {}, {}});
     }},
    {"ConvTranspose", "strides, output_padding", 7,
     [](M m) {
       return conv(m, "ConvTranspose",
                   {{2, 3, 5, 4}, {3, 4, 3, 3}, 1, {2, 2}, {1, 1, 1, 1}, {}, {1, 1}});
     }},
    {"ConvTranspose", "groups, dilation", 7,
     [](M m) {
       return conv(m, "ConvTranspose", {{1, 4, 5, 4}, {4, 3, 2, 3}, 2, {1, 2}, {}, {2, 1}});
     }},
    {"ConvTranspose", "one dimension", 7,
     [](M m) {
       return conv(m, "ConvTranspose", {{1, 3, 7}, {3, 2, 4}, 1, {3}, {1, 0}});
     }},
    {"MaxPool", "", 7,
     [](M m) {
       return pool(m, "MaxPool", {{2, 3, 9, 8}, {3, 2}, {2, 2}});
     }},
    {"MaxPool", "ceil_mode, pads", 10,
     [](M m) {
       return pool(m, "MaxPool", {{1, 3, 10, 9}, {3, 3}, {2, 2}, {1, 1, 0, 0}, {}, true});
     }},
    {"MaxPool", "pads", 7,
     [](M m) {
       return pool(m, "MaxPool", {{1, 3, 10, 9}, {3, 3}, {2, 2}, {1, 1, 0, 0}});
     }},
    {"MaxPool", "dilation", 10,
     [](M m) {
       return pool(m, "MaxPool", {{1, 3, 9, 9}, {2, 3}, {}, {}, {2, 3}});
     }},
    {"MaxPool", "three dimensions", 7,
     [](M m) {
       return pool(m, "MaxPool", {{1, 2, 5, 6, 4}, {2, 2, 2}, {2, 1, 2}});
     }},
    {"AveragePool", "pads left out", 7,
     [](M m) {
       return pool(m, "AveragePool", {{2, 3, 9, 8}, {3, 3}, {2, 2}, {1, 1, 1, 1}});
     }},
    {"AveragePool", "count_include_pad", 7,
     [](M m) {
       return pool(m, "AveragePool", {{1, 3, 9, 8}, {3, 2}, {1, 2}, {1, 0, 1, 1}, {}, false, true});
     }},
    {"AveragePool", "ceil_mode", 10,
     [](M m) {
       return pool(m, "AveragePool", {{1, 3, 8, 9}, {3, 3}, {2, 2}, {}, {}, true});
     }},
    {"AveragePool", "auto_pad SAME_UPPER", 7,
     [](M m) {
       return pool(m, "AveragePool",
                   {{1, 3, 7, 6}, {3, 2}, {2, 2}, {}, {}, false, false, "SAME_UPPER"});
     }},
    {"AveragePool", "dilation", 19,
     [](M m) {
       return pool(m, "AveragePool", {{1, 3, 9, 9}, {2, 2}, {}, {}, {2, 3}});
     }},
    {"GlobalAveragePool", "", 7, [](M m) { return global(m, "GlobalAveragePool"); }},
    {"GlobalMaxPool", "", 7, [](M m) { return global(m, "GlobalMaxPool"); }},
};

}  // namespace

std::span<const Recipe> window_recipes() { return kRecipes; }

}  // namespace carrel::conformance
