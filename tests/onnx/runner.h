#pragma once
// Runs one conformance case through an executor and judges its outputs.
#include <functional>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "tests/onnx/cases.h"

namespace carrel::conformance {

// Outputs of an imported graph for the inputs in graph.inputs' order; dimension 0 may be a multiple
// of the graph's where the import specialised it to batch 1.
using Executor =
    std::function<Result<std::vector<Tensor>>(const Graph&, const std::vector<Tensor>&)>;

enum class Verdict { kPassed, kUnsupported, kWrong };

struct Outcome {
  std::string name;
  std::vector<std::string> operators;
  Verdict verdict = Verdict::kWrong;
  std::string reason;  // unsupported or wrong
};

// Inputs other than float32 (shapes, axes, indices) are frozen to constants; if the model is still
// not supported, all inputs but the first are (weights and parameters that the tests feed at run
// time).
Outcome run_case(const std::string& folder, const Executor& executor);

// run_case in a child process: a crash is a wrong answer and does not end the run.
Outcome run_case_isolated(const std::string& folder, const Executor& executor);

// ONNX's own tolerance: |got - want| <= 1e-5 + 1e-3 |want|; NaN equals NaN; other types exactly.
// An empty string, or what differs.
std::string compare(const Tensor& got, const Tensor& want);

}  // namespace carrel::conformance
