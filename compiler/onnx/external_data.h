#pragma once
// Tensor bytes kept beside an ONNX file.
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/onnx/proto.h"

namespace carrel {

// The `bytes` bytes that the tensor's external_data entries name (location, offset, length). The
// file must be a regular file inside `folder`: absolute paths, "..", and links that lead out are
// refused. Sizes are checked against the file before memory is taken. Errors: kInvalidInput naming
// the tensor and the file.
Result<std::vector<std::byte>> read_external_data(const onnx::TensorProto& proto,
                                                  const std::string& folder, uint64_t bytes);

}  // namespace carrel
