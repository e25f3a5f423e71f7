#include "tests/onnx/runner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

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
  const std::vector<Outcome> outcomes = {
      {"test_a", {"Relu"}, Verdict::kPassed, ""},
      {"test_b", {"Constant", "Relu"}, Verdict::kUnsupported, "because | of this"},
      {"test_c", {"Einsum"}, Verdict::kUnsupported, "Einsum"},
      {"test_d", {"Add", "Mul"}, Verdict::kWrong, "element 3"},
  };
  const std::string text = markdown(outcomes);
  for (const char* line :
       {"| all cases | 1 | 2 | 1 |", "| cases of supported operators only | 1 | 1 | 1 |",
        "| Relu | 1 | 1 | 0 |", "| (several) | 0 | 0 | 1 |",
        "| test_b | Relu | because   of this |", "| test_d | (several) | element 3 |",
        "Einsum (1)"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
  EXPECT_EQ(text.find("test_c"), std::string::npos);
}

TEST(RunCase, MissingCaseIsWrong) {
  const Executor none = [](const Graph&,
                           const std::vector<Tensor>&) -> Result<std::vector<Tensor>> {
    return std::vector<Tensor>();
  };
  EXPECT_EQ(run_case("/nowhere/test_x", none).verdict, Verdict::kWrong);
}

TEST(RunCase, CrashIsWrong) {
  const Executor crashing =
      [](const Graph&, const std::vector<Tensor>&) -> Result<std::vector<Tensor>> { _exit(3); };
  const std::string folder = std::string(kDataFolder) + "/node/test_relu";
  TestCase test;
  if (!load_case(folder, &test).ok()) GTEST_SKIP() << "libonnx-testdata is not installed";
  const Outcome outcome = run_case_isolated(folder, crashing);
  EXPECT_EQ(outcome.verdict, Verdict::kWrong);
  EXPECT_EQ(outcome.reason, "crashed");
  EXPECT_EQ(outcome.name, "test_relu");
}

}  // namespace
}  // namespace carrel::conformance
