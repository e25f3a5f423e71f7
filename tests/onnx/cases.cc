#include "tests/onnx/cases.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/half.h"

namespace carrel::conformance {
namespace {

namespace fs = std::filesystem;
using Proto = onnx::TensorProto;

template <typename Message>
bool read_proto(const fs::path& path, Message* proto) {
  std::ifstream file(path, std::ios::binary);
  return file && proto->ParseFromIstream(&file);
}

bool is_narrow(int type) { return type == Proto::UINT8 || type == Proto::INT8; }

// What carrel computes with.
bool computable(int type) {
  return type == Proto::FLOAT || type == Proto::INT64 || type == Proto::INT32 ||
         type == Proto::BOOL || is_narrow(type);
}

// Of interest only where they are converted.
bool other_float(int type) {
  return type == Proto::DOUBLE || type == Proto::FLOAT16 || type == Proto::BFLOAT16;
}

// The elements, from raw bytes of type Stored or from the typed list.
template <typename Stored, typename List>
std::vector<Stored> elements(const Proto& proto, const List& list) {
  std::vector<Stored> values;
  if (!proto.has_raw_data()) {
    for (const auto& v : list) values.push_back(static_cast<Stored>(v));
    return values;
  }
  values.resize(proto.raw_data().size() / sizeof(Stored));
  if (!values.empty())
    std::memcpy(values.data(), proto.raw_data().data(), values.size() * sizeof(Stored));
  return values;
}

template <typename To, typename From>
void fill(const std::vector<From>& values, To (*convert)(From), Tensor* tensor) {
  tensor->data.resize(values.size() * sizeof(To));
  for (size_t i = 0; i < values.size(); ++i) {
    const To value = convert(values[i]);
    std::memcpy(tensor->data.data() + i * sizeof(To), &value, sizeof(To));
  }
}

void fill_floats(const Proto& proto, Tensor* tensor) {
  switch (proto.data_type()) {
    case Proto::FLOAT:
      return fill<float, float>(
          elements<float>(proto, proto.float_data()), [](float v) { return v; }, tensor);
    case Proto::DOUBLE:
      return fill<float, double>(
          elements<double>(proto, proto.double_data()),
          [](double v) { return static_cast<float>(v); }, tensor);
    case Proto::FLOAT16:
      return fill(elements<uint16_t>(proto, proto.int32_data()), f32_from_f16, tensor);
    default:
      return fill(elements<uint16_t>(proto, proto.int32_data()), f32_from_bf16, tensor);
  }
}

void fill_narrow(const Proto& proto, Tensor* tensor) {
  fill<uint8_t, uint8_t>(
      elements<uint8_t>(proto, proto.int32_data()), [](uint8_t v) { return v; }, tensor);
}

void fill_integers(const Proto& proto, Tensor* tensor) {
  switch (proto.data_type()) {
    case Proto::INT64:
      return fill<int64_t, int64_t>(
          elements<int64_t>(proto, proto.int64_data()), [](int64_t v) { return v; }, tensor);
    case Proto::INT32:
      return fill<int64_t, int32_t>(
          elements<int32_t>(proto, proto.int32_data()), [](int32_t v) { return int64_t{v}; },
          tensor);
    default:
      return fill<int64_t, uint8_t>(
          elements<uint8_t>(proto, proto.int32_data()), [](uint8_t v) { return int64_t{v != 0}; },
          tensor);
  }
}

Result<Tensor> to_tensor(const Proto& proto, bool any_float) {
  const int type = proto.data_type();
  if (!computable(type) && !(any_float && other_float(type))) {
    const std::string name = onnx::TensorProto_DataType_Name(static_cast<Proto::DataType>(type));
    return Error(ErrorCode::kUnsupported, "element type %s", name.c_str());
  }
  Tensor t;
  for (int64_t d : proto.dims()) {
    if (!t.shape.push_back(d))
      return Error(ErrorCode::kUnsupported, "rank above %d", Shape::kMaxRank);
  }
  const bool integer = type == Proto::INT64 || type == Proto::INT32 || type == Proto::BOOL;
  t.type = integer ? DType::kI64 : DType::kF32;
  if (is_narrow(type)) {
    t.type = type == Proto::UINT8 ? DType::kU8 : DType::kI8;
    fill_narrow(proto, &t);
  } else {
    integer ? fill_integers(proto, &t) : fill_floats(proto, &t);
  }
  CARREL_ASSIGN(const uint64_t count, t.shape.element_count());
  if (t.data.size() != count * dtype_size(t.type)) {
    return Error(ErrorCode::kInvalidInput, "%s: wrong number of bytes", proto.name().c_str());
  }
  return t;
}

// files PREFIX0.pb, PREFIX1.pb, ... for the values of the model, in its order.
template <typename Values>
Status load_tensors(const fs::path& prefix, const Values& values, bool any_float,
                    std::vector<NamedTensor>* tensors) {
  for (int i = 0; i < values.size(); ++i) {
    const fs::path path = prefix.string() + std::to_string(i) + ".pb";
    if (!fs::exists(path)) return ok_status();  // trailing inputs have initializers
    if (!values[i].type().has_tensor_type()) {
      return Error(ErrorCode::kUnsupported, "%s is not a tensor (sequence, optional or map)",
                   values[i].name().c_str());
    }
    Proto proto;
    if (!read_proto(path, &proto))
      return Error(ErrorCode::kInvalidInput, "%s is not a tensor", path.c_str());
    CARREL_ASSIGN(Tensor tensor, to_tensor(proto, any_float));
    tensors->push_back({values[i].name(), std::move(tensor)});
  }
  return ok_status();
}

void cast_output(const std::string& from, onnx::ValueInfoProto* output, onnx::GraphProto* graph) {
  onnx::NodeProto* cast = graph->add_node();
  cast->set_op_type("Cast");
  cast->set_name(from + " to float32");
  cast->add_input(from);
  cast->add_output(from + "/float32");
  onnx::AttributeProto* to = cast->add_attribute();
  to->set_name("to");
  to->set_type(onnx::AttributeProto::INT);
  to->set_i(Proto::FLOAT);
  output->set_name(from + "/float32");
  output->mutable_type()->mutable_tensor_type()->set_elem_type(Proto::FLOAT);
}

}  // namespace

Tensor to_float(const Tensor& t) {
  if (t.type == DType::kF32) return t;
  Tensor floats = Tensor::zeros(DType::kF32, t.shape);
  const std::vector<int64_t> integers = t.to_i64();
  for (size_t i = 0; i < integers.size(); ++i) floats.f32()[i] = static_cast<float>(integers[i]);
  return floats;
}

std::vector<std::string> find_cases(const std::string& data) {
  std::vector<std::string> folders;
  for (const char* group : {"node", "simple"}) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(fs::path(data) / group, error)) {
      if (fs::exists(entry.path() / "model.onnx") && fs::exists(entry.path() / "test_data_set_0")) {
        folders.push_back(entry.path().string());
      }
    }
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

Status load_case(const std::string& folder, TestCase* test) {
  test->name = fs::path(folder).filename().string();
  test->folder = folder;
  onnx::ModelProto model;
  if (!read_proto(fs::path(folder) / "model.onnx", &model)) {
    return Error(ErrorCode::kInvalidInput, "%s/model.onnx is not an ONNX model", folder.c_str());
  }
  onnx::GraphProto& graph = *model.mutable_graph();
  std::set<std::string> operators;
  for (const auto& node : graph.node()) operators.insert(node.op_type());
  test->operators.assign(operators.begin(), operators.end());
  const bool cast = operators == std::set<std::string>{"Cast"};
  const fs::path set = fs::path(folder) / "test_data_set_0";
  CARREL_RETURN_IF_ERROR(load_tensors(set / "input_", graph.input(), cast, &test->inputs));
  CARREL_RETURN_IF_ERROR(load_tensors(set / "output_", graph.output(), cast, &test->outputs));
  for (NamedTensor& output : test->outputs) output.tensor = to_float(output.tensor);
  for (onnx::ValueInfoProto& output : *graph.mutable_output()) {
    if (output.type().tensor_type().elem_type() == Proto::FLOAT) continue;
    cast_output(output.name(), &output, &graph);
  }
  test->model = model.SerializeAsString();
  return ok_status();
}

}  // namespace carrel::conformance
