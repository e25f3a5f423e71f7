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

struct TestCase {
  std::string name;                    // "test_conv_with_strides_padding"
  std::string model_path;              // model.onnx
  std::vector<std::string> operators;  // without duplicates, sorted
  std::vector<NamedTensor> inputs;     // in the model's order
  std::vector<NamedTensor> outputs;
};

// Folders of `data`/node and `data`/simple with a model.onnx and a data set, sorted. (The groups
// beside them are of opset 6.)
std::vector<std::string> find_cases(const std::string& data);

// Errors: kInvalidInput if a file is missing or not ONNX; kUnsupported for sequences, optionals and
// element types that no carrel tensor has. `operators` is filled in either way where the model is
// readable.
Status load_case(const std::string& folder, TestCase* test);

}  // namespace carrel::conformance
