#include "tests/onnx/cases.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace carrel::conformance {
namespace {

namespace fs = std::filesystem;

template <typename Proto>
bool read_proto(const fs::path& path, Proto* proto) {
  std::ifstream file(path, std::ios::binary);
  return file && proto->ParseFromIstream(&file);
}

template <typename T, typename List>
void append(const List& list, Tensor* tensor) {
  for (const auto& v : list) {
    const T value = static_cast<T>(v);
    const std::byte* bytes = reinterpret_cast<const std::byte*>(&value);
    tensor->data.insert(tensor->data.end(), bytes, bytes + sizeof(T));
  }
}

Error no_type(const std::string& where, int type) {
  const std::string name =
      onnx::TensorProto_DataType_Name(static_cast<onnx::TensorProto_DataType>(type));
  return Error(ErrorCode::kUnsupported, "element type %s",
               name.empty() ? where.c_str() : name.c_str());
}

Result<Tensor> to_tensor(const onnx::TensorProto& proto, const std::string& where) {
  Tensor t;
  for (int64_t d : proto.dims()) {
    if (!t.shape.push_back(d))
      return Error(ErrorCode::kUnsupported, "rank above %d", Shape::kMaxRank);
  }
  switch (proto.data_type()) {
    case onnx::TensorProto::FLOAT:
      t.type = DType::kF32;
      append<float>(proto.float_data(), &t);
      break;
    case onnx::TensorProto::DOUBLE:
      t.type = DType::kF64;
      append<double>(proto.double_data(), &t);
      break;
    case onnx::TensorProto::INT64:
      t.type = DType::kI64;
      append<int64_t>(proto.int64_data(), &t);
      break;
    case onnx::TensorProto::INT32:
      t.type = DType::kI32;
      append<int32_t>(proto.int32_data(), &t);
      break;
    case onnx::TensorProto::BOOL:
      t.type = DType::kBool;
      append<uint8_t>(proto.int32_data(), &t);
      break;
    case onnx::TensorProto::UINT8:
      t.type = DType::kU8;
      append<uint8_t>(proto.int32_data(), &t);
      break;
    case onnx::TensorProto::INT8:
      t.type = DType::kI8;
      append<int8_t>(proto.int32_data(), &t);
      break;
    default:
      return no_type(where, proto.data_type());
  }
  if (proto.has_raw_data()) {
    const std::byte* raw = reinterpret_cast<const std::byte*>(proto.raw_data().data());
    t.data.assign(raw, raw + proto.raw_data().size());
  }
  CARREL_ASSIGN(const uint64_t count, t.shape.element_count());
  if (t.data.size() != count * dtype_size(t.type)) {
    return Error(ErrorCode::kInvalidInput, "%s: wrong number of bytes", where.c_str());
  }
  return t;
}

// files PREFIX0.pb, PREFIX1.pb, ... for the values of the model, in its order.
template <typename Values>
Status load_tensors(const fs::path& prefix, const Values& values,
                    std::vector<NamedTensor>* tensors) {
  for (int i = 0; i < values.size(); ++i) {
    const fs::path path = prefix.string() + std::to_string(i) + ".pb";
    if (!fs::exists(path)) return ok_status();  // trailing inputs have initializers
    if (!values[i].type().has_tensor_type()) {
      return Error(ErrorCode::kUnsupported, "%s is not a tensor (sequence, optional or map)",
                   values[i].name().c_str());
    }
    onnx::TensorProto proto;
    if (!read_proto(path, &proto))
      return Error(ErrorCode::kInvalidInput, "%s is not a tensor", path.c_str());
    CARREL_ASSIGN(Tensor tensor, to_tensor(proto, path.filename().string()));
    tensors->push_back({values[i].name(), std::move(tensor)});
  }
  return ok_status();
}

}  // namespace

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
  test->model_path = (fs::path(folder) / "model.onnx").string();
  onnx::ModelProto model;
  if (!read_proto(test->model_path, &model)) {
    return Error(ErrorCode::kInvalidInput, "%s is not an ONNX model", test->model_path.c_str());
  }
  std::set<std::string> operators;
  for (const auto& node : model.graph().node()) operators.insert(node.op_type());
  test->operators.assign(operators.begin(), operators.end());
  const fs::path set = fs::path(folder) / "test_data_set_0";
  CARREL_RETURN_IF_ERROR(load_tensors(set / "input_", model.graph().input(), &test->inputs));
  return load_tensors(set / "output_", model.graph().output(), &test->outputs);
}

}  // namespace carrel::conformance
