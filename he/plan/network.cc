#include "he/plan/network.h"

#include <algorithm>
#include <numeric>

namespace carrel::he {
namespace {

// Activations that optimize() fused become nodes again: what comes before them is what a client decrypts.
Graph split_activations(Graph graph) {
  const size_t count = graph.nodes.size();
  for (size_t i = 0; i < count; ++i) {
    Node& node = graph.nodes[i];
    if (node.dead || node.op == OpType::kUnary || node.activation.fn == UnaryFn::kNone) continue;
    Value before = graph.values[static_cast<size_t>(node.outputs[0])];
    before.name += "/linear";
    Node unary;
    unary.name = node.name + "/activation";
    unary.op = OpType::kUnary;
    unary.activation = node.activation;
    unary.outputs = {node.outputs[0]};
    const ValueId id = graph.add_value(std::move(before));
    unary.inputs = {id};
    graph.nodes[i].activation = {};
    graph.nodes[i].outputs[0] = id;
    graph.add_node(std::move(unary));
  }
  return graph;
}

uint16_t narrow(int64_t value) { return static_cast<uint16_t>(value); }

Result<Window> window_of(const Node& node, int64_t kernel_h, int64_t kernel_w) {
  Window w;
  const auto pair = [&](const char* name, int64_t fallback) {
    const std::vector<int64_t>& list = node.attributes.int_list(name);
    return list.size() == 2 ? std::pair(list[0], list[1]) : std::pair(fallback, fallback);
  };
  const auto [stride_h, stride_w] = pair("strides", 1);
  const auto [dilation_h, dilation_w] = pair("dilations", 1);
  std::vector<int64_t> pads = node.attributes.int_list("pads");
  if (pads.size() != 4) pads.assign(4, 0);
  for (const int64_t v : {kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w}) {
    if (v < 1 || v > 1024) return Error(ErrorCode::kUnsupported, "%s: a window over 1024", node.name.c_str());
  }
  for (const int64_t v : pads) {
    if (v < 0 || v > 1024) return Error(ErrorCode::kUnsupported, "%s: pads beyond 0 to 1024", node.name.c_str());
  }
  return Window{narrow(kernel_h), narrow(kernel_w), narrow(stride_h), narrow(stride_w), narrow(dilation_h), narrow(dilation_w),
                narrow(pads[0]), narrow(pads[1]), narrow(pads[2]), narrow(pads[3])};
}

uint32_t windows_along(uint32_t size, uint32_t begin_pad, uint32_t end_pad, int32_t span, uint32_t stride) {
  return (size + begin_pad + end_pad - static_cast<uint32_t>(span)) / stride + 1;
}

MapShape windowed(const MapShape& in, const Window& w, uint32_t channels) {
  return {channels, windows_along(in.height, w.pad_top, w.pad_bottom, w.span_h(), w.stride_h),
          windows_along(in.width, w.pad_left, w.pad_right, w.span_w(), w.stride_w)};
}

// [1, C], [1, C, W] or [1, C, H, W]. Anything else is channels alone.
MapShape map_of(const Shape& shape) {
  const auto dim = [&](int i) { return static_cast<uint32_t>(shape[i]); };
  if (shape.rank() == 4) return {dim(1), dim(2), dim(3)};
  if (shape.rank() == 3) return {dim(1), 1, dim(2)};
  return {static_cast<uint32_t>(shape.count()), 1, 1};
}

class Cutter {
 public:
  explicit Cutter(const Graph& graph) { net_.graph = split_activations(graph); }

  Result<Network> run() {
    const Graph& g = net_.graph;
    net_.name = g.name;
    sources_.resize(g.values.size());
    uses_ = find_uses(g);
    for (size_t i = 0; i < g.inputs.size(); ++i) add_input(g.inputs[i], static_cast<int>(i));
    CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(g));
    for (NodeId n : order) CARREL_RETURN_IF_ERROR(visit(g.node(n)));
    for (size_t i = 0; i < g.outputs.size(); ++i) add_output(g.outputs[i], static_cast<int>(i));
    return std::move(net_);
  }

 private:
  // Where a value is: what a layer gives, not yet encrypted, or a tensor.
  struct Source {
    int layer = -1;
    TensorId tensor = kNoTensor;
  };

  const Graph& graph() const { return net_.graph; }
  const Value& value(ValueId id) const { return graph().value(id); }
  Source& source(ValueId id) { return sources_[static_cast<size_t>(id)]; }
  Layer& layer(int i) { return net_.layers[static_cast<size_t>(i)]; }
  bool only_use(ValueId id) const {
    const bool output = std::find(graph().outputs.begin(), graph().outputs.end(), id) != graph().outputs.end();
    return !output && uses_.consumers[static_cast<size_t>(id)].size() == 1;
  }
  bool pending(ValueId id) { return source(id).layer >= 0 && source(id).tensor == kNoTensor; }

  TensorId add_tensor(ValueId id, const MapShape& shape) {
    net_.tensors.push_back({value(id).name, shape, -1, {id}});
    return static_cast<TensorId>(net_.tensors.size()) - 1;
  }

  void add_input(ValueId id, int input) {
    source(id).tensor = add_tensor(id, map_of(value(id).shape));
    net_.tensors.back().input = input;
  }

  void add_output(ValueId id, int output) {
    int index = source(id).layer;
    if (index < 0 || layer(index).output >= 0) index = refresh(id);
    layer(index).output = output;
    net_.output_names.push_back(value(id).name);
    net_.output_shapes.push_back(value(id).shape);
  }

  // The tensor of a value: what a layer gives is encrypted here at the latest.
  TensorId tensor_of(ValueId id) {
    Source& s = source(id);
    if (s.tensor == kNoTensor) {
      s.tensor = add_tensor(id, layer(s.layer).result);
      layer(s.layer).target = s.tensor;
    }
    return s.tensor;
  }
  MapShape shape_of(ValueId id) {
    return pending(id) ? layer(source(id).layer).result : net_.tensors[static_cast<size_t>(source(id).tensor)].shape;
  }

  // A layer that gives value `out`.
  Layer& add_layer(const Node& node, ValueId out, LayerKind kind, TensorId input, const Window& window, uint32_t channels) {
    Layer l;
    l.name = node.name;
    l.kind = kind;
    l.input = input;
    l.window = window;
    l.out = l.result = windowed(net_.tensors[static_cast<size_t>(input)].shape, window, channels);
    l.bias.assign(channels, 0);
    l.value = out;
    source(out).layer = static_cast<int>(net_.layers.size());
    net_.layers.push_back(std::move(l));
    return net_.layers.back();
  }

  // A layer by which the client sees a tensor again, as it is.
  int refresh(ValueId id) {
    const TensorId t = tensor_of(id);
    const Source before = source(id);
    Node node;
    node.name = value(id).name + "/refresh";
    const uint32_t channels = net_.tensors[static_cast<size_t>(t)].shape.channels;
    add_layer(node, id, LayerKind::kDepthwise, t, Window(), channels).weights.assign(channels, 1);
    source(id) = before;
    return static_cast<int>(net_.layers.size()) - 1;
  }

  static Error refuse(const Node& node, const char* why) {
    return Error(ErrorCode::kUnsupported, "%s: %s: %s", node.name.c_str(), op_name(node.op), why);
  }

  Result<const Tensor*> constant(const Node& node, size_t input) const {
    if (input < node.inputs.size() && node.inputs[input] != kNoValue && value(node.inputs[input]).is_const()) {
      return value(node.inputs[input]).constant.get();
    }
    return refuse(node, "homomorphic inference needs constant weights");
  }

  Status visit(const Node& node) {
    switch (node.op) {
      case OpType::kConv: return conv(node);
      case OpType::kGemm: return gemm(node);
      case OpType::kAffine: return affine(node);
      case OpType::kAdd: return add(node);
      case OpType::kGlobalAveragePool: return average(node, Window());
      case OpType::kAveragePool: return average_windows(node);
      case OpType::kUnary: return unary(node);
      case OpType::kMaxPool: return max_pool(node);
      case OpType::kSoftmax: return softmax(node, ClientOp::Kind::kSoftmax);
      case OpType::kLogSoftmax: return softmax(node, ClientOp::Kind::kLogSoftmax);
      case OpType::kConcat: return concat(node);
      case OpType::kReshape:
      case OpType::kIdentity: return alias(node);
      default: return refuse(node, "not in homomorphic inference");
    }
  }

  Status conv(const Node& node) {
    CARREL_ASSIGN(const Tensor* const w, constant(node, 1));
    if (w->shape.rank() != 4) return refuse(node, "only over two dimensions");
    const TensorId input = tensor_of(node.inputs[0]);
    const uint32_t in_channels = net_.tensors[static_cast<size_t>(input)].shape.channels;
    const int64_t groups = node.attributes.int_or("group", 1), outputs = w->shape[0];
    CARREL_ASSIGN(const Window window, window_of(node, w->shape[2], w->shape[3]));
    const bool depthwise = groups == in_channels && outputs == groups;
    Layer& l = add_layer(node, node.outputs[0], depthwise ? LayerKind::kDepthwise : LayerKind::kConv, input, window,
                         static_cast<uint32_t>(outputs));
    const std::span<const float> values = w->f32();
    if (groups == 1 || depthwise) l.weights.assign(values.begin(), values.end());
    else l.weights = spread_groups(values, static_cast<size_t>(outputs), in_channels, static_cast<size_t>(groups));
    return set_bias(node, 2, 1, &l);
  }

  // Weights of a grouped convolution as those of a whole one.
  static std::vector<float> spread_groups(std::span<const float> w, size_t outputs, size_t channels, size_t groups) {
    const size_t mine = channels / groups, taps = w.size() / outputs / mine;
    std::vector<float> all(outputs * channels * taps);
    for (size_t o = 0; o < outputs; ++o) {
      const size_t first = o / (outputs / groups) * mine;
      std::copy_n(&w[o * mine * taps], mine * taps, &all[(o * channels + first) * taps]);
    }
    return all;
  }

  Status set_bias(const Node& node, size_t input, float factor, Layer* l) {
    if (node.inputs.size() <= input || node.inputs[input] == kNoValue) return ok_status();
    CARREL_ASSIGN(const Tensor* const b, constant(node, input));
    const std::span<const float> values = b->f32();
    if (values.size() != 1 && values.size() != l->bias.size()) return refuse(node, "a bias that is not one of each output");
    for (size_t i = 0; i < l->bias.size(); ++i) l->bias[i] = factor * values[values.size() == 1 ? 0 : i];
    return ok_status();
  }

  // Over a map it is a convolution with a window of the map's size.
  Status gemm(const Node& node) {
    CARREL_ASSIGN(const Tensor* const b, constant(node, 1));
    if (node.attributes.int_or("transA", 0) != 0) return refuse(node, "a transposed input");
    const bool transposed = node.attributes.int_or("transB", 0) != 0;
    const float alpha = node.attributes.float_or("alpha", 1), beta = node.attributes.float_or("beta", 1);
    const size_t outputs = static_cast<size_t>(b->shape[transposed ? 0 : 1]), inner = static_cast<size_t>(b->shape[transposed ? 1 : 0]);
    const TensorId input = tensor_of(node.inputs[0]);
    const MapShape in = net_.tensors[static_cast<size_t>(input)].shape;
    if (in.count() != inner) return refuse(node, "more than one row");
    Window window;
    window.kernel_h = narrow(in.height);
    window.kernel_w = narrow(in.width);
    Layer& l = add_layer(node, node.outputs[0], LayerKind::kConv, input, window, static_cast<uint32_t>(outputs));
    l.weights.resize(outputs * inner);
    const std::span<const float> values = b->f32();
    for (size_t o = 0; o < outputs; ++o) {
      for (size_t i = 0; i < inner; ++i) l.weights[o * inner + i] = alpha * values[transposed ? o * inner + i : i * outputs + o];
    }
    return set_bias(node, 2, beta, &l);
  }

  Status affine(const Node& node) {
    CARREL_ASSIGN(const Tensor* const scale, constant(node, 1));
    const TensorId input = tensor_of(node.inputs[0]);
    const uint32_t channels = net_.tensors[static_cast<size_t>(input)].shape.channels;
    if (scale->count() != channels) return refuse(node, "not one factor for each channel");
    Layer& l = add_layer(node, node.outputs[0], LayerKind::kDepthwise, input, Window(), channels);
    l.weights.assign(scale->f32().begin(), scale->f32().end());
    return set_bias(node, 2, 1, &l);
  }

  // Joins the layer before it where that has just been made for it.
  Status add(const Node& node) {
    for (size_t i = 0; i < 2; ++i) {
      if (value(node.inputs[i]).is_const()) return refuse(node, "of a constant that is not one of each channel");
    }
    if (!(shape_of(node.inputs[0]) == shape_of(node.inputs[1]))) return refuse(node, "of two shapes");
    for (size_t i = 0; i < 2; ++i) {
      const ValueId mine = node.inputs[i], other = node.inputs[1 - i];
      if (!pending(mine) || !only_use(mine) || !layer(source(mine).layer).ops.empty()) continue;
      if (layer(source(mine).layer).addend != kNoTensor || mine == other) continue;
      // The other one must be there before this layer runs: it moves behind whatever makes it.
      const TensorId addend = tensor_of(other);
      const int moved = move_to_end(source(mine).layer);
      layer(moved).addend = addend;
      layer(moved).value = node.outputs[0];
      source(node.outputs[0]).layer = moved;
      return ok_status();
    }
    const TensorId first = tensor_of(node.inputs[0]), second = tensor_of(node.inputs[1]);
    const uint32_t channels = net_.tensors[static_cast<size_t>(first)].shape.channels;
    Layer& l = add_layer(node, node.outputs[0], LayerKind::kDepthwise, first, Window(), channels);
    l.weights.assign(channels, 1);
    l.addend = second;
    return ok_status();
  }

  // A layer that nothing reads yet may run last.
  int move_to_end(int index) {
    std::rotate(net_.layers.begin() + index, net_.layers.begin() + index + 1, net_.layers.end());
    const int last = static_cast<int>(net_.layers.size()) - 1;
    for (Source& s : sources_) {
      if (s.layer == index) s.layer = last;
      else if (s.layer > index) --s.layer;
    }
    return last;
  }

  Status average(const Node& node, Window window) {
    const TensorId input = tensor_of(node.inputs[0]);
    const MapShape in = net_.tensors[static_cast<size_t>(input)].shape;
    if (node.op == OpType::kGlobalAveragePool) {
      window.kernel_h = narrow(in.height);
      window.kernel_w = narrow(in.width);
    }
    Layer& l = add_layer(node, node.outputs[0], LayerKind::kDepthwise, input, window, in.channels);
    const size_t taps = size_t{window.kernel_h} * window.kernel_w;
    l.weights.assign(in.channels * taps, 1.0f / static_cast<float>(taps));
    return ok_status();
  }

  Status average_windows(const Node& node) {
    const std::vector<int64_t>& kernel = node.attributes.int_list("kernel_shape");
    if (kernel.size() != 2) return refuse(node, "only over two dimensions");
    CARREL_ASSIGN(const Window window, window_of(node, kernel[0], kernel[1]));
    if (window.pad_top + window.pad_left + window.pad_bottom + window.pad_right > 0) return refuse(node, "with pads");
    return average(node, window);
  }

  Status unary(const Node& node) {
    CARREL_RETURN_IF_ERROR(client_op(node, {ClientOp::Kind::kUnary, node.activation, {}}));
    return ok_status();
  }

  Status max_pool(const Node& node) {
    const std::vector<int64_t>& kernel = node.attributes.int_list("kernel_shape");
    if (kernel.size() != 2) return refuse(node, "only over two dimensions");
    CARREL_ASSIGN(const Window window, window_of(node, kernel[0], kernel[1]));
    const MapShape in = shape_of(node.inputs[0]);
    CARREL_RETURN_IF_ERROR(client_op(node, {ClientOp::Kind::kMaxPool, {}, window}));
    Layer& l = layer(source(node.outputs[0]).layer);
    l.result = windowed(in, window, in.channels);
    return ok_status();
  }

  Status softmax(const Node& node, ClientOp::Kind kind) {
    if (node.attributes.int_or("axis", 1) != 1) return refuse(node, "only over channels");
    return client_op(node, {kind, {}, {}});
  }

  Status client_op(const Node& node, const ClientOp& op) {
    const ValueId in = node.inputs[0];
    int index = pending(in) && only_use(in) ? source(in).layer : refresh(in);
    const std::vector<ClientOp>& before = layer(index).ops;
    const bool simple = std::all_of(before.begin(), before.end(), [](const ClientOp& o) { return o.elementwise(); });
    if (!op.elementwise() && !simple) index = refresh(in);
    layer(index).ops.push_back(op);
    source(node.outputs[0]) = {index, kNoTensor};
    return ok_status();
  }

  Status concat(const Node& node) {
    const int64_t axis = node.attributes.int_or("axis", 1);
    if (axis != 1) return refuse(node, "only of channels");
    const TensorId whole = add_tensor(node.outputs[0], map_of(value(node.outputs[0]).shape));
    net_.tensors.back().values.clear();
    uint32_t channel = 0;
    for (ValueId in : node.inputs) {
      Layer& l = layer(pending(in) && only_use(in) ? source(in).layer : refresh(in));
      l.target = whole;
      l.target_channel = channel;
      channel += l.result.channels;
      net_.tensors[static_cast<size_t>(whole)].values.push_back(in);
    }
    source(node.outputs[0]).tensor = whole;
    return ok_status();
  }

  // Same elements in the same order: what is a vector to the network stays a map here.
  Status alias(const Node& node) {
    const MapShape from = shape_of(node.inputs[0]), to = map_of(value(node.outputs[0]).shape);
    if (!(from == to) && to.height * to.width != 1) return refuse(node, "into another map");
    if (!only_use(node.inputs[0])) tensor_of(node.inputs[0]);
    source(node.outputs[0]) = source(node.inputs[0]);
    return ok_status();
  }

  Network net_;
  Uses uses_;
  std::vector<Source> sources_;
};

}  // namespace

std::vector<uint64_t> first_ids(const Network& network) {
  std::vector<uint64_t> first;
  uint64_t next = 0;
  for (const TensorInfo& t : network.tensors) {
    first.push_back(next);
    next += t.shape.count();
  }
  return first;
}

Result<Network> cut_network(const Graph& graph) { return Cutter(graph).run(); }

}  // namespace carrel::he
