#include "tests/onnx/report.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace carrel::conformance {
namespace {

const std::set<std::string>& promised_operators() {
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
                                                  "Dropout",
                                                  "QuantizeLinear",
                                                  "DequantizeLinear",
                                                  "DynamicQuantizeLinear",
                                                  "QLinearConv",
                                                  "QLinearMatMul",
                                                  "ConvInteger",
                                                  "MatMulInteger"};
  return kPromised;
}

struct Counts {
  std::array<int, kVerdicts> plain = {}, sealed = {};
  void add(const CaseOutcomes& c) {
    ++plain[static_cast<size_t>(c.plain.verdict)];
    ++sealed[static_cast<size_t>(c.sealed.verdict)];
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
  std::string text = "| " + name + " |";
  for (const auto* counts : {&c.plain, &c.sealed}) {
    for (int count : *counts) text += " " + std::to_string(count) + " |";
  }
  return text + "\n";
}

std::string header(const std::string& first) {
  return "| " + first +
         " | passed | unsupported | wrong | sealed: passed | unsupported | wrong "
         "|\n|---|---|---|---|---|---|---|\n";
}

// Reasons come from messages; in a table cell they must stay one line.
std::string cell(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '|') c = ' ';
  }
  return text;
}

class CaseTable {
 public:
  void add(const Outcome& o, const std::string& note = "") {
    text_ += "| " + o.name + " | " + operator_of(o) + " | " + cell(note + o.reason) + " |\n";
  }
  std::string text() const {
    return text_.empty() ? "None.\n" : "| case | operator | reason |\n|---|---|---|\n" + text_;
  }

 private:
  std::string text_;
};

std::string wrong_cases(const std::vector<CaseOutcomes>& cases) {
  CaseTable table;
  for (const CaseOutcomes& c : cases) {
    if (c.plain.verdict == Verdict::kWrong) table.add(c.plain);
    if (c.sealed.verdict == Verdict::kWrong) table.add(c.sealed, "sealed: ");
  }
  return table.text();
}

std::string unsupported_forms(const std::vector<CaseOutcomes>& cases) {
  CaseTable table;
  for (const CaseOutcomes& c : cases) {
    if (c.plain.verdict == Verdict::kUnsupported && all_promised(c.plain)) table.add(c.plain);
  }
  return table.text();
}

std::string not_yet_sealed(const std::vector<CaseOutcomes>& cases) {
  CaseTable table;
  for (const CaseOutcomes& c : cases) {
    const bool planned = c.sealed.verdict != Verdict::kUnsupported;
    if (c.plain.verdict == Verdict::kPassed && !planned) table.add(c.sealed);
  }
  return table.text();
}

// Of the passed cases: how many met the network with run-time inputs, and how many folded away.
std::string feeds(const std::vector<CaseOutcomes>& cases) {
  std::array<int, kFeeds> plain = {}, sealed = {};
  for (const CaseOutcomes& c : cases) {
    if (c.plain.verdict == Verdict::kPassed) ++plain[static_cast<size_t>(c.plain.feed)];
    if (c.sealed.verdict == Verdict::kPassed) ++sealed[static_cast<size_t>(c.sealed.feed)];
  }
  const char* const names[kFeeds] = {"every float32 input", "the first float32 input",
                                     "none: the model folds to constants"};
  std::string text = "| given at run time | plain | sealed |\n|---|---|---|\n";
  for (size_t f = 0; f < kFeeds; ++f) {
    text += std::string("| ") + names[f] + " | " + std::to_string(plain[f]) + " | " +
            std::to_string(sealed[f]) + " |\n";
  }
  return text;
}

// Operators outside the promise, with how many unsupported cases ask for them.
std::string other_operators(const std::vector<CaseOutcomes>& cases) {
  std::map<std::string, int> counts;
  for (const CaseOutcomes& c : cases) {
    if (c.plain.verdict != Verdict::kUnsupported) continue;
    for (const std::string& op : c.plain.operators) {
      if (!is_promised(op)) ++counts[op];
    }
  }
  std::string text;
  for (const auto& [op, n] : counts)
    text += (text.empty() ? "" : ", ") + op + " (" + std::to_string(n) + ")";
  return text + "\n";
}

std::string by_operator(const std::vector<CaseOutcomes>& cases) {
  std::map<std::string, Counts> counts;
  for (const CaseOutcomes& c : cases) {
    const bool known = all_promised(c.plain) || c.plain.verdict != Verdict::kUnsupported;
    if (known) counts[operator_of(c.plain)].add(c);
  }
  std::string text = header("operator");
  for (const auto& [op, n] : counts) text += row(op, n);
  return text;
}

constexpr const char* kIntroduction = R"(# ONNX conformance

Written by `conformance --write docs/CONFORMANCE.md` (tests/onnx); the test suite checks that it is
current. Cases: the ONNX backend tests `node` and `simple` of Debian's libonnx-testdata. Each runs
twice: imported and evaluated by the plain operators, and imported, optimized, sealed to a file and
run by the trusted engine (64 MiB, one thread) with its measured peak of memory equal to the planned
one. Tolerance: 1e-5 + 1e-3 times the expected value, ONNX's own.

carrel computes in float32 and, for quantized networks, on uint8. Inputs of type int8 and uint8 cross
as float32 integers; those of other types (shapes, axes, indices) are constants of the model, and
outputs of other types than float32 are compared after a Cast to FLOAT. Where a network with all its
float32 inputs at run time is not supported, all but the first are made constants (weights and
parameters that the cases feed as inputs), then all.

)";

constexpr const char* kGenerated = R"(
## Generated models

Models of one operator each, in every opset from 7 to 21 that has it, with seeded weights and data
(tests/onnx/recipes_*.cc), compared with ONNX Runtime under the same tolerance.

)";

std::string generated_section(const Report& report) {
  Counts all;
  for (const CaseOutcomes& c : report.generated) all.add(c);
  std::string text = kGenerated + by_operator(report.generated) + row("all generated models", all);
  text += "\nWrong:\n\n" + wrong_cases(report.generated);
  text += "\nUnsupported:\n\n" + unsupported_forms(report.generated);
  text +=
      "\nEvaluated, but not planned for the trusted engine:\n\n" + not_yet_sealed(report.generated);
  text += "\nRefused by ONNX Runtime itself:";
  for (const std::string& line : report.refused) text += "\n- " + cell(line);
  return text + (report.refused.empty() ? " none.\n" : "\n");
}

}  // namespace

bool is_promised(const std::string& op) { return promised_operators().count(op) != 0; }

std::string markdown(const Report& report) {
  const std::vector<CaseOutcomes>& cases = report.cases;
  Counts promised, all;
  for (const CaseOutcomes& c : cases) {
    all.add(c);
    if (all_promised(c.plain)) promised.add(c);
  }
  std::string text = kIntroduction + header("") + row("all cases", all) +
                     row("cases of supported operators only", promised);
  text += "\nWhat the passed cases were given:\n\n" + feeds(cases);
  text += "\n## Supported operators\n\n" + by_operator(cases);
  text += "\n## Wrong\n\n" + wrong_cases(cases);
  text += "\n## Unsupported forms of supported operators\n\n" + unsupported_forms(cases);
  text += "\n## Evaluated, but not planned for the trusted engine\n\n" + not_yet_sealed(cases);
  text += "\n## Unsupported operators\n\nWith the number of cases that use them: " +
          other_operators(cases);
  return text + generated_section(report);
}

}  // namespace carrel::conformance
