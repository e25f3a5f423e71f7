#include "tests/suite/random_quantized.h"

#include <cmath>
#include <cstring>
#include <random>

#include "compiler/graph/shape_inference.h"

namespace carrel {
namespace {

using Ints = std::map<std::string, std::vector<int64_t>>;
using Floats = std::map<std::string, std::vector<float>>;

// A quantized map and what its bytes mean.
struct Bytes {
  ValueId id = kNoValue;
  int64_t channels = 0, height = 0, width = 0;
  float scale = 1;
  int64_t zero = 0;
};

class Generator {
 public:
  explicit Generator(uint32_t seed) : engine_(seed) {}

  Graph run() {
    Value input;
    input.name = "x";
    input.shape = Shape{1, one_of({1, 3, 5, 16}), between(9, 40), between(7, 40)};
    input.shape_known = true;
    const Shape shape = input.shape;
    graph_.inputs.push_back(graph_.add_value(std::move(input)));
    Bytes x = quantize(graph_.inputs[0], {kNoValue, shape[1], shape[2], shape[3], 0.02f, between(0, 255)});
    const int64_t count = between(4, 9);
    for (int64_t i = 0; i < count; ++i) x = step(x);
    finish(x);
    CARREL_CHECK(infer_shapes(&graph_).ok());
    return std::move(graph_);
  }

 private:
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
  }
  int64_t one_of(std::initializer_list<int64_t> list) {
    return list.begin()[between(0, static_cast<int64_t>(list.size()) - 1)];
  }

  ValueId node(OpType op, std::vector<ValueId> inputs, Ints ints, Floats floats = {}, Unary fn = {}) {
    Node n;
    n.op = op;
    n.name = std::string(op_name(op)) + std::to_string(graph_.nodes.size());
    n.inputs = std::move(inputs);
    n.attributes.ints = std::move(ints);
    n.attributes.floats = std::move(floats);
    n.activation = fn;
    Value out;
    out.name = n.name + "_out";
    n.outputs = {graph_.add_value(std::move(out))};
    graph_.add_node(n);
    return n.outputs[0];
  }
  ValueId weights(const Shape& shape) {
    Tensor t = Tensor::zeros(DType::kI8, shape);
    for (std::byte& b : t.data) b = static_cast<std::byte>(engine_());
    return graph_.add_const("w" + std::to_string(graph_.values.size()), std::move(t));
  }
  ValueId scales(int64_t count) {
    Tensor t = Tensor::zeros(DType::kF32, Shape{count});
    for (float& f : t.f32()) f = 0.001f * static_cast<float>(between(5, 20));
    return graph_.add_const("s" + std::to_string(graph_.values.size()), std::move(t));
  }
  ValueId bias(int64_t count) {
    Tensor t = Tensor::zeros(DType::kI32, Shape{count});
    std::vector<int32_t> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<int32_t>(between(-5000, 5000)));
    std::memcpy(t.data.data(), values.data(), t.data.size());
    return graph_.add_const("b" + std::to_string(graph_.values.size()), std::move(t));
  }

  Bytes quantize(ValueId x, Bytes like) {
    like.id = node(OpType::kQuantize, {x}, {{"zero", {like.zero}}}, {{"scale", {like.scale}}});
    return like;
  }
  ValueId dequantize(const Bytes& x) {
    return node(OpType::kDequantize, {x.id}, {{"zero", {x.zero}}}, {{"scale", {x.scale}}});
  }

  // What a sum of `terms` products needs, and a fused activation.
  void weighted(const Bytes& x, int64_t terms, Bytes* y, Ints* ints, Floats* floats) {
    y->zero = between(0, 255);
    y->scale = x.scale * 0.01f * std::sqrt(static_cast<float>(terms)) * 90;
    const int64_t low = between(0, 3) == 0 ? y->zero : 0;
    *floats = {{"x_scale", {x.scale}}, {"y_scale", {y->scale}}};
    ints->insert({{"x_zero", {x.zero}}, {"y_zero", {y->zero}}, {"y_low", {low}}, {"y_high", {between(low, 255)}}});
  }

  Bytes conv(const Bytes& x, int64_t outs, int64_t kernel, int64_t stride, int64_t group) {
    const int64_t dilation = kernel > 1 && stride == 1 && between(0, 4) == 0 ? 2 : 1;
    const int64_t span = (kernel - 1) * dilation + 1, before = between(0, span / 2), after = span - 1 - before;
    Bytes y = x;
    y.channels = outs;
    y.height = (x.height + before + after - span) / stride + 1;
    y.width = (x.width + before + after - span) / stride + 1;
    Ints ints = {{"pads", {before, before, after, after}},
                 {"strides", {stride, stride}},
                 {"dilations", {dilation, dilation}},
                 {"group", {group}}};
    Floats floats;
    weighted(x, x.channels / group * kernel * kernel, &y, &ints, &floats);
    std::vector<ValueId> inputs = {x.id, weights(Shape{outs, x.channels / group, kernel, kernel}), scales(outs)};
    if (between(0, 2) > 0) inputs.push_back(bias(outs));
    y.id = node(OpType::kQConv, inputs, ints, floats);
    return y;
  }

  Bytes pool(const Bytes& x, bool max) {
    Bytes y = x;
    const int64_t kernel = between(2, 3), stride = between(1, 2), pad = between(0, 1);
    y.height = (x.height + 2 * pad - kernel) / stride + 1;
    y.width = (x.width + 2 * pad - kernel) / stride + 1;
    Ints ints = {{"kernel_shape", {kernel, kernel}}, {"strides", {stride, stride}}, {"pads", {pad, pad, pad, pad}}};
    if (max) {
      y.id = node(OpType::kMaxPool, {x.id}, ints);
      return y;
    }
    y.scale = x.scale * 0.8f;
    y.zero = between(0, 255);
    ints["count_include_pad"] = {between(0, 1)};
    ints["x_zero"] = {x.zero};
    ints["y_zero"] = {y.zero};
    y.id = node(OpType::kQAveragePool, {x.id}, ints, {{"x_scale", {x.scale}}, {"y_scale", {y.scale}}});
    return y;
  }

  Bytes residual(const Bytes& x) {
    const Bytes b = conv(x, x.channels, 1, 1, 1);
    Bytes y = x;
    y.scale = x.scale + b.scale;
    y.zero = between(0, 255);
    y.id = node(OpType::kQAdd, {x.id, b.id},
                {{"a_zero", {x.zero}}, {"b_zero", {b.zero}}, {"y_zero", {y.zero}}, {"y_low", {0}}, {"y_high", {250}}},
                {{"a_scale", {x.scale}}, {"b_scale", {b.scale}}, {"y_scale", {y.scale}}});
    return y;
  }

  Bytes concat(const Bytes& x) {
    const Bytes b = conv(x, between(1, 40), 1, 1, 1);
    Bytes y = x;
    y.channels += b.channels;
    if (between(0, 1) == 0) y.scale = b.scale, y.zero = b.zero;
    y.id = node(OpType::kQConcat, {x.id, b.id}, {{"axis", {1}}, {"zeros", {x.zero, b.zero}}, {"y_zero", {y.zero}}},
                {{"scales", {x.scale, b.scale}}, {"y_scale", {y.scale}}});
    return y;
  }

  Bytes through_floats(const Bytes& x) {
    return quantize(node(OpType::kUnary, {dequantize(x)}, {}, {}, {UnaryFn::kRelu, 0, 0}), x);
  }
  Bytes through_dense(const Bytes& x) {
    Bytes y = x;
    y.height = x.width;
    y.width = x.height;
    y.id = node(OpType::kTranspose, {x.id}, {{"perm", {0, 1, 3, 2}}});
    return y;
  }

  Bytes step(const Bytes& x) {
    const bool small = x.height < 6 || x.width < 6;
    switch (between(0, 9)) {
      case 0: return conv(x, x.channels, small ? 1 : one_of({3, 5}), between(1, 2), x.channels);
      case 1: return small ? residual(x) : pool(x, true);
      case 2: return small ? residual(x) : pool(x, false);
      case 3: return residual(x);
      case 4: return concat(x);
      case 5: return between(0, 1) == 0 ? through_floats(x) : through_dense(x);
      case 6: return x.channels % 2 == 0 ? conv(x, 2 * between(1, 20), 1, 1, 2) : conv(x, 32, 1, 1, 1);
      case 7: return conv(x, between(100, 300), 1, 1, 1);  // deep, so that what follows is cut at taps
      default: return conv(x, between(1, 70), small ? 1 : 3, between(1, 2), 1);
    }
  }

  void finish(const Bytes& x) {
    Bytes flat = x;
    if (between(0, 1) == 0) {
      flat.zero = between(0, 255);
      flat.height = flat.width = 1;
      flat.id = node(OpType::kQGlobalAveragePool, {x.id}, {{"x_zero", {x.zero}}, {"y_zero", {flat.zero}}},
                     {{"x_scale", {x.scale}}, {"y_scale", {x.scale}}});
    }
    const int64_t inputs = flat.channels * flat.height * flat.width, outs = between(3, 50);
    const ValueId row = node(OpType::kReshape, {flat.id}, {{"shape", {1, inputs}}});
    Bytes y = flat;
    Ints ints;
    Floats floats;
    weighted(flat, inputs, &y, &ints, &floats);
    y.id = node(OpType::kQGemm, {row, weights(Shape{outs, inputs}), scales(outs), bias(outs)}, ints, floats);
    graph_.outputs = {dequantize(y)};
  }

  std::mt19937 engine_;
  Graph graph_;
};

}  // namespace

Graph random_quantized(uint32_t seed) { return Generator(seed).run(); }

}  // namespace carrel
