#include "compiler/onnx/tensor_reader.h"

#include <cmath>
#include <memory>

#include "base/half.h"
#include "compiler/onnx/external_data.h"
#include "compiler/onnx/names.h"

namespace carrel {
namespace {

using Proto = onnx::TensorProto;

// Bytes per element as stored in raw_data; 0: a type without use here.
uint64_t stored_bytes(int type) {
  switch (type) {
    case Proto::FLOAT:
    case Proto::INT32:
      return 4;
    case Proto::INT64:
    case Proto::DOUBLE:
      return 8;
    case Proto::FLOAT16:
    case Proto::BFLOAT16:
      return 2;
    case Proto::BOOL:
    case Proto::INT8:
    case Proto::UINT8:
      return 1;
    default:
      return 0;
  }
}

bool is_float_type(int type) {
  return type == Proto::FLOAT || type == Proto::DOUBLE || type == Proto::FLOAT16 ||
         type == Proto::BFLOAT16;
}

DType kept_type(int type) {
  if (type == Proto::INT8) return DType::kI8;
  if (type == Proto::UINT8) return DType::kU8;
  return is_float_type(type) ? DType::kF32 : DType::kI64;
}

Error invalid(const Proto& proto, const char* reason) {
  return Error(ErrorCode::kInvalidInput, "tensor %s: %s", printable(proto.name()).c_str(), reason);
}

Result<Shape> read_shape(const Proto& proto) {
  Shape shape;
  for (int64_t dim : proto.dims()) {
    if (!shape.push_back(dim)) return invalid(proto, "more than 8 dimensions");
  }
  if (!shape.element_count().ok()) return invalid(proto, "its shape is negative or too large");
  return shape;
}

template <typename Stored, typename Wanted, typename Convert>
void convert(const void* bytes, Tensor* tensor, Convert widen) {
  const auto* source = static_cast<const char*>(bytes);
  const size_t count = tensor->data.size() / sizeof(Wanted);
  for (size_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, source + i * sizeof(Stored), sizeof(Stored));
    const Wanted wanted = widen(stored);
    std::memcpy(tensor->data.data() + i * sizeof(Wanted), &wanted, sizeof(Wanted));
  }
}

template <typename Stored>
void widen_ints(const void* bytes, Tensor* tensor) {
  convert<Stored, int64_t>(bytes, tensor, [](Stored v) { return static_cast<int64_t>(v); });
}

// Little-endian elements as stored in a file.
void decode(int type, const void* bytes, Tensor* tensor) {
  switch (type) {
    case Proto::FLOAT:
    case Proto::INT64:
    case Proto::INT8:
    case Proto::UINT8:
      if (!tensor->data.empty()) std::memcpy(tensor->data.data(), bytes, tensor->data.size());
      return;
    case Proto::DOUBLE:
      convert<double, float>(bytes, tensor, [](double v) { return static_cast<float>(v); });
      return;
    case Proto::FLOAT16:
      convert<uint16_t, float>(bytes, tensor, f32_from_f16);
      return;
    case Proto::BFLOAT16:
      convert<uint16_t, float>(bytes, tensor, f32_from_bf16);
      return;
    case Proto::INT32:
      widen_ints<int32_t>(bytes, tensor);
      return;
    default:
      convert<uint8_t, int64_t>(bytes, tensor, [](uint8_t v) { return int64_t{v != 0}; });
      return;
  }
}

template <typename Field, typename Wanted, typename Convert>
bool copy_field(const Field& field, Tensor* tensor, Convert widen) {
  if (static_cast<size_t>(field.size()) * sizeof(Wanted) != tensor->data.size()) return false;
  auto* target = reinterpret_cast<Wanted*>(tensor->data.data());
  for (const auto& element : field) *target++ = widen(element);
  return true;
}

// How many elements the typed field holds, to be checked before memory is taken.
int64_t field_count(const Proto& proto) {
  switch (proto.data_type()) {
    case Proto::FLOAT:
      return proto.float_data_size();
    case Proto::DOUBLE:
      return proto.double_data_size();
    case Proto::INT64:
      return proto.int64_data_size();
    default:
      return proto.int32_data_size();
  }
}

bool decode_field(const Proto& proto, Tensor* tensor) {
  switch (proto.data_type()) {
    case Proto::FLOAT:
      return copy_field<decltype(proto.float_data()), float>(proto.float_data(), tensor,
                                                             [](float v) { return v; });
    case Proto::DOUBLE:
      return copy_field<decltype(proto.double_data()), float>(
          proto.double_data(), tensor, [](double v) { return static_cast<float>(v); });
    case Proto::INT64:
      return copy_field<decltype(proto.int64_data()), int64_t>(proto.int64_data(), tensor,
                                                               [](int64_t v) { return v; });
    case Proto::FLOAT16:
      return copy_field<decltype(proto.int32_data()), float>(
          proto.int32_data(), tensor,
          [](int32_t v) { return f32_from_f16(static_cast<uint16_t>(v)); });
    case Proto::BFLOAT16:
      return copy_field<decltype(proto.int32_data()), float>(
          proto.int32_data(), tensor,
          [](int32_t v) { return f32_from_bf16(static_cast<uint16_t>(v)); });
    case Proto::INT8:
    case Proto::UINT8:
      return copy_field<decltype(proto.int32_data()), uint8_t>(
          proto.int32_data(), tensor, [](int32_t v) { return static_cast<uint8_t>(v); });
    default:
      return copy_field<decltype(proto.int32_data()), int64_t>(
          proto.int32_data(), tensor, [](int32_t v) { return static_cast<int64_t>(v); });
  }
}

// A single infinity is a bound (of Clip, of a mask); among weights it is damage.
Status check_finite(const Proto& proto, const Tensor& tensor) {
  for (float value : tensor.f32()) {
    if (std::isnan(value)) return invalid(proto, "it holds NaN");
    if (std::isinf(value) && tensor.count() > 1) return invalid(proto, "it holds an infinity");
  }
  return ok_status();
}

Status read_stored(Proto* proto, const std::string& folder, uint64_t count, Tensor* tensor) {
  const int type = proto->data_type();
  const uint64_t bytes = count * stored_bytes(type);
  const uint64_t wanted_bytes = count * dtype_size(tensor->type);
  if (proto->data_location() == Proto::EXTERNAL) {
    CARREL_ASSIGN(std::vector<std::byte> stored, read_external_data(*proto, folder, bytes));
    if (bytes == wanted_bytes) {
      tensor->data = std::move(stored);
      return ok_status();
    }
    tensor->data.resize(wanted_bytes);
    decode(type, stored.data(), tensor);
    return ok_status();
  }
  if (proto->has_raw_data()) {
    if (proto->raw_data().size() != bytes) {
      return invalid(*proto, "its bytes and its shape do not agree");
    }
    // Released so that weights are held once.
    const std::unique_ptr<std::string> raw(proto->release_raw_data());
    tensor->data.resize(wanted_bytes);
    decode(type, raw->data(), tensor);
    return ok_status();
  }
  if (static_cast<uint64_t>(field_count(*proto)) != count) {
    return invalid(*proto, "its elements and its shape do not agree");
  }
  tensor->data.resize(wanted_bytes);
  CARREL_CHECK(decode_field(*proto, tensor));
  return ok_status();
}

}  // namespace

Result<Tensor> read_tensor(Proto* proto, const std::string& folder) {
  const int type = proto->data_type();
  if (stored_bytes(type) == 0) {
    const std::string type_name = onnx::TensorProto_DataType_Name(type);
    return Error(ErrorCode::kUnsupported, "type %s",
                 type_name.empty() ? std::to_string(type).c_str() : type_name.c_str());
  }
  if (proto->has_segment()) return invalid(*proto, "it is stored in segments");
  CARREL_ASSIGN(const Shape shape, read_shape(*proto));
  Tensor tensor;
  tensor.type = kept_type(type);
  tensor.shape = shape;
  CARREL_RETURN_IF_ERROR(read_stored(proto, folder, static_cast<uint64_t>(shape.count()), &tensor));
  if (tensor.type == DType::kF32) CARREL_RETURN_IF_ERROR(check_finite(*proto, tensor));
  return tensor;
}

Status TensorTable::add(Proto* proto, const std::string& folder) {
  Result<Tensor> tensor = read_tensor(proto, folder);
  if (tensor.ok()) {
    tensors_[proto] = std::make_shared<const Tensor>(std::move(*tensor));
  } else if (tensor.error().code() == ErrorCode::kUnsupported) {
    unsupported_[proto] = tensor.error().message();
  } else {
    return tensor.error();
  }
  return ok_status();
}

Result<TensorTable> TensorTable::read(onnx::GraphProto* graph, const std::string& folder) {
  TensorTable table;
  for (Proto& tensor : *graph->mutable_initializer()) {
    CARREL_RETURN_IF_ERROR(table.add(&tensor, folder));
  }
  for (onnx::NodeProto& node : *graph->mutable_node()) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (!attribute.has_t()) continue;
      if (attribute.t().name().empty()) attribute.mutable_t()->set_name(node.name());
      CARREL_RETURN_IF_ERROR(table.add(attribute.mutable_t(), folder));
    }
  }
  return table;
}

TensorPtr TensorTable::find(const Proto* proto, std::string* reason) const {
  const auto it = tensors_.find(proto);
  if (it != tensors_.end()) return it->second;
  const auto bad = unsupported_.find(proto);
  *reason = bad == unsupported_.end() ? "missing" : bad->second;
  return nullptr;
}

}  // namespace carrel
