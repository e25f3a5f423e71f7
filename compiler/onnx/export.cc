// export_onnx_*: a canonical graph as ONNX opset 17.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <climits>
#include <cmath>

#include "compiler/onnx/exporter.h"
#include "files/atomic_file.h"

namespace carrel {
namespace {

constexpr int64_t kIrVersion = 8;
constexpr int64_t kOpset = 17;
constexpr int kExportBlockBytes = 1 << 20;  // per write(2)

onnx::TensorProto::DataType onnx_type(DType type) {
  switch (type) {
    case DType::kI64:
      return onnx::TensorProto::INT64;
    case DType::kI32:
      return onnx::TensorProto::INT32;
    case DType::kI8:
      return onnx::TensorProto::INT8;
    case DType::kU8:
      return onnx::TensorProto::UINT8;
    default:
      return onnx::TensorProto::FLOAT;
  }
}

void set_shape(const Value& value, bool symbolic_batch, int64_t batch, onnx::ValueInfoProto* info) {
  info->set_name(value.name);
  onnx::TypeProto_Tensor* type = info->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx_type(value.type));
  onnx::TensorShapeProto* shape = type->mutable_shape();
  for (int i = 0; i < value.shape.rank(); ++i) {
    onnx::TensorShapeProto::Dimension* dim = shape->add_dim();
    if (i == 0 && symbolic_batch)
      dim->set_dim_param("N");
    else
      dim->set_dim_value(i == 0 && batch > 1 ? batch : value.shape[i]);
  }
}

}  // namespace

Exporter::Exporter(const Graph& graph, onnx::GraphProto* proto) : graph_(graph), proto_(*proto) {
  names_.resize(graph.values.size());
}

const std::string& Exporter::name(ValueId id) {
  static const std::string kOmitted;
  if (id == kNoValue) return kOmitted;
  std::string& name = names_[static_cast<size_t>(id)];
  if (!name.empty()) return name;
  name = graph_.value(id).name;
  if (name.empty()) name = "value";
  // The first to ask keeps the plain name.
  const std::string plain = name;
  for (int copy = 1; !taken_.insert(name).second; ++copy) name = plain + "." + std::to_string(copy);
  if (graph_.value(id).is_const()) write_tensor(*graph_.value(id).constant, name);
  return name;
}

std::string Exporter::fresh_name(const std::string& stem) {
  std::string name = stem;
  for (int copy = 1; !taken_.insert(name).second; ++copy) name = stem + "." + std::to_string(copy);
  return name;
}

void Exporter::write_tensor(const Tensor& tensor, const std::string& tensor_name) {
  onnx::TensorProto* proto = proto_.add_initializer();
  proto->set_name(tensor_name);
  for (int i = 0; i < tensor.shape.rank(); ++i) proto->add_dims(tensor.shape[i]);
  proto->set_data_type(onnx_type(tensor.type));
  proto->set_raw_data(tensor.data.data(), tensor.data.size());
}

std::string Exporter::int_list(const std::string& stem, const std::vector<int64_t>& values) {
  const std::string name = fresh_name(stem);
  write_tensor(Tensor::from_i64(Shape{static_cast<int64_t>(values.size())}, values), name);
  return name;
}

std::string Exporter::float_list(const std::string& stem, const std::vector<float>& values,
                                 bool scalar) {
  const std::string name = fresh_name(stem);
  const Shape shape = scalar ? Shape{} : Shape{static_cast<int64_t>(values.size())};
  write_tensor(Tensor::from_f32(shape, values), name);
  return name;
}

onnx::NodeProto* Exporter::add_node(const std::string& op, const std::string& node_name) {
  onnx::NodeProto* node = proto_.add_node();
  node->set_op_type(op);
  node->set_name(node_name);
  return node;
}

Status Exporter::run() {
  for (ValueId id : graph_.inputs) set_shape_of(id, proto_.add_input());
  // Outputs claim their names before anything else does.
  for (ValueId id : graph_.outputs) set_shape_of(id, proto_.add_output());
  CARREL_ASSIGN(const std::vector<NodeId> order, topological_order(graph_));
  for (NodeId n : order) CARREL_RETURN_IF_ERROR(write_node(graph_.node(n)));
  return ok_status();
}

void Exporter::set_shape_of(ValueId id, onnx::ValueInfoProto* info) {
  const Value& value = graph_.value(id);
  set_shape(value, graph_.batch == 0, graph_.batch, info);
  info->set_name(name(id));
}

namespace {

// What import would refuse as damage: NaN, and infinities in more than one element.
bool is_writable(const Tensor& tensor) {
  if (tensor.type != DType::kF32) return true;
  for (float value : tensor.f32()) {
    if (std::isnan(value) || (std::isinf(value) && tensor.count() > 1)) return false;
  }
  return true;
}

Result<onnx::ModelProto> to_model(const Graph& graph) {
  CARREL_RETURN_IF_ERROR(verify_graph(graph));
  uint64_t bytes = 0;
  for (const Value& value : graph.values) {
    if (!value.is_const()) continue;
    const auto count = static_cast<uint64_t>(value.shape.count());
    if (value.constant->data.empty() && count > 0) {
      return Error(ErrorCode::kUnsupported, "constant %s has no data to write", value.name.c_str());
    }
    if (value.type == DType::kBool || value.type == DType::kF64) {
      return Error(ErrorCode::kUnsupported, "constant %s: type %s is not written",
                   value.name.c_str(), dtype_name(value.type));
    }
    if (!is_writable(*value.constant)) {
      return Error(ErrorCode::kInvalidInput, "constant %s holds NaN or infinity",
                   value.name.c_str());
    }
    bytes += value.constant->data.size();
  }
  // Node lists add little; the rest of protobuf's 2 GiB is for them.
  if (bytes > uint64_t{INT_MAX} - (uint64_t{64} << 20)) {
    return Error(ErrorCode::kUnsupported, "an ONNX file cannot hold more than 2 GiB");
  }
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("carrel");
  onnx::OperatorSetIdProto* opset = model.add_opset_import();
  opset->set_domain("");
  opset->set_version(kOpset);
  model.mutable_graph()->set_name(graph.name.empty() ? "graph" : graph.name);
  Exporter exporter(graph, model.mutable_graph());
  CARREL_RETURN_IF_ERROR(exporter.run());
  return model;
}

// protobuf's bytes into a file; keeps the first error.
class FileSink : public google::protobuf::io::CopyingOutputStream {
 public:
  explicit FileSink(AtomicFile* file) : file_(*file) {}
  bool Write(const void* buffer, int size) override {
    status_ = file_.write({static_cast<const std::byte*>(buffer), static_cast<size_t>(size)});
    return status_.ok();
  }
  const Status& status() const { return status_; }

 private:
  AtomicFile& file_;
  Status status_ = ok_status();
};

// Equal graphs give equal bytes.
bool serialize(const onnx::ModelProto& model, google::protobuf::io::ZeroCopyOutputStream* stream) {
  google::protobuf::io::CodedOutputStream coded(stream);
  coded.SetSerializationDeterministic(true);
  return model.SerializeToCodedStream(&coded);
}

}  // namespace

Result<std::vector<std::byte>> export_onnx_bytes(const Graph& graph) {
  CARREL_ASSIGN(const onnx::ModelProto model, to_model(graph));
  std::vector<std::byte> bytes(model.ByteSizeLong());
  google::protobuf::io::ArrayOutputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  if (!serialize(model, &stream)) return Error(ErrorCode::kIo, "writing ONNX failed");
  return bytes;
}

Status export_onnx_file(const Graph& graph, const std::string& path) {
  CARREL_ASSIGN(const onnx::ModelProto model, to_model(graph));
  CARREL_ASSIGN(AtomicFile file, AtomicFile::create(path));
  FileSink sink(&file);
  bool good = false;
  {
    google::protobuf::io::CopyingOutputStreamAdaptor stream(&sink, kExportBlockBytes);
    good = serialize(model, &stream) && stream.Flush();
  }
  CARREL_RETURN_IF_ERROR(sink.status());
  if (!good) return Error(ErrorCode::kIo, "writing ONNX failed");
  return file.commit();
}

}  // namespace carrel
