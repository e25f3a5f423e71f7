#include "tests/onnx/runner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <set>

#include "tests/onnx/generated.h"
#include "tests/onnx/report.h"

namespace carrel::conformance {
namespace {

Tensor floats(std::vector<float> values) {
  return Tensor::from_f32({static_cast<int64_t>(values.size())}, values);
}

TEST(Compare, ToleratesRoundingOnly) {
  EXPECT_EQ(compare(floats({1, 100, NAN, INFINITY}), floats({1, 100.05f, NAN, INFINITY})), "");
  EXPECT_NE(compare(floats({1.01f}), floats({1})), "");
  EXPECT_NE(compare(floats({NAN}), floats({1})), "");
  EXPECT_NE(compare(floats({1}), floats({NAN})), "");
  EXPECT_NE(compare(floats({-INFINITY}), floats({INFINITY})), "");
  EXPECT_NE(compare(floats({INFINITY}), floats({1e30f})), "");
}

TEST(Compare, TypeShapeAndIntegersExactly) {
  EXPECT_NE(compare(floats({1, 2}), floats({1})), "");
  const std::vector<int64_t> one = {1}, two = {2};
  EXPECT_NE(compare(Tensor::from_i64({1}, one), floats({1})), "");
  EXPECT_EQ(compare(Tensor::from_i64({1}, one), Tensor::from_i64({1}, one)), "");
  EXPECT_NE(compare(Tensor::from_i64({1}, one), Tensor::from_i64({1}, two)), "");
}

TEST(Report, CountsAndLists) {
  const auto both = [](const Outcome& o) { return CaseOutcomes{o, o}; };
  std::vector<CaseOutcomes> cases = {
      both({"test_a", {"Relu"}, Verdict::kPassed, "", Feed::kFirst}),
      both({"test_b", {"Constant", "Relu"}, Verdict::kUnsupported, "because | of this"}),
      both({"test_c", {"Einsum"}, Verdict::kUnsupported, "Einsum"}),
      both({"test_d", {"Add", "Mul"}, Verdict::kWrong, "element 3"}),
      both({"test_e", {"Pad"}, Verdict::kPassed, ""}),
  };
  cases[4].sealed = {"test_e", {"Pad"}, Verdict::kUnsupported, "no plan"};
  const std::vector<CaseOutcomes> generated = {
      both({"Relu, opset 13", {"Relu"}, Verdict::kPassed, ""}),
      both({"Relu, opset 14", {"Relu"}, Verdict::kWrong, "element 9"}),
  };
  const std::string text = markdown({cases, generated, {"Pad, opset 18: no"}});
  for (const char* line :
       {"| all cases | 2 | 2 | 1 | 1 | 3 | 1 |",
        "| cases of supported operators only | 2 | 1 | 1 | 1 | 2 | 1 |",
        "| Relu | 1 | 1 | 0 | 1 | 1 | 0 |", "| (several) | 0 | 0 | 1 | 0 | 0 | 1 |",
        "| the first float32 input | 1 | 1 |", "| test_b | Relu | because   of this |",
        "| test_d | (several) | element 3 |", "| test_d | (several) | sealed: element 3 |",
        "| test_e | Pad | no plan |", "Einsum (1)",
        "| all generated models | 1 | 0 | 1 | 1 | 0 | 1 |",
        "| Relu, opset 14 | Relu | sealed: element 9 |", "- Pad, opset 18: no"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
  EXPECT_EQ(text.find("test_c"), std::string::npos);
}

TEST(LoadCase, MissingCaseIsWrong) {
  TestCase test;
  const Status loaded = load_case("/nowhere/test_x", &test);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(not_loaded(test, loaded.error()).verdict, Verdict::kWrong);
}

TEST(RunCase, CrashIsWrong) {
  const Executor crashing =
      [](const Graph&, const std::vector<Tensor>&) -> Result<std::vector<Tensor>> { _exit(3); };
  const Outcome outcome = run_case_isolated(generate_cases().front(), crashing);
  EXPECT_EQ(outcome.verdict, Verdict::kWrong);
  EXPECT_EQ(outcome.reason, "crashed");
  EXPECT_EQ(outcome.name, "Conv, opset 7");
}

TEST(RunCase, WrongNumbersAreWrong) {
  TestCase test = generate_cases().front();
  const Executor zeros = [](const Graph& graph, const std::vector<Tensor>&) {
    const Value& y = graph.value(graph.outputs[0]);
    return Result<std::vector<Tensor>>(std::vector{Tensor::zeros(y.type, y.shape)});
  };
  test.outputs[0].tensor = Tensor::zeros(DType::kF32, Shape{1, 5, 7, 6});
  EXPECT_EQ(run_case(test, zeros).verdict, Verdict::kPassed);
  test.outputs[0].tensor.f32()[3] = 1;
  EXPECT_EQ(run_case(test, zeros).verdict, Verdict::kWrong);
}

TEST(Generated, EveryPromisedOperatorInEveryOpset) {
  std::map<std::string, std::set<int>> opsets;
  for (const TestCase& test : generate_cases()) {
    EXPECT_TRUE(is_promised(test.operators[0])) << test.name;
    opsets[test.operators[0]].insert(std::stoi(test.name.substr(test.name.rfind(' '))));
  }
  EXPECT_GE(opsets.size(), 55u);
  for (const auto& [op, found] : opsets) {
    const int first = *found.begin(), last = *found.rbegin();
    EXPECT_EQ(last, op == "Upsample" ? 9 : kLastGeneratedOpset) << op;
    EXPECT_EQ(found.size(), static_cast<size_t>(last - first + 1)) << op;
  }
  for (const char* op : {"Clip", "Pad", "Slice", "Softmax", "Split", "Squeeze", "Upsample"}) {
    EXPECT_TRUE(opsets[op].count(7)) << op;
  }
}

}  // namespace
}  // namespace carrel::conformance
