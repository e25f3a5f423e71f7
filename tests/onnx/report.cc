#include "tests/onnx/report.h"

#include <algorithm>
#include <map>
#include <set>

namespace carrel::conformance {
namespace {

struct Counts {
  int passed = 0, unsupported = 0, wrong = 0;
  void add(Verdict verdict) {
    (verdict == Verdict::kPassed        ? passed
     : verdict == Verdict::kUnsupported ? unsupported
                                        : wrong) += 1;
  }
};

// A single case's operator; Constant only feeds another one.
std::string operator_of(const Outcome& outcome) {
  std::vector<std::string> ops = outcome.operators;
  if (ops.size() > 1) std::erase(ops, "Constant");
  if (ops.size() == 1) return ops[0];
  return ops.empty() ? "(none)" : "(several)";
}

bool all_promised(const Outcome& outcome) {
  return std::all_of(outcome.operators.begin(), outcome.operators.end(), is_promised);
}

std::string row(const std::string& name, const Counts& c) {
  return "| " + name + " | " + std::to_string(c.passed) + " | " + std::to_string(c.unsupported) +
         " | " + std::to_string(c.wrong) + " |\n";
}

// Reasons come from messages; in a table cell they must stay one line.
std::string cell(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '|') c = ' ';
  }
  return text;
}

std::string cases_with(const std::vector<Outcome>& outcomes, Verdict verdict,
                       const std::string& empty) {
  std::string text;
  for (const Outcome& o : outcomes) {
    if (o.verdict != verdict || (verdict == Verdict::kUnsupported && !all_promised(o))) continue;
    text += "| " + o.name + " | " + operator_of(o) + " | " + cell(o.reason) + " |\n";
  }
  return text.empty() ? empty + "\n" : "| case | operator | reason |\n|---|---|---|\n" + text;
}

// Operators outside the promise, with how many cases ask for them.
std::string other_operators(const std::vector<Outcome>& outcomes) {
  std::map<std::string, int> cases;
  for (const Outcome& o : outcomes) {
    if (o.verdict != Verdict::kUnsupported) continue;
    for (const std::string& op : o.operators) {
      if (!is_promised(op)) ++cases[op];
    }
  }
  std::string text;
  for (const auto& [op, n] : cases)
    text += (text.empty() ? "" : ", ") + op + " (" + std::to_string(n) + ")";
  return text + "\n";
}

}  // namespace

bool is_promised(const std::string& op) {
  static const std::set<std::string> kPromised = {"Conv",
                                                  "ConvTranspose",
                                                  "Gemm",
                                                  "MatMul",
                                                  "BatchNormalization",
                                                  "InstanceNormalization",
                                                  "LayerNormalization",
                                                  "LRN",
                                                  "Relu",
                                                  "LeakyRelu",
                                                  "PRelu",
                                                  "Clip",
                                                  "Sigmoid",
                                                  "HardSigmoid",
                                                  "HardSwish",
                                                  "Tanh",
                                                  "Elu",
                                                  "Selu",
                                                  "Softplus",
                                                  "Gelu",
                                                  "Erf",
                                                  "Softmax",
                                                  "LogSoftmax",
                                                  "MaxPool",
                                                  "AveragePool",
                                                  "GlobalAveragePool",
                                                  "GlobalMaxPool",
                                                  "Add",
                                                  "Sub",
                                                  "Mul",
                                                  "Div",
                                                  "Pow",
                                                  "Sqrt",
                                                  "Exp",
                                                  "Sum",
                                                  "Max",
                                                  "Min",
                                                  "Mean",
                                                  "ReduceMean",
                                                  "ReduceSum",
                                                  "ReduceMax",
                                                  "Concat",
                                                  "Split",
                                                  "Slice",
                                                  "Pad",
                                                  "Reshape",
                                                  "Flatten",
                                                  "Squeeze",
                                                  "Unsqueeze",
                                                  "Transpose",
                                                  "Expand",
                                                  "Gather",
                                                  "Shape",
                                                  "Constant",
                                                  "ConstantOfShape",
                                                  "Cast",
                                                  "Range",
                                                  "Resize",
                                                  "Upsample",
                                                  "DepthToSpace",
                                                  "SpaceToDepth",
                                                  "Identity",
                                                  "Dropout"};
  return kPromised.count(op) != 0;
}

std::string markdown(const std::vector<Outcome>& outcomes) {
  std::map<std::string, Counts> by_operator;
  Counts promised, all;
  for (const Outcome& o : outcomes) {
    all.add(o.verdict);
    if (all_promised(o)) promised.add(o.verdict);
    if (all_promised(o) || o.verdict != Verdict::kUnsupported)
      by_operator[operator_of(o)].add(o.verdict);
  }
  std::string text =
      R"(# ONNX conformance

Written by `conformance --write docs/CONFORMANCE.md` (tests/onnx); the test suite checks that it is
current. Cases: the ONNX backend tests `node` and `simple` of Debian's libonnx-testdata, run in
float32 by the plain operators. Tolerance: 1e-5 + 1e-3 times the expected value, as ONNX's own
runner. Inputs that are not float32 (shapes, axes, indices) are constants of the model; so are
parameters where an operator needs them constant.

| | passed | unsupported | wrong |
|---|---|---|---|
)";
  text += row("all cases", all) + row("cases of supported operators only", promised);
  text +=
      "\n## Supported operators\n\n| operator | passed | unsupported | wrong "
      "|\n|---|---|---|---|\n";
  for (const auto& [op, counts] : by_operator) text += row(op, counts);
  text += "\n## Wrong\n\n" + cases_with(outcomes, Verdict::kWrong, "None.");
  text += "\n## Unsupported forms of supported operators\n\n" +
          cases_with(outcomes, Verdict::kUnsupported, "None.");
  text += "\n## Unsupported operators\n\nWith the number of cases that use them: " +
          other_operators(outcomes);
  return text;
}

}  // namespace carrel::conformance
