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

bool frozen(Feed feed, size_t index, const Tensor& tensor) {
  if (feed == Feed::kNone) return true;
  const bool crosses =
      tensor.type == DType::kF32 || tensor.type == DType::kU8 || tensor.type == DType::kI8;
  return !crosses || (feed == Feed::kFirst && index > 0);
}

// What the importer said about the first node it cannot take, without the node's name.
std::string first_reason(const std::vector<std::string>& unsupported, const Error& error) {
  if (unsupported.empty()) return error.message();
  const std::string& first = unsupported.front();
  const size_t colon = first.find(": ");
  return colon == std::string::npos ? first : first.substr(colon + 2);
}

Result<Graph> import(const TestCase& test, Feed feed, std::string* reason) {
  ImportOptions options;
  options.fold = eval_node;
  for (size_t i = 0; i < test.inputs.size(); ++i) {
    const NamedTensor& in = test.inputs[i];
    if (frozen(feed, i, in.tensor)) options.frozen_inputs[in.name] = in.tensor;
  }
  std::vector<std::string> unsupported;
  Result<Graph> graph =
      import_onnx_bytes(std::as_bytes(std::span(test.model)), test.folder, options, &unsupported);
  if (!graph.ok()) *reason = first_reason(unsupported, graph.error());
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
    inputs.push_back(to_float(*found));
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

Verdict attempt(const TestCase& test, Feed feed, const Executor& executor, std::string* reason) {
  const auto failed = [](const Error& error) {
    return error.code() == ErrorCode::kUnsupported ? Verdict::kUnsupported : Verdict::kWrong;
  };
  const Result<Graph> graph = import(test, feed, reason);
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

}  // namespace

std::string compare(const Tensor& got, const Tensor& want) {
  if (got.type != want.type)
    return std::string("type ") + dtype_name(got.type) + ", not " + dtype_name(want.type);
  if (!(got.shape == want.shape))
    return "shape " + shape_text(got.shape) + ", not " + shape_text(want.shape);
  if (got.type != DType::kF32) {
    return got.data == want.data ? "" : "integer elements differ";
  }
  for (size_t i = 0, n = static_cast<size_t>(want.count()); i < n; ++i) {
    const double a = got.f32()[i], b = want.f32()[i];
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    if (std::isfinite(b) && std::abs(a - b) <= 1e-5 + 1e-3 * std::abs(b)) continue;
    return "element " + std::to_string(i) + " is " + std::to_string(a) + ", not " +
           std::to_string(b);
  }
  return "";
}

Outcome not_loaded(const TestCase& test, const Error& error) {
  const bool unsupported = error.code() == ErrorCode::kUnsupported;
  return {test.name, test.operators, unsupported ? Verdict::kUnsupported : Verdict::kWrong,
          error.message(), Feed::kFloats};
}

Outcome run_case(const TestCase& test, const Executor& executor) {
  Outcome outcome = {test.name, test.operators, Verdict::kWrong, "", Feed::kFloats};
  for (Feed feed : {Feed::kFloats, Feed::kFirst, Feed::kNone}) {
    outcome.feed = feed;
    outcome.verdict = attempt(test, feed, executor, &outcome.reason);
    if (outcome.verdict != Verdict::kUnsupported) break;
  }
  return outcome;
}

namespace {

// The child's part: the verdict and the feed as one byte each, then the reason.
[[noreturn]] void send_outcome(const TestCase& test, const Executor& executor, int pipe) {
  const Outcome outcome = run_case(test, executor);
  std::string message = outcome.reason.substr(0, 2000);
  message.insert(0, {static_cast<char>(outcome.verdict), static_cast<char>(outcome.feed)});
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

Outcome run_case_isolated(const TestCase& test, const Executor& executor) {
  Outcome outcome = {test.name, test.operators, Verdict::kWrong, "no child process", Feed::kFloats};
  int ends[2];
  if (pipe(ends) != 0) return outcome;
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    send_outcome(test, executor, ends[1]);
  }
  close(ends[1]);
  const std::string message = child > 0 ? receive(ends[0]) : "";
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return outcome;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || message.size() < 2) {
    outcome.reason = "crashed";
    return outcome;
  }
  outcome.verdict = static_cast<Verdict>(message[0]);
  outcome.feed = static_cast<Feed>(message[1]);
  outcome.reason = message.substr(2);
  return outcome;
}

}  // namespace carrel::conformance
