// The ONNX backend node cases of Debian's libonnx-testdata, through import and plain evaluation.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "compiler/eval/eval.h"
#include "compiler/onnx/onnx.h"
#include "compiler/onnx/proto.h"
#include "compiler/onnx/tensor_reader.h"

namespace carrel {
namespace {

const std::filesystem::path kData = "/usr/share/libonnx-testdata/data/node";

enum class Outcome { kPassed, kUnsupported, kWrong };

Result<Tensor> read_file_tensor(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  onnx::TensorProto proto;
  if (!proto.ParseFromIstream(&file)) return Error(ErrorCode::kUnsupported, "not a tensor");
  return read_tensor(&proto, "");
}

std::vector<std::string> input_names(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  onnx::ModelProto model;
  std::vector<std::string> names;
  if (!model.ParseFromIstream(&file)) return names;
  for (const onnx::ValueInfoProto& input : model.graph().input()) names.push_back(input.name());
  return names;
}

bool close(const Tensor& got, const Tensor& wanted) {
  if (got.type != wanted.type || !(got.shape == wanted.shape)) return false;
  if (got.type == DType::kI64) return got.data == wanted.data;
  for (size_t i = 0; i < got.f32().size(); ++i) {
    const float a = got.f32()[i];
    const float b = wanted.f32()[i];
    if (std::isnan(b) ? !std::isnan(a) : !(std::abs(a - b) <= 1e-5f + 1e-4f * std::abs(b)))
      return false;
  }
  return true;
}

// `freeze_floats`: all inputs but the first are parameters (scales, ratios, fill values).
Outcome run_case(const std::filesystem::path& folder, bool freeze_floats, std::string* message) {
  ImportOptions options;
  options.fold = eval_node;
  std::vector<Tensor> inputs;
  const std::vector<std::string> names = input_names(folder / "model.onnx");
  for (size_t i = 0; i < names.size(); ++i) {
    Result<Tensor> input =
        read_file_tensor(folder / "test_data_set_0" / ("input_" + std::to_string(i) + ".pb"));
    if (!input.ok()) {
      *message = input.error().message();
      return Outcome::kUnsupported;
    }
    // Integer inputs are shapes, axes and indices.
    const bool frozen = input->type == DType::kI64 || (freeze_floats && i > 0);
    if (frozen)
      options.frozen_inputs[names[i]] = *input;
    else
      inputs.push_back(*input);
  }
  std::vector<std::string> unsupported;
  const Result<Graph> graph =
      import_onnx_file((folder / "model.onnx").string(), options, &unsupported);
  if (!graph.ok()) {
    *message = graph.error().message();
    return graph.error().code() == ErrorCode::kUnsupported ? Outcome::kUnsupported
                                                           : Outcome::kWrong;
  }
  const Result<std::vector<Tensor>> outputs =
      graph->batch == 1 ? eval_graph(*graph, inputs) : eval_batch(*graph, inputs);
  if (!outputs.ok()) {
    *message = outputs.error().message();
    return Outcome::kWrong;
  }
  for (size_t i = 0; i < outputs->size(); ++i) {
    const Result<Tensor> wanted =
        read_file_tensor(folder / "test_data_set_0" / ("output_" + std::to_string(i) + ".pb"));
    if (!wanted.ok() || !close((*outputs)[i], *wanted)) {
      *message = "output " + std::to_string(i) + " differs";
      return Outcome::kWrong;
    }
  }
  return Outcome::kPassed;
}

TEST(Conformance, NodeCasesAreRightOrReported) {
  if (!std::filesystem::exists(kData)) GTEST_SKIP() << kData << " is missing";
  int passed = 0;
  int unsupported = 0;
  const bool verbose = ::testing::UnitTest::GetInstance()->test_to_run_count() == 1;
  for (const auto& entry : std::filesystem::directory_iterator(kData)) {
    if (!std::filesystem::exists(entry.path() / "model.onnx")) continue;
    std::string message;
    const std::string name = entry.path().filename().string();
    Outcome outcome = run_case(entry.path(), false, &message);
    if (message.find("not constant") != std::string::npos) {
      outcome = run_case(entry.path(), true, &message);
    }
    switch (outcome) {
      case Outcome::kPassed:
        ++passed;
        break;
      case Outcome::kUnsupported:
        ++unsupported;
        if (verbose) std::cout << name << ": " << message << "\n";
        break;
      case Outcome::kWrong:
        ADD_FAILURE() << name << ": " << message;
    }
  }
  std::cout << passed << " passed, " << unsupported << " reported as unsupported\n";
  EXPECT_GE(passed, 325);
}

}  // namespace
}  // namespace carrel
