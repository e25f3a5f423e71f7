#pragma once
// A network cut into what the server does to ciphertexts and what the client does to numbers.
//
// The server's layers are linear: a window of weights over a map, at most one more map added, a bias. The client decrypts what a layer
// gives, applies its *operations*, and encrypts the result: every tensor a layer reads is fresh, so noise never adds up over layers.
// Between two linear layers without anything in between the client does just that, a *refresh*.
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "engine/layout/conv.h"

namespace carrel::he {

// Of ciphertexts; each holds one element of every image.
struct MapShape {
  uint32_t channels = 1, height = 1, width = 1;
  uint64_t count() const { return uint64_t{channels} * height * width; }
  bool operator==(const MapShape&) const = default;
};

using TensorId = int32_t;
inline constexpr TensorId kNoTensor = -1;

enum class LayerKind : uint8_t {
  kConv,       // weights [out channel][in channel][kernel_h][kernel_w]
  kDepthwise,  // weights [channel][kernel_h][kernel_w]
};

// On decrypted numbers: element by element, over windows, or over channels. At most one of a layer is not element by element.
struct ClientOp {
  enum class Kind : uint8_t { kUnary, kMaxPool, kSoftmax, kLogSoftmax };
  Kind kind = Kind::kUnary;
  Unary unary;
  Window window;  // kMaxPool
  bool elementwise() const { return kind == Kind::kUnary; }
};

struct Layer {
  std::string name;
  LayerKind kind = LayerKind::kConv;
  TensorId input = 0;
  TensorId addend = kNoTensor;  // a map of the output's shape
  Window window;
  MapShape out;                 // what the client decrypts
  std::vector<float> weights, bias;  // bias: [out.channels]
  std::vector<ClientOp> ops;
  MapShape result;                   // after them
  TensorId target = kNoTensor;       // where the result goes, encrypted,
  uint32_t target_channel = 0;       // from this channel on
  int output = -1;                   // and which output of the network it is, if any
  ValueId value = kNoValue;          // of the cut graph: what is decrypted
};

struct TensorInfo {
  std::string name;
  MapShape shape;
  int input = -1;  // of the network
  std::vector<ValueId> values;  // of the cut graph, whose channels follow one another
};

struct Network {
  std::string name;
  std::vector<TensorInfo> tensors;
  std::vector<Layer> layers;  // an order in which inputs are there
  std::vector<std::string> output_names;
  std::vector<Shape> output_shapes;  // of one image
  Graph graph;                // the cut graph: as given, activations as nodes of their own
};

// Every fresh ciphertext has an id of its own, in the order of tensors, rows, columns, channels: the id of a tensor's first.
std::vector<uint64_t> first_ids(const Network& network);
inline uint64_t cipher_id(uint64_t first, const MapShape& shape, uint32_t y, uint32_t x, uint32_t channel) {
  return first + (uint64_t{y} * shape.width + x) * shape.channels + channel;
}

// graph: canonical and optimized, batch 1. Errors: kUnsupported naming the first node that neither side can do.
Result<Network> cut_network(const Graph& graph);

}  // namespace carrel::he
