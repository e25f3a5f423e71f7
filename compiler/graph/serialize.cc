#include "compiler/graph/serialize.h"

#include "base/checked.h"

namespace carrel {
namespace {

constexpr uint32_t kMagic = 0x46524743;  // "CGRF"
constexpr uint32_t kVersion = 1;
constexpr uint32_t kMaxCount = 1u << 20;  // of anything: a network has thousands
constexpr uint32_t kMaxNameBytes = 4096;

class Writer {
 public:
  template <typename T>
  void number(T v) {
    const auto* p = reinterpret_cast<const std::byte*>(&v);
    out.insert(out.end(), p, p + sizeof v);
  }
  void count(size_t n) { number(static_cast<uint32_t>(n)); }
  void text(const std::string& s) {
    const size_t n = std::min<size_t>(s.size(), kMaxNameBytes);
    count(n);
    const auto* p = reinterpret_cast<const std::byte*>(s.data());
    out.insert(out.end(), p, p + n);
  }
  template <typename T>
  void list(const std::vector<T>& values) {
    count(values.size());
    for (T v : values) number(v);
  }
  void shape(const Shape& s) {
    number(static_cast<uint8_t>(s.rank()));
    for (int i = 0; i < s.rank(); ++i) number(s[i]);
  }
  std::vector<std::byte> out;
};

// Reads with bounds; after the first failure everything reads as zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && at_ == bytes_.size(); }

  template <typename T>
  T number() {
    T v{};
    if (take(sizeof v)) std::memcpy(&v, bytes_.data() + at_ - sizeof v, sizeof v);
    return v;
  }
  // A count of things that take at least `least_bytes` each, so that memory taken is bounded by the bytes present.
  uint32_t count(size_t least_bytes) {
    const uint32_t n = number<uint32_t>();
    if (n > kMaxCount || n * least_bytes > bytes_.size() - at_) ok_ = false;
    return ok_ ? n : 0;
  }
  std::string text() {
    const uint32_t n = count(1);
    if (n > kMaxNameBytes || !take(n)) {
      ok_ = false;
      return {};
    }
    return {reinterpret_cast<const char*>(bytes_.data() + at_ - n), n};
  }
  template <typename T>
  std::vector<T> list() {
    std::vector<T> values(count(sizeof(T)));
    for (T& v : values) v = number<T>();
    return values;
  }
  Shape shape() {
    Shape s;
    const uint8_t rank = number<uint8_t>();
    if (rank > Shape::kMaxRank) ok_ = false;
    for (int i = 0; ok_ && i < rank; ++i) ok_ = s.push_back(number<int64_t>());
    if (!s.element_count().ok()) ok_ = false;
    return s;
  }
  void fail() { ok_ = false; }
  bool take(size_t n) {
    if (!ok_ || n > bytes_.size() - at_) {
      ok_ = false;
      return false;
    }
    at_ += n;
    return true;
  }
  std::span<const std::byte> last(size_t n) const { return bytes_.subspan(at_ - n, n); }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

// Float constants are weights; integers and booleans are architecture.
bool is_public(const Tensor& t) { return t.type != DType::kF32 && t.type != DType::kF64; }

void write_value(const Value& v, Writer* w) {
  w->text(v.name);
  w->number(static_cast<uint8_t>(v.type));
  w->number(static_cast<uint8_t>(v.shape_known));
  w->shape(v.shape);
  const bool constant = v.constant != nullptr;
  w->number(static_cast<uint8_t>(!constant ? 0 : is_public(*v.constant) ? 2 : 1));
  if (!constant) return;
  w->number(static_cast<uint8_t>(v.constant->type));
  w->shape(v.constant->shape);
  if (is_public(*v.constant)) w->out.insert(w->out.end(), v.constant->data.begin(), v.constant->data.end());
}

Value read_value(Reader* r) {
  Value v;
  v.name = r->text();
  v.type = static_cast<DType>(r->number<uint8_t>());
  v.shape_known = r->number<uint8_t>() != 0;
  v.shape = r->shape();
  const uint8_t constant = r->number<uint8_t>();
  if (v.type > DType::kF64 || constant > 2) r->fail();
  if (constant == 0 || !r->ok()) return v;
  auto t = std::make_shared<Tensor>();
  t->type = static_cast<DType>(r->number<uint8_t>());
  t->shape = r->shape();
  if (!r->ok() || t->type > DType::kF64 || is_public(*t) != (constant == 2)) {
    r->fail();
    return v;
  }
  if (constant == 2) {
    const uint64_t bytes = static_cast<uint64_t>(t->count()) * dtype_size(t->type);
    if (!r->take(bytes)) return v;
    const std::span<const std::byte> data = r->last(bytes);
    t->data.assign(data.begin(), data.end());
  }
  v.constant = std::move(t);
  return v;
}

template <typename T>
void write_attributes(const std::map<std::string, std::vector<T>>& all, Writer* w) {
  w->count(all.size());
  for (const auto& [name, values] : all) {
    w->text(name);
    w->list(values);
  }
}

template <typename T>
void read_attributes(std::map<std::string, std::vector<T>>* all, Reader* r) {
  const uint32_t n = r->count(8);
  for (uint32_t i = 0; r->ok() && i < n; ++i) {
    const std::string name = r->text();
    (*all)[name] = r->template list<T>();
  }
}

void write_node(const Node& n, Writer* w) {
  w->text(n.name);
  w->number(static_cast<uint8_t>(n.op));
  w->list(n.inputs);
  w->list(n.outputs);
  write_attributes(n.attributes.ints, w);
  write_attributes(n.attributes.floats, w);
  w->number(static_cast<uint8_t>(n.activation.fn));
  w->number(n.activation.a);
  w->number(n.activation.b);
}

Node read_node(Reader* r) {
  Node n;
  n.name = r->text();
  n.op = static_cast<OpType>(r->number<uint8_t>());
  n.inputs = r->list<ValueId>();
  n.outputs = r->list<ValueId>();
  read_attributes(&n.attributes.ints, r);
  read_attributes(&n.attributes.floats, r);
  n.activation.fn = static_cast<UnaryFn>(r->number<uint8_t>());
  n.activation.a = r->number<float>();
  n.activation.b = r->number<float>();
  if (n.op >= OpType::kCount || n.activation.fn >= UnaryFn::kCount) r->fail();
  return n;
}

}  // namespace

std::vector<std::byte> serialize_architecture(const Graph& graph) {
  Writer w;
  w.number(kMagic);
  w.number(kVersion);
  w.text(graph.name);
  w.number(graph.batch);
  w.count(graph.values.size());
  for (const Value& v : graph.values) write_value(v, &w);
  w.count(graph.nodes.size());
  for (const Node& n : graph.nodes) write_node(n, &w);
  w.list(graph.inputs);
  w.list(graph.outputs);
  return std::move(w.out);
}

Result<Graph> parse_architecture(std::span<const std::byte> bytes) {
  const Error bad(ErrorCode::kInvalidInput, "the architecture in the file is malformed");
  Reader r(bytes);
  if (r.number<uint32_t>() != kMagic || r.number<uint32_t>() != kVersion) return bad;
  Graph graph;
  graph.name = r.text();
  graph.batch = r.number<int64_t>();
  constexpr size_t kLeastValueBytes = 8, kLeastNodeBytes = 24;
  const uint32_t values = r.count(kLeastValueBytes);
  for (uint32_t i = 0; r.ok() && i < values; ++i) graph.values.push_back(read_value(&r));
  const uint32_t nodes = r.count(kLeastNodeBytes);
  for (uint32_t i = 0; r.ok() && i < nodes; ++i) graph.nodes.push_back(read_node(&r));
  graph.inputs = r.list<ValueId>();
  graph.outputs = r.list<ValueId>();
  if (!r.at_end() || graph.batch < 0) return bad;
  CARREL_RETURN_IF_ERROR(verify_graph(graph));
  return graph;
}

}  // namespace carrel
