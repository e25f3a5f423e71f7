#pragma once
// Tensors of ONNX files: typed fields, raw bytes and external files, each checked against the bytes
// present.
#include <string>
#include <unordered_map>

#include "compiler/graph/tensor.h"
#include "compiler/onnx/proto.h"

namespace carrel {

// Reads `proto` and releases its bytes. float16, bfloat16 and double become float32; int32 and bool
// become int64; int8 and uint8 stay. `folder` is where external files lie; a path that leaves it is
// refused. Errors: kInvalidInput naming the tensor (sizes, NaN, infinity in more than one element,
// external file missing), kUnsupported: a type that carrel has no use for.
Result<Tensor> read_tensor(onnx::TensorProto* proto, const std::string& folder);

// Every constant of a model, read once and shared by all graphs built from it.
class TensorTable {
 public:
  // Reads all initializers and all tensor attributes of nodes. An unsupported tensor is an error
  // only when it is used.
  static Result<TensorTable> read(onnx::GraphProto* graph, const std::string& folder);
  // Null with `*reason` set if the tensor's type is unsupported.
  TensorPtr find(const onnx::TensorProto* proto, std::string* reason) const;

 private:
  Status add(onnx::TensorProto* proto, const std::string& folder);
  std::unordered_map<const onnx::TensorProto*, TensorPtr> tensors_;
  std::unordered_map<const onnx::TensorProto*, std::string> unsupported_;
};

}  // namespace carrel
