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
inline constexpr int kVerdicts = 3;

// Which inputs of a case reach the network at run time; the others are constants of the model.
enum class Feed {
  kFloats,  // all float32 inputs: integers are shapes, axes and indices
  kFirst,   // of these only the first: the others are weights and parameters
  kNone,    // none: the whole model folds at import
};
inline constexpr int kFeeds = 3;

struct Outcome {
  std::string name;
  std::vector<std::string> operators;
  Verdict verdict = Verdict::kWrong;
  std::string reason;  // unsupported or wrong
  Feed feed = Feed::kFloats;
};

// A case that load_case refused.
Outcome not_loaded(const TestCase& test, const Error& error);

// Tries the feeds in their order until one is supported.
Outcome run_case(const TestCase& test, const Executor& executor);

// run_case in a child process: a crash is a wrong answer and does not end the run.
Outcome run_case_isolated(const TestCase& test, const Executor& executor);

// ONNX's own tolerance: |got - want| <= 1e-5 + 1e-3 |want|; NaN equals NaN; other types exactly.
// An empty string, or what differs.
std::string compare(const Tensor& got, const Tensor& want);

}  // namespace carrel::conformance
