// Functions of one element, normalisations, softmaxes.
#include "tests/onnx/recipes.h"

namespace carrel::conformance {
namespace {

using M = Maker&;

TestCase unary(M m, const char* op, float low = -3, float high = 3) {
  m.in("x", {2, 3, 5, 4}, low, high);
  m.node(op, {"x"});
  return m.finish();
}

TestCase with_floats(M m, const char* op,
                     std::initializer_list<std::pair<const char*, float>> attributes) {
  m.in("x", {2, 3, 5, 4}, -5, 5);
  onnx::NodeProto& node = m.node(op, {"x"});
  for (const auto& [name, value] : attributes) set_float(node, name, value);
  return m.finish();
}

TestCase clip(M m, bool low, bool high) {
  m.in("x", {2, 3, 5, 4}, -5, 5);
  if (m.opset() < 11) {
    onnx::NodeProto& node = m.node("Clip", {"x"});
    if (low) set_float(node, "min", -1.5f);
    if (high) set_float(node, "max", 2.25f);
    return m.finish();
  }
  if (low) m.scalar("low", -1.5f);
  if (high) m.scalar("high", 2.25f);
  m.node("Clip", {"x", low ? "low" : "", high ? "high" : ""});
  return m.finish();
}

TestCase prelu(M m, std::initializer_list<int64_t> slope) {
  m.in("x", {2, 3, 5, 4});
  m.weight("slope", slope);
  m.node("PRelu", {"x", "slope"});
  return m.finish();
}

TestCase gelu(M m, const char* mode) {
  m.in("x", {2, 3, 5, 4}, -4, 4);
  set_string(m.node("Gelu", {"x"}), "approximate", mode);
  return m.finish();
}

TestCase softmax(M m, const char* op, int64_t axis) {
  m.in("x", {2, 3, 5, 4}, -4, 4);
  set_int(m.node(op, {"x"}), "axis", m.axis(axis, 4));
  return m.finish();
}

TestCase batch_norm(M m) {
  m.in("x", {2, 3, 5, 4});
  for (const char* name : {"scale", "bias", "mean"}) m.weight(name, {3});
  m.weight("var", {3}, 0.5f, 2);
  set_float(m.node("BatchNormalization", {"x", "scale", "bias", "mean", "var"}), "epsilon", 1e-3f);
  return m.finish();
}

TestCase instance_norm(M m) {
  m.in("x", {2, 3, 5, 4});
  for (const char* name : {"scale", "bias"}) m.weight(name, {3});
  set_float(m.node("InstanceNormalization", {"x", "scale", "bias"}), "epsilon", 1e-2f);
  return m.finish();
}

TestCase layer_norm(M m, std::initializer_list<int64_t> tail, bool bias) {
  m.in("x", {2, 6, 8});
  m.weight("scale", tail);
  if (bias) m.weight("bias", tail);
  onnx::NodeProto& node = m.node("LayerNormalization", {"x", "scale", bias ? "bias" : ""});
  set_int(node, "axis", -static_cast<int64_t>(tail.size()));
  return m.finish();
}

TestCase lrn(M m) {
  m.in("x", {2, 7, 5, 4});
  onnx::NodeProto& node = m.node("LRN", {"x"});
  set_int(node, "size", 5);
  set_float(node, "alpha", 0.02f);
  set_float(node, "beta", 0.6f);
  set_float(node, "bias", 1.5f);
  return m.finish();
}

const Recipe kRecipes[] = {
    {"Relu", "", 7, [](M m) { return unary(m, "Relu"); }},
    {"LeakyRelu", "", 7,
     [](M m) {
       return with_floats(m, "LeakyRelu", {{"alpha", 0.3f}});
     }},
    {"Clip", "", 7, [](M m) { return clip(m, true, true); }},
    {"Clip", "min only", 7, [](M m) { return clip(m, true, false); }},
    {"Clip", "max only", 7, [](M m) { return clip(m, false, true); }},
    {"Sigmoid", "", 7, [](M m) { return unary(m, "Sigmoid"); }},
    {"HardSigmoid", "", 7,
     [](M m) {
       return with_floats(m, "HardSigmoid", {{"alpha", 0.3f}, {"beta", 0.4f}});
     }},
    {"HardSwish", "", 14, [](M m) { return unary(m, "HardSwish", -5, 5); }},
    {"Tanh", "", 7, [](M m) { return unary(m, "Tanh"); }},
    {"Elu", "", 7,
     [](M m) {
       return with_floats(m, "Elu", {{"alpha", 1.5f}});
     }},
    {"Selu", "", 7,
     [](M m) {
       return with_floats(m, "Selu", {{"alpha", 1.5f}, {"gamma", 1.1f}});
     }},
    {"Softplus", "", 7, [](M m) { return unary(m, "Softplus"); }},
    {"Gelu", "", 20, [](M m) { return gelu(m, "none"); }},
    {"Gelu", "approximate", 20, [](M m) { return gelu(m, "tanh"); }},
    {"Erf", "", 9, [](M m) { return unary(m, "Erf"); }},
    {"Sqrt", "", 7, [](M m) { return unary(m, "Sqrt", 0, 9); }},
    {"Exp", "", 7, [](M m) { return unary(m, "Exp"); }},
    {"PRelu", "per channel", 7,
     [](M m) {
       return prelu(m, {3, 1, 1});
     }},
    {"PRelu", "per element", 7,
     [](M m) {
       return prelu(m, {3, 5, 4});
     }},
    {"Softmax", "last axis", 7, [](M m) { return softmax(m, "Softmax", -1); }},
    {"Softmax", "channels", 7, [](M m) { return softmax(m, "Softmax", 1); }},
    {"Softmax", "default axis", 7, [](M m) { return unary(m, "Softmax"); }},
    {"LogSoftmax", "last axis", 7, [](M m) { return softmax(m, "LogSoftmax", -1); }},
    {"LogSoftmax", "channels", 7, [](M m) { return softmax(m, "LogSoftmax", 1); }},
    {"BatchNormalization", "", 7, batch_norm},
    {"InstanceNormalization", "", 7, instance_norm},
    {"LayerNormalization", "last axis", 17, [](M m) { return layer_norm(m, {8}, true); }},
    {"LayerNormalization", "two axes, no bias", 17,
     [](M m) {
       return layer_norm(m, {6, 8}, false);
     }},
    {"LRN", "", 7, lrn},
};

}  // namespace

std::span<const Recipe> activation_recipes() { return kRecipes; }

}  // namespace carrel::conformance
