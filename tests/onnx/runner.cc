#include "tests/onnx/runner.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "compiler/eval/eval.h"
#include "compiler/onnx/onnx.h"

namespace carrel::conformance {
namespace {

std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

enum class Freeze { kParameters, kAllButFirst, kAll };

bool frozen(Freeze freeze, size_t index, const Tensor& tensor) {
  if (freeze == Freeze::kAll) return true;
  return tensor.type != DType::kF32 || (freeze == Freeze::kAllButFirst && index > 0);
}

// What the importer said about each node it cannot take, without the node's name.
std::string reasons(const std::vector<std::string>& unsupported, const Error& error) {
  if (unsupported.empty()) return error.message();
  const std::string& first = unsupported.front();
  const size_t colon = first.find(": ");
  return colon == std::string::npos ? first : first.substr(colon + 2);
}

Result<Graph> import(const TestCase& test, Freeze freeze, std::string* reason) {
  ImportOptions options;
  options.fold = eval_node;
  for (size_t i = 0; i < test.inputs.size(); ++i) {
    const NamedTensor& in = test.inputs[i];
    if (frozen(freeze, i, in.tensor)) options.frozen_inputs[in.name] = in.tensor;
  }
  std::vector<std::string> unsupported;
  Result<Graph> graph = import_onnx_file(test.model_path, options, &unsupported);
  if (!graph.ok()) *reason = reasons(unsupported, graph.error());
  return graph;
}

// The graph's inputs by name; those that folding made superfluous are gone.
Result<std::vector<Tensor>> ordered_inputs(const TestCase& test, const Graph& graph) {
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs) {
    const Tensor* found = nullptr;
    for (const NamedTensor& in : test.inputs) {
      if (in.name == graph.value(id).name) found = &in.tensor;
    }
    if (found == nullptr) {
      return Error(ErrorCode::kInvalidInput, "no data for input %s", graph.value(id).name.c_str());
    }
    inputs.push_back(*found);
  }
  return inputs;
}

std::string judge(const TestCase& test, const std::vector<Tensor>& outputs) {
  if (outputs.size() != test.outputs.size()) return "another number of outputs";
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string difference = compare(outputs[i], test.outputs[i].tensor);
    if (!difference.empty()) return test.outputs[i].name + ": " + difference;
  }
  return "";
}

Verdict attempt(const TestCase& test, Freeze freeze, const Executor& executor,
                std::string* reason) {
  const auto failed = [](const Error& error) {
    return error.code() == ErrorCode::kUnsupported ? Verdict::kUnsupported : Verdict::kWrong;
  };
  const Result<Graph> graph = import(test, freeze, reason);
  if (!graph.ok()) return failed(graph.error());
  const Result<std::vector<Tensor>> inputs = ordered_inputs(test, *graph);
  if (!inputs.ok()) {
    *reason = inputs.error().message();
    return Verdict::kWrong;
  }
  const Result<std::vector<Tensor>> outputs = executor(*graph, *inputs);
  if (!outputs.ok()) {
    *reason = outputs.error().message();
    return failed(outputs.error());
  }
  *reason = judge(test, *outputs);
  return reason->empty() ? Verdict::kPassed : Verdict::kWrong;
}

double element(const Tensor& t, size_t i) {
  if (t.type == DType::kF32) return t.f32()[i];
  double value = 0;
  std::memcpy(&value, t.data.data() + i * sizeof(double), sizeof(double));
  return value;
}

}  // namespace

std::string compare(const Tensor& got, const Tensor& want) {
  if (got.type != want.type)
    return std::string("type ") + dtype_name(got.type) + ", not " + dtype_name(want.type);
  if (!(got.shape == want.shape))
    return "shape " + shape_text(got.shape) + ", not " + shape_text(want.shape);
  if (got.type != DType::kF32 && got.type != DType::kF64) {
    return got.data == want.data ? "" : "integer elements differ";
  }
  for (size_t i = 0, n = static_cast<size_t>(want.count()); i < n; ++i) {
    const double a = element(got, i), b = element(want, i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    if (std::isfinite(b) && std::abs(a - b) <= 1e-5 + 1e-3 * std::abs(b)) continue;
    return "element " + std::to_string(i) + " is " + std::to_string(a) + ", not " +
           std::to_string(b);
  }
  return "";
}

Outcome run_case(const std::string& folder, const Executor& executor) {
  TestCase test;
  Outcome outcome;
  const Status loaded = load_case(folder, &test);
  outcome.name = test.name;
  outcome.operators = test.operators;
  if (!loaded.ok()) {
    const bool unsupported = loaded.error().code() == ErrorCode::kUnsupported;
    outcome.verdict = unsupported ? Verdict::kUnsupported : Verdict::kWrong;
    outcome.reason = loaded.error().message();
    return outcome;
  }
  for (Freeze freeze : {Freeze::kParameters, Freeze::kAllButFirst, Freeze::kAll}) {
    outcome.verdict = attempt(test, freeze, executor, &outcome.reason);
    if (outcome.verdict != Verdict::kUnsupported) break;
  }
  return outcome;
}

namespace {

// The child's part: the verdict as one byte, then the reason.
[[noreturn]] void send_outcome(const std::string& folder, const Executor& executor, int pipe) {
  const Outcome outcome = run_case(folder, executor);
  const std::string message = static_cast<char>(outcome.verdict) + outcome.reason.substr(0, 2000);
  const bool sent =
      write(pipe, message.data(), message.size()) == static_cast<ssize_t>(message.size());
  _exit(sent ? 0 : 1);
}

std::string receive(int pipe) {
  std::string message;
  char buffer[512];
  for (ssize_t n; (n = read(pipe, buffer, sizeof(buffer))) > 0;) {
    message.append(buffer, static_cast<size_t>(n));
  }
  return message;
}

}  // namespace

Outcome run_case_isolated(const std::string& folder, const Executor& executor) {
  TestCase test;
  (void)load_case(folder, &test).ok();
  Outcome outcome = {test.name, test.operators, Verdict::kWrong, "no child process"};
  int ends[2];
  if (pipe(ends) != 0) return outcome;
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    send_outcome(folder, executor, ends[1]);
  }
  close(ends[1]);
  const std::string message = child > 0 ? receive(ends[0]) : "";
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return outcome;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || message.empty()) {
    outcome.reason = "crashed";
    return outcome;
  }
  outcome.verdict = static_cast<Verdict>(message[0]);
  outcome.reason = message.substr(1);
  return outcome;
}

}  // namespace carrel::conformance
