// Layout: fixed-width little-endian numbers, lists as a u32 count and their entries, strings as
// lists of bytes.
#include "compiler/graph/serialize.h"

#include <bit>

namespace carrel {
namespace {

constexpr uint32_t kMagic = 0x48524143;  // "CARH"
constexpr uint32_t kVersion = 1;
static_assert(std::endian::native == std::endian::little);

// What a value carries besides its shape.
enum ValueKind : uint8_t { kRunTime = 0, kShapeOnly = 1, kWithData = 2 };

class Writer {
 public:
  template <typename T>
  void number(T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof(T));
  }
  template <typename T>
  void list(const std::vector<T>& values) {
    number(static_cast<uint32_t>(values.size()));
    for (const T& value : values) number(value);
  }
  void string(const std::string& text) {
    number(static_cast<uint32_t>(text.size()));
    for (char c : text) number(c);
  }
  template <typename T>
  void map(const std::map<std::string, std::vector<T>>& entries) {
    number(static_cast<uint32_t>(entries.size()));
    for (const auto& [name, values] : entries) {
      string(name);
      list(values);
    }
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

// Reads what Writer wrote; after the first failure everything reads as zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  bool done() const { return ok_ && bytes_.empty(); }
  void fail() {
    ok_ = false;
    bytes_ = {};
  }

  template <typename T>
  T number() {
    T value{};
    if (bytes_.size() < sizeof(T)) {
      fail();
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  // A count of entries of at least `entry_bytes` each, all of them present.
  size_t count(size_t entry_bytes) {
    const size_t entries = number<uint32_t>();
    if (entries > bytes_.size() / entry_bytes) {
      fail();
      return 0;
    }
    return entries;
  }
  template <typename T>
  std::vector<T> list() {
    std::vector<T> values(count(sizeof(T)));
    for (T& value : values) value = number<T>();
    return values;
  }
  std::string string() {
    std::string text(count(1), '\0');
    for (char& c : text) c = number<char>();
    return text;
  }
  template <typename T>
  std::map<std::string, std::vector<T>> map() {
    std::map<std::string, std::vector<T>> entries;
    // A name's length and a list's length.
    const size_t size = count(2 * sizeof(uint32_t));
    for (size_t i = 0; i < size && ok_; ++i) {
      const std::string name = string();
      // Sorted and distinct, so that every graph has one form.
      if (!entries.empty() && entries.rbegin()->first >= name) fail();
      entries[name] = list<T>();
    }
    return entries;
  }
  std::vector<std::byte> bytes(uint64_t size) {
    if (size > bytes_.size()) {
      fail();
      return {};
    }
    std::vector<std::byte> taken(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(size));
    bytes_ = bytes_.subspan(size);
    return taken;
  }

 private:
  std::span<const std::byte> bytes_;
  bool ok_ = true;
};

// Weights, their scales and biases; what the architecture consists of is int64 or bool.
bool is_secret(DType type) { return type != DType::kI64 && type != DType::kBool; }

void write_value(const Value& value, Writer* writer) {
  const bool data = value.is_const() && !is_secret(value.type);
  writer->string(value.name);
  writer->number(static_cast<uint8_t>(value.type));
  writer->number(static_cast<uint8_t>(data ? kWithData : value.is_const() ? kShapeOnly : kRunTime));
  writer->number(static_cast<uint8_t>(value.shape_known));
  writer->number(static_cast<uint8_t>(value.shape.rank()));
  for (int i = 0; i < value.shape.rank(); ++i) writer->number(value.shape[i]);
  if (!data) return;
  for (std::byte b : value.constant->data) writer->number(b);
}

Value read_value(Reader* reader) {
  Value value;
  value.name = reader->string();
  const auto type = reader->number<uint8_t>();
  const auto kind = reader->number<uint8_t>();
  const auto known = reader->number<uint8_t>();
  const auto rank = reader->number<uint8_t>();
  if (type > static_cast<uint8_t>(DType::kF64) || kind > kWithData || known > 1 ||
      rank > Shape::kMaxRank) {
    reader->fail();
    return value;
  }
  value.type = static_cast<DType>(type);
  value.shape_known = known != 0;
  value.shape.resize(rank);
  for (int i = 0; i < rank; ++i) value.shape[i] = reader->number<int64_t>();
  if (kind == kRunTime) return value;
  const Result<uint64_t> count = value.shape.element_count();
  if (!count.ok() || (kind == kShapeOnly) != is_secret(value.type)) {
    reader->fail();
    return value;
  }
  Tensor tensor;
  tensor.type = value.type;
  tensor.shape = value.shape;
  if (kind == kWithData) tensor.data = reader->bytes(*count * dtype_size(value.type));
  value.constant = std::make_shared<const Tensor>(std::move(tensor));
  return value;
}

void write_node(const Node& node, Writer* writer) {
  writer->string(node.name);
  writer->number(static_cast<uint8_t>(node.op));
  writer->number(static_cast<uint8_t>(node.activation.fn));
  writer->number(node.activation.a);
  writer->number(node.activation.b);
  writer->list(node.inputs);
  writer->list(node.outputs);
  writer->map(node.attributes.ints);
  writer->map(node.attributes.floats);
}

Node read_node(Reader* reader) {
  Node node;
  node.name = reader->string();
  const auto op = reader->number<uint8_t>();
  const auto fn = reader->number<uint8_t>();
  if (op >= static_cast<uint8_t>(OpType::kCount) || fn >= static_cast<uint8_t>(UnaryFn::kCount)) {
    reader->fail();
    return node;
  }
  node.op = static_cast<OpType>(op);
  node.activation.fn = static_cast<UnaryFn>(fn);
  node.activation.a = reader->number<float>();
  node.activation.b = reader->number<float>();
  node.inputs = reader->list<ValueId>();
  node.outputs = reader->list<ValueId>();
  node.attributes.ints = reader->map<int64_t>();
  node.attributes.floats = reader->map<float>();
  return node;
}

// Least bytes of a value and of a node: their fixed fields and the lengths of their lists.
constexpr size_t kLeastValueBytes = 4 + 4;
constexpr size_t kLeastNodeBytes = 4 + 2 + 8 + 4 * 4;

}  // namespace

std::vector<std::byte> serialize_architecture(const Graph& graph) {
  Writer writer;
  writer.number(kMagic);
  writer.number(kVersion);
  writer.string(graph.name);
  writer.number(graph.batch);
  writer.number(static_cast<uint32_t>(graph.values.size()));
  for (const Value& value : graph.values) write_value(value, &writer);
  uint32_t live = 0;
  for (const Node& node : graph.nodes) live += !node.dead;
  writer.number(live);
  for (const Node& node : graph.nodes) {
    if (!node.dead) write_node(node, &writer);
  }
  writer.list(graph.inputs);
  writer.list(graph.outputs);
  return writer.take();
}

Result<Graph> parse_architecture(std::span<const std::byte> bytes) {
  const Error damaged(ErrorCode::kInvalidInput, "the stored architecture is damaged");
  Reader reader(bytes);
  if (reader.number<uint32_t>() != kMagic || reader.number<uint32_t>() != kVersion) return damaged;
  Graph graph;
  graph.name = reader.string();
  graph.batch = reader.number<int64_t>();
  const size_t values = reader.count(kLeastValueBytes);
  for (size_t i = 0; i < values && reader.ok(); ++i) graph.add_value(read_value(&reader));
  const size_t nodes = reader.count(kLeastNodeBytes);
  for (size_t i = 0; i < nodes && reader.ok(); ++i) graph.add_node(read_node(&reader));
  graph.inputs = reader.list<ValueId>();
  graph.outputs = reader.list<ValueId>();
  if (!reader.done() || graph.batch < 0) return damaged;
  CARREL_RETURN_IF_ERROR(verify_graph(graph));
  return graph;
}

}  // namespace carrel
