#include "he/plan/client_plan.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace carrel::he {
namespace {

using Json = nlohmann::json;

constexpr uint32_t kMostCount = 100000;            // tensors, layers
constexpr uint64_t kMostElements = uint64_t{1} << 28;  // of a map, and of what all layers give
constexpr uint32_t kMostWindow = 1024;
constexpr const char* kOpNames[] = {"unary", "max_pool", "softmax", "log_softmax"};

Json shape_json(const MapShape& s) { return {s.channels, s.height, s.width}; }

Json window_json(const Window& w) {
  return {w.kernel_h, w.kernel_w, w.stride_h, w.stride_w, w.dilation_h, w.dilation_w, w.pad_top, w.pad_left, w.pad_bottom, w.pad_right};
}

Json op_json(const ClientOp& op) {
  Json json = {{"op", kOpNames[static_cast<size_t>(op.kind)]}};
  if (op.kind == ClientOp::Kind::kUnary) json.update({{"function", static_cast<int>(op.unary.fn)}, {"a", op.unary.a}, {"b", op.unary.b}});
  if (op.kind == ClientOp::Kind::kMaxPool) json["window"] = window_json(op.window);
  return json;
}

// Reads fields of a stranger's JSON; the first wrong one is what error() says.
class Reader {
 public:
  bool ok() const { return status_.ok(); }
  Status status() const { return status_; }
  void wrong(const char* what) {
    if (status_.ok()) status_ = Error(ErrorCode::kInvalidInput, "the server's plan: %s", what);
  }
  void require(bool condition, const char* what) {
    if (!condition) wrong(what);
  }

  const Json& at(const Json& json, const char* name) {
    static const Json kNothing;
    if (json.is_object()) {
      const auto found = json.find(name);
      if (found != json.end()) return *found;
    }
    wrong(name);
    return kNothing;
  }
  // An integer in [least, most].
  int64_t integer(const Json& json, int64_t least, int64_t most, const char* what) {
    if (json.is_number_integer() || json.is_number_unsigned()) {
      const int64_t v = json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX ? INT64_MAX : json.get<int64_t>();
      if (v >= least && v <= most) return v;
    }
    wrong(what);
    return least;
  }
  // Finite, in [least, most].
  double number(const Json& json, double least, double most, const char* what) {
    if (json.is_number()) {
      const double v = json.get<double>();
      if (v >= least && v <= most) return v;
    }
    wrong(what);
    return least;
  }
  const Json& list(const Json& json, size_t most, const char* what) {
    static const Json kNothing = Json::array();
    if (json.is_array() && json.size() <= most) return json;
    wrong(what);
    return kNothing;
  }
  std::string text(const Json& json, const char* what) {
    if (json.is_string() && json.get_ref<const std::string&>().size() <= 4096) return json.get<std::string>();
    wrong(what);
    return {};
  }
  MapShape shape(const Json& json) {
    if (list(json, 3, "a shape").size() != 3) {
      wrong("a shape");
      return {};
    }
    const auto dim = [&](size_t i) { return static_cast<uint32_t>(integer(json[i], 1, 1 << 24, "a dimension")); };
    const MapShape s{dim(0), dim(1), dim(2)};
    require(s.count() <= kMostElements, "a map that is too large");
    return s;
  }
  Window window(const Json& json) {
    Window w;
    if (list(json, 10, "a window").size() != 10) {
      wrong("a window");
      return w;
    }
    uint16_t* const fields[] = {&w.kernel_h, &w.kernel_w, &w.stride_h, &w.stride_w, &w.dilation_h, &w.dilation_w, &w.pad_top, &w.pad_left, &w.pad_bottom, &w.pad_right};
    for (size_t i = 0; i < 10; ++i) *fields[i] = static_cast<uint16_t>(integer(json[i], i < 6 ? 1 : 0, kMostWindow, "a window"));
    return w;
  }

 private:
  Status status_ = ok_status();
};

ClientOp parse_op(Reader* r, const Json& json) {
  ClientOp op;
  const std::string name = r->text(r->at(json, "op"), "an operation");
  size_t kind = 0;
  while (kind < std::size(kOpNames) && name != kOpNames[kind]) ++kind;
  if (kind == std::size(kOpNames)) {
    r->wrong("an unknown operation");
    return op;
  }
  op.kind = static_cast<ClientOp::Kind>(kind);
  if (op.kind == ClientOp::Kind::kUnary) {
    op.unary.fn = static_cast<UnaryFn>(r->integer(r->at(json, "function"), 0, static_cast<int>(UnaryFn::kCount) - 1, "a function"));
    op.unary.a = static_cast<float>(r->number(r->at(json, "a"), -3e38, 3e38, "a parameter"));
    op.unary.b = static_cast<float>(r->number(r->at(json, "b"), -3e38, 3e38, "a parameter"));
  }
  if (op.kind == ClientOp::Kind::kMaxPool) op.window = r->window(r->at(json, "window"));
  return op;
}

// Of a layer's operations: the shape they give must be the one stated.
void check_ops(Reader* r, const Layer& layer) {
  MapShape shape = layer.out;
  int others = 0;
  for (const ClientOp& op : layer.ops) {
    others += !op.elementwise();
    if (op.kind != ClientOp::Kind::kMaxPool) continue;
    const Window& w = op.window;
    const auto along = [&](uint32_t size, uint32_t pads, int32_t span, uint32_t stride) -> uint32_t {
      const int64_t room = int64_t{size} + pads - span;
      return room < 0 ? 0 : static_cast<uint32_t>(room) / stride + 1;
    };
    shape.height = along(shape.height, uint32_t{w.pad_top} + w.pad_bottom, w.span_h(), w.stride_h);
    shape.width = along(shape.width, uint32_t{w.pad_left} + w.pad_right, w.span_w(), w.stride_w);
  }
  r->require(others <= 1, "operations in an order that is not done");
  r->require(shape == layer.result, "a layer whose operations give another shape");
}

Layer parse_layer(Reader* r, const Json& json, const Network& network, LayerScales* scales, double modulus) {
  Layer layer;
  layer.name = r->text(r->at(json, "name"), "a name");
  layer.out = r->shape(r->at(json, "out"));
  layer.result = r->shape(r->at(json, "result"));
  for (const Json& op : r->list(r->at(json, "ops"), 64, "operations")) layer.ops.push_back(parse_op(r, op));
  layer.target = static_cast<TensorId>(r->integer(r->at(json, "target"), -1, static_cast<int64_t>(network.tensors.size()) - 1, "a target"));
  layer.target_channel = static_cast<uint32_t>(r->integer(r->at(json, "target_channel"), 0, 1 << 24, "a channel"));
  layer.output = static_cast<int>(r->integer(r->at(json, "output"), -1, static_cast<int64_t>(network.output_names.size()) - 1, "an output"));
  const Json& out = r->list(r->at(json, "scales"), layer.out.channels, "scales");
  r->require(out.size() == layer.out.channels, "scales");
  for (const Json& s : out) scales->out.push_back(r->number(s, 1e-30, modulus, "a scale"));
  scales->noise = r->number(r->at(json, "noise"), 0, 1e30, "noise");
  check_ops(r, layer);
  if (layer.target != kNoTensor && r->ok()) {
    const TensorInfo& target = network.tensors[static_cast<size_t>(layer.target)];
    const bool fits = layer.result.height == target.shape.height && layer.result.width == target.shape.width &&
                      uint64_t{layer.target_channel} + layer.result.channels <= target.shape.channels;
    r->require(fits && target.input < 0, "a layer that does not fit its target");
  }
  if (layer.output >= 0 && r->ok()) {
    const Shape& shape = network.output_shapes[static_cast<size_t>(layer.output)];
    r->require(static_cast<uint64_t>(shape.count()) == layer.result.count(), "an output of another shape");
  }
  return layer;
}

// Inputs are numbered from 0, each of one tensor.
void check_inputs(Reader* r, const Network& network) {
  std::vector<bool> seen(network.tensors.size());
  size_t count = 0;
  for (const TensorInfo& t : network.tensors) {
    if (t.input < 0) continue;
    const size_t input = static_cast<size_t>(t.input);
    r->require(input < seen.size() && !seen[input], "an input of two tensors");
    if (!r->ok()) return;
    seen[input] = true;
    ++count;
  }
  r->require(std::find(seen.begin(), seen.begin() + static_cast<std::ptrdiff_t>(count), false) == seen.begin() + static_cast<std::ptrdiff_t>(count),
             "inputs with a gap");
}

// No ciphertext and no output may be made twice: the second would be under an id that served.
void check_targets(Reader* r, const Network& network) {
  std::vector<std::vector<std::pair<uint32_t, uint32_t>>> taken(network.tensors.size());
  std::vector<int> outputs(network.output_names.size());
  for (const Layer& layer : network.layers) {
    if (layer.output >= 0) r->require(++outputs[static_cast<size_t>(layer.output)] == 1, "an output that is made twice");
    if (layer.target == kNoTensor) continue;
    const std::pair<uint32_t, uint32_t> mine{layer.target_channel, layer.target_channel + layer.result.channels};
    for (const auto& other : taken[static_cast<size_t>(layer.target)]) {
      r->require(mine.first >= other.second || other.first >= mine.second, "a tensor that is made twice");
    }
    taken[static_cast<size_t>(layer.target)].push_back(mine);
  }
  r->require(!outputs.empty() && std::find(outputs.begin(), outputs.end(), 0) == outputs.end(), "an output that no layer makes");
}

}  // namespace

std::string encode_client_plan(const Network& network, const Scaling& scaling) {
  Json json = {{"name", network.name}, {"degree", scaling.ring.degree}, {"modulus_bits", scaling.ring.modulus_bits}};
  json["tensors"] = json["layers"] = json["outputs"] = Json::array();
  for (size_t t = 0; t < network.tensors.size(); ++t) {
    const TensorInfo& info = network.tensors[t];
    json["tensors"].push_back({{"name", info.name}, {"shape", shape_json(info.shape)}, {"input", info.input}, {"scale", scaling.tensors[t]}});
  }
  for (size_t i = 0; i < network.output_names.size(); ++i) {
    Json dims = Json::array();
    for (int d = 0; d < network.output_shapes[i].rank(); ++d) dims.push_back(network.output_shapes[i][d]);
    json["outputs"].push_back({{"name", network.output_names[i]}, {"shape", dims}});
  }
  for (size_t l = 0; l < network.layers.size(); ++l) {
    const Layer& layer = network.layers[l];
    Json ops = Json::array();
    for (const ClientOp& op : layer.ops) ops.push_back(op_json(op));
    json["layers"].push_back({{"name", layer.name}, {"out", shape_json(layer.out)}, {"result", shape_json(layer.result)}, {"ops", ops},
                              {"target", layer.target}, {"target_channel", layer.target_channel}, {"output", layer.output},
                              {"scales", scaling.layers[l].out}, {"noise", scaling.layers[l].noise}});
  }
  return json.dump();
}

Result<ClientPlan> parse_client_plan(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  Reader r;
  ClientPlan plan;
  Network& net = plan.network;
  net.name = r.text(r.at(json, "name"), "name");
  plan.scaling.ring.degree = static_cast<uint32_t>(r.integer(r.at(json, "degree"), kLeastDegree, kMostDegree, "degree"));
  plan.scaling.ring.modulus_bits = static_cast<uint32_t>(r.integer(r.at(json, "modulus_bits"), 32, 52, "modulus_bits"));
  CARREL_RETURN_IF_ERROR(r.status());
  CARREL_RETURN_IF_ERROR(check_ring(plan.scaling.ring));
  const double modulus = std::ldexp(1.0, static_cast<int>(plan.scaling.ring.modulus_bits));
  for (const Json& t : r.list(r.at(json, "tensors"), kMostCount, "tensors")) {
    TensorInfo info{r.text(r.at(t, "name"), "a name"), r.shape(r.at(t, "shape")), static_cast<int>(r.integer(r.at(t, "input"), -1, 1024, "an input")), {}};
    net.tensors.push_back(std::move(info));
    plan.scaling.tensors.push_back(static_cast<float>(r.number(r.at(t, "scale"), 1e-30, modulus, "a scale")));
    CARREL_RETURN_IF_ERROR(r.status());
  }
  for (const Json& o : r.list(r.at(json, "outputs"), 1024, "outputs")) {
    net.output_names.push_back(r.text(r.at(o, "name"), "a name"));
    Shape shape;
    for (const Json& d : r.list(r.at(o, "shape"), Shape::kMaxRank, "an output's shape")) {
      r.require(shape.push_back(r.integer(d, 1, 1 << 24, "a dimension")), "an output's shape");
    }
    r.require(shape.rank() > 0, "an output's shape");
    const Result<uint64_t> count = shape.element_count();
    r.require(count.ok() && *count <= kMostElements, "an output that is too large");
    net.output_shapes.push_back(shape);
    CARREL_RETURN_IF_ERROR(r.status());
  }
  for (const Json& l : r.list(r.at(json, "layers"), kMostCount, "layers")) {
    LayerScales scales;
    net.layers.push_back(parse_layer(&r, l, net, &scales, modulus));
    plan.scaling.layers.push_back(std::move(scales));
    CARREL_RETURN_IF_ERROR(r.status());
  }
  uint64_t all = 0;
  for (const Layer& layer : net.layers) all += layer.out.count();
  r.require(all <= kMostElements, "more ciphertexts than can be");
  check_inputs(&r, net);
  check_targets(&r, net);
  CARREL_RETURN_IF_ERROR(r.status());
  return plan;
}

}  // namespace carrel::he
