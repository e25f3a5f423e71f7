// import_onnx_*: parsing, opset, and the choice of batch.
#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/stubs/logging.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "compiler/graph/batch.h"
#include "compiler/onnx/graph_builder.h"
#include "compiler/onnx/names.h"

namespace carrel {
namespace {

// Models are opset 7 and later; of older ones, operators that opset 7 defines alike are taken too.
constexpr int64_t kFirstOpset = 1;
constexpr int64_t kLastOpset = 21;
// A second batch size to tell the batch dimension from others that are 1 as well.
constexpr int64_t kProbeBatch = 2;

Result<int> find_opset(const onnx::ModelProto& model) {
  int64_t opset = 0;
  for (const onnx::OperatorSetIdProto& entry : model.opset_import()) {
    if (entry.domain().empty() || entry.domain() == "ai.onnx") opset = entry.version();
  }
  if (opset < kFirstOpset || opset > kLastOpset) {
    return Error(ErrorCode::kUnsupported, "opset %lld: up to 21 is supported",
                 static_cast<long long>(opset));
  }
  return static_cast<int>(opset);
}

bool same_constant(const Value& a, const Value& b) {
  if (a.constant == b.constant) return true;
  return a.constant->type == b.constant->type && a.constant->shape == b.constant->shape &&
         a.constant->data == b.constant->data;
}

// A node's attributes without the entries that say the batch by right: the leading dimension of a
// shape, and where a Slice of the images ends.
Attributes without_batch(const Node& node) {
  Attributes attributes = node.attributes;
  for (const char* name : {"shape", "output_shape"}) {
    const auto shape = attributes.ints.find(name);
    if (shape != attributes.ints.end() && !shape->second.empty()) shape->second[0] = 0;
  }
  if (node.op == OpType::kSlice) {
    const std::vector<int64_t>& axes = node.attributes.int_list("axes");
    for (size_t i = 0; i < axes.size(); ++i) {
      if (axes[i] == 0) attributes.ints["ends"][i] = 0;
    }
  }
  return attributes;
}

bool same_node(const Node& a, const Node& b) {
  return a.op == b.op && a.inputs == b.inputs && a.outputs == b.outputs &&
         a.activation == b.activation && without_batch(a) == without_batch(b);
}

// `other` is `one` with `batch` in place of 1 as the leading dimension of every run-time value, and
// nothing else.
bool differs_in_batch_only(const Graph& one, const Graph& other, int64_t batch) {
  if (one.values.size() != other.values.size() || one.nodes.size() != other.nodes.size()) {
    return false;
  }
  for (size_t n = 0; n < one.nodes.size(); ++n) {
    if (!same_node(one.nodes[n], other.nodes[n])) return false;
  }
  for (size_t v = 0; v < one.values.size(); ++v) {
    const Value& a = one.values[v];
    const Value& b = other.values[v];
    if (a.is_const() != b.is_const()) return false;
    if (a.is_const()) {
      if (!same_constant(a, b)) return false;
      continue;
    }
    Shape expected = a.shape;
    if (expected.rank() == 0) return false;
    expected[0] = batch;
    if (!(expected == b.shape)) return false;
  }
  return true;
}

// The file's batch stays symbolic or fixed at n as an outer loop over a graph for one image where
// that gives the same answers; otherwise the graph takes its inputs as the file states them.
Result<Graph> choose_batch(const Source& source, const ImportOptions& options,
                           std::vector<std::string>* unsupported) {
  const bool symbolic = source.batch == 0;
  Result<Graph> stated = build_graph(source, options, symbolic ? 1 : -1, unsupported);
  if (!stated.ok()) return stated.error();
  stated->batch = 1;
  if (source.batch < 0 || source.batch == 1) return stated;
  std::vector<std::string> ignored;
  Result<Graph> second = build_graph(source, options, symbolic ? kProbeBatch : 1, &ignored);
  if (!second.ok()) return stated;
  Graph& one = symbolic ? *stated : *second;
  const Graph& many = symbolic ? *second : *stated;
  if (!batch_separable(one) ||
      !differs_in_batch_only(one, many, symbolic ? kProbeBatch : source.batch)) {
    return stated;
  }
  one.batch = source.batch;
  return symbolic ? stated : second;
}

Result<Graph> import_model(onnx::ModelProto* model, const std::string& folder,
                           const ImportOptions& options, std::vector<std::string>* unsupported) {
  std::vector<std::string> unread;
  std::vector<std::string>* found = unsupported ? unsupported : &unread;
  found->clear();
  if (!model->has_graph() || model->opset_import_size() == 0) {
    return Error(ErrorCode::kInvalidInput, "this is not an ONNX model");
  }
  CARREL_ASSIGN(const int opset, find_opset(*model));
  CARREL_ASSIGN(const Source source,
                prepare_source(model->mutable_graph(), opset, folder, options));
  return choose_batch(source, options, found);
}

Error not_onnx() {
  return Error(ErrorCode::kInvalidInput, "this is not an ONNX file, or it is truncated");
}

bool parse(google::protobuf::io::ZeroCopyInputStream* stream, onnx::ModelProto* model) {
  const google::protobuf::LogSilencer silence;  // libraries never print
  google::protobuf::io::CodedInputStream coded(stream);
  coded.SetTotalBytesLimit(INT_MAX);
  return model->ParseFromCodedStream(&coded) && coded.ConsumedEntireMessage();
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<Graph> import_onnx_bytes(std::span<const std::byte> bytes, const std::string& folder,
                                const ImportOptions& options,
                                std::vector<std::string>* unsupported) {
  if (bytes.size() > INT_MAX) {
    return Error(ErrorCode::kInvalidInput,
                 "the model is larger than 2 GiB; keep its weights in external data files");
  }
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  onnx::ModelProto model;
  if (!parse(&stream, &model)) return not_onnx();
  return import_model(&model, folder, options, unsupported);
}

Result<Graph> import_onnx_file(const std::string& path, const ImportOptions& options,
                               std::vector<std::string>* unsupported) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Error(ErrorCode::kIo, "cannot be read: %s", std::strerror(errno));
  google::protobuf::io::FileInputStream stream(fd);
  stream.SetCloseOnDelete(true);
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    return Error(ErrorCode::kInvalidInput, "not a regular file");
  }
  if (status.st_size > INT_MAX) {
    return Error(ErrorCode::kInvalidInput,
                 "larger than 2 GiB; keep its weights in external data files");
  }
  onnx::ModelProto model;
  if (!parse(&stream, &model)) return not_onnx();
  return import_model(&model, folder_of(path), options, unsupported);
}

}  // namespace carrel
