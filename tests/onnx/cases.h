#pragma once
// The ONNX backend's node tests as Debian's libonnx-testdata installs them: a model, inputs,
// expected outputs.
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/graph/tensor.h"

namespace carrel::conformance {

inline constexpr const char* kDataFolder = "/usr/share/libonnx-testdata/data";

struct NamedTensor {
  std::string name;  // the model's input or output
  Tensor tensor;
};

// Outputs of carrel are float32: where the model has others, a Cast to FLOAT follows them, and the
// expected elements are converted alike.
struct TestCase {
  std::string name;                    // "test_conv_with_strides_padding"
  std::string folder;                  // of external data
  std::string model;                   // ONNX bytes
  std::vector<std::string> operators;  // of the file, without duplicates, sorted
  std::vector<NamedTensor> inputs;     // in the model's order: float32, int64, int8 or uint8
  std::vector<NamedTensor> outputs;    // float32
};

// Folders of `data`/node and `data`/simple with a model.onnx and a data set, sorted. (The groups
// beside them are whole opset-6 models of another converter.)
std::vector<std::string> find_cases(const std::string& data);

// Errors: kInvalidInput if a file is missing or not ONNX; kUnsupported for sequences, optionals and
// element types other than float32, int64, int32, int8, uint8 and bool (for Cast: float16, bfloat16 and float64
// too). `operators` is filled in either way where the model is readable.
Status load_case(const std::string& folder, TestCase* test);

// The elements as float32.
Tensor to_float(const Tensor& t);

}  // namespace carrel::conformance
