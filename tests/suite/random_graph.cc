#include "tests/suite/random_graph.h"

#include <cmath>
#include <cstdio>

#include "compiler/graph/shape_inference.h"

namespace carrel {
namespace {

class Builder {
 public:
  explicit Builder(uint32_t seed) : random_(seed) {
    graph_.name = "random " + std::to_string(seed);
    Value input;
    input.name = "input";
    input.shape = {1, static_cast<int64_t>(1 + pick(20)), static_cast<int64_t>(9 + pick(20)), static_cast<int64_t>(9 + pick(20))};
    input.shape_known = true;
    x_ = graph_.add_value(input);
    graph_.inputs = {x_};
  }

  Graph build() {
    const uint32_t depth = 4 + pick(8);
    for (uint32_t i = 0; i < depth; ++i) layer();
    if (pick(2) == 0) add(OpType::kGlobalAveragePool, {x_});
    dense(static_cast<int64_t>(5 + pick(60)));
    if (pick(2) == 0) activation();
    dense(static_cast<int64_t>(2 + pick(40)));
    graph_.outputs = {x_};
    return std::move(graph_);
  }

 private:
  uint32_t pick(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  const Shape& shape() const { return graph_.value(x_).shape; }

  ValueId constant(const Shape& shape, float scale, float offset = 0) {
    Tensor t = random_tensor(shape, static_cast<uint32_t>(random_()));
    for (float& v : t.f32()) v = v * scale + offset;
    return graph_.add_const("w" + std::to_string(graph_.values.size()), std::move(t));
  }

  void add(OpType op, std::vector<ValueId> inputs, const Attributes& attributes = {}, Unary fn = {}) {
    Node node;
    node.op = op;
    node.name = std::string(op_name(op)) + "#" + std::to_string(graph_.nodes.size());
    node.inputs = std::move(inputs);
    node.attributes = attributes;
    node.activation = fn;
    std::vector<Value> outputs(1);
    node.outputs = {graph_.add_value({})};
    const Status inferred = infer_node(graph_, node, &outputs);
    if (!inferred.ok()) fprintf(stderr, "random graph: %s\n", inferred.error().message());
    CARREL_CHECK(inferred.ok());
    outputs[0].name = node.name + ":0";
    outputs[0].shape_known = true;
    x_ = node.outputs[0];
    graph_.value(x_) = outputs[0];
    graph_.add_node(std::move(node));
  }

  Unary some_function() {
    const Unary choices[] = {{UnaryFn::kNone, 0, 0},       {UnaryFn::kRelu, 0, 0},        {UnaryFn::kClip, 0, 6},
                             {UnaryFn::kLeakyRelu, 0.1f, 0}, {UnaryFn::kSigmoid, 0, 0},   {UnaryFn::kHardSwish, 0, 0},
                             {UnaryFn::kTanh, 0, 0},       {UnaryFn::kSwish, 0, 0}};
    return choices[pick(8)];
  }

  Attributes window(int64_t kernel) {
    Attributes a;
    const int64_t stride = shape()[2] > 8 && shape()[3] > 8 ? 1 + pick(2) : 1;
    a.ints["strides"] = {stride, stride};
    std::vector<int64_t> pads;
    for (int i = 0; i < 4; ++i) pads.push_back(pick(static_cast<uint32_t>(kernel)));
    a.ints["pads"] = pads;
    return a;
  }

  void conv() {
    const int64_t channels = shape()[1];
    int64_t kernel = 1 + static_cast<int64_t>(pick(4));
    if (shape()[2] < 5 || shape()[3] < 5) kernel = 1;
    int64_t group = 1, out = 1 + pick(70);
    const uint32_t kind = pick(7);
    if (kind == 0) group = channels, out = channels;                       // depthwise
    if (kind == 1 && channels % 32 == 0) group = 2, out = 64;              // groups of whole blocks
    if (kind == 2 && channels % 3 == 0) group = 3, out = 9;                // groups within a block
    if (kind == 3 && channels % 32 == 0) group = 8, out = 64;              // a few groups to a block
    if (kind == 4) group = channels, out = 2 * channels;                   // a channel each
    Attributes a = window(kernel);
    const int64_t dilation = kernel > 1 && shape()[2] > 10 && shape()[3] > 10 ? 1 + pick(2) : 1;
    a.ints["dilations"] = {dilation, dilation};
    a.ints["group"] = {group};
    const float scale = 1.0f / std::sqrt(static_cast<float>(channels / group * kernel * kernel));
    std::vector<ValueId> inputs = {x_, constant({out, channels / group, kernel, kernel}, scale)};
    if (pick(3) > 0) inputs.push_back(constant({out}, 0.5f));
    add(OpType::kConv, inputs, a, some_function());
  }

  void widen() {
    add(OpType::kConv, {x_, constant({32, shape()[1], 1, 1}, 1.0f / std::sqrt(static_cast<float>(shape()[1])))});
  }

  void pool() {
    if (shape()[2] < 4 || shape()[3] < 4) return;
    const int64_t kernel = 2 + pick(2);
    Attributes a = window(kernel);
    a.ints["kernel_shape"] = {kernel, kernel};
    const bool average = pick(2) == 0;
    if (average) {
      a.ints["count_include_pad"] = {static_cast<int64_t>(pick(2))};
      a.ints["pads_counted"] = a.ints["pads"];
    }
    add(average ? OpType::kAveragePool : OpType::kMaxPool, {x_}, a);
  }

  void residual() {
    const ValueId before = x_;
    Attributes a;
    a.ints["pads"] = {1, 1, 1, 1};
    const int64_t c = shape()[1];
    add(OpType::kConv, {x_, constant({c, c, 3, 3}, 1.0f / std::sqrt(static_cast<float>(9 * c)))}, a);
    const OpType ops[] = {OpType::kAdd, OpType::kSub, OpType::kMul, OpType::kMax};
    add(ops[pick(4)], {x_, before}, {}, some_function());
  }

  void squeeze_excite() {
    const ValueId before = x_;
    add(OpType::kGlobalAveragePool, {x_});
    const int64_t c = shape()[1];
    add(OpType::kConv, {x_, constant({c, c, 1, 1}, 1.0f / std::sqrt(static_cast<float>(c)))}, {}, {UnaryFn::kSigmoid, 0, 0});
    const ValueId gate = x_;
    x_ = before;
    if (pick(2) == 0) add(OpType::kMul, {before, gate});
    else add(OpType::kMul, {gate, before});
  }

  // Channel attention: two global pools and the product read one map.
  void attention() {
    const ValueId before = x_;
    add(OpType::kGlobalAveragePool, {before});
    const ValueId average = x_;
    if (pick(2) == 0) {
      Attributes a;
      a.ints["axes"] = {2, 3};
      add(OpType::kReduceMax, {before}, a);
    } else {
      add(OpType::kGlobalMaxPool, {before});
    }
    add(OpType::kAdd, {average, x_}, {}, {UnaryFn::kSigmoid, 0, 0});
    add(OpType::kMul, {before, x_});
  }

  // A global pool and an operator on dense tensors read one map; so does the sum.
  void pool_beside_dense() {
    const ValueId before = x_;
    Attributes a;
    a.ints["perm"] = {0, 1, 2, 3};
    add(OpType::kTranspose, {before}, a);
    const ValueId same = x_;
    add(OpType::kGlobalMaxPool, {before});
    add(OpType::kSub, {same, x_});
    add(OpType::kAdd, {before, x_});
  }

  void concat() {
    const ValueId before = x_;
    const int64_t c = shape()[1];
    const int64_t out = 1 + pick(40);
    add(OpType::kConv, {x_, constant({out, c, 1, 1}, 1.0f / std::sqrt(static_cast<float>(c)))}, {}, some_function());
    Attributes a;
    a.ints["axis"] = {1};
    add(OpType::kConcat, {before, x_}, a);
  }

  void vectors() {
    const int64_t c = shape()[1];
    switch (pick(4)) {
      case 0: return add(OpType::kAffine, {x_, constant({c}, 0.3f, 1), constant({c}, 0.5f)}, {}, some_function());
      case 1: return add(OpType::kPRelu, {x_, constant({c, 1, 1}, 0.3f)});
      case 2: return add(OpType::kSub, {constant({1}, 1), x_});
      default: return add(OpType::kMul, {x_, constant({c, 1, 1}, 1)});
    }
  }

  void normalise() {
    Attributes a;
    if (pick(2) == 0) {
      a.ints["size"] = {3};
      a.floats["alpha"] = {0.01f};
      a.floats["beta"] = {0.75f};
      a.floats["bias"] = {1};
      return add(OpType::kLrn, {x_}, a);
    }
    a.ints["axis"] = {1};
    add(OpType::kSoftmax, {x_}, a);
  }

  // Operators on dense tensors between maps.
  void dense_only() {
    Attributes a;
    if (pick(2) == 0) {
      a.ints["perm"] = {0, 1, 3, 2};
      return add(OpType::kTranspose, {x_}, a);
    }
    a.ints["pads"] = {0, 0, 1, 0, 0, 0, 0, 2};
    add(OpType::kPad, {x_}, a);
  }

  void activation() { add(OpType::kUnary, {x_}, {}, {UnaryFn::kRelu, 0, 0}); }

  void layer() {
    switch (pick(14)) {
      case 0: return pool();
      case 1: return residual();
      case 2: return squeeze_excite();
      case 3: return concat();
      case 4: return vectors();
      case 5: return normalise();
      case 6: return dense_only();
      case 7: return activation();
      case 8: return widen();
      case 9: return attention();
      case 10: return pool_beside_dense();
      default: return conv();
    }
  }

  void dense(int64_t outputs) {
    const int64_t features = shape().count();
    if (shape().rank() == 4) {
      Attributes a;
      a.ints["shape"] = {1, features};
      add(OpType::kReshape, {x_}, a);
    }
    const float scale = 1.0f / std::sqrt(static_cast<float>(features));
    if (pick(3) == 0) return add(OpType::kMatMul, {x_, constant({features, outputs}, scale)});
    Attributes a;
    const bool transposed = pick(2) == 0;
    a.ints["transB"] = {transposed};
    a.floats["alpha"] = {0.5f};
    a.floats["beta"] = {2.0f};
    const Shape w = transposed ? Shape{outputs, features} : Shape{features, outputs};
    add(OpType::kGemm, {x_, constant(w, scale), constant({outputs}, 0.3f)}, a, some_function());
  }

  std::mt19937 random_;
  Graph graph_;
  ValueId x_ = kNoValue;
};

}  // namespace

Graph random_graph(uint32_t seed) { return Builder(seed).build(); }

Tensor random_tensor(const Shape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.7f, 1.7f);
  Tensor t = Tensor::zeros(DType::kF32, shape);
  for (float& v : t.f32()) v = uniform(random);
  return t;
}

}  // namespace carrel
