// Trained networks on real pictures, in 1 MiB, against ONNX Runtime. CARREL_TEST_DATA names the
// folder with models and pictures; without it these tests are skipped.
//
//   Cifar.Subset   500 of the test images     Cifar.Whole   all 10,000
//   Photos.*       40 photographs of many sizes
//   *EightBits     quantized, calibrated on training images; ONNX Runtime runs the QDQ model
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/bytes.h"
#include "compiler/eval/eval.h"
#include "compiler/onnx/onnx.h"
#include "compiler/quantize/quantize.h"
#include "tests/suite/oracle.h"
#include "tests/suite/pictures.h"
#include "tests/suite/sealed_network.h"
#include "tests/suite/stored_output.h"

namespace carrel::suite {
namespace {

constexpr uint64_t kBudgetBytes = kMiB;
constexpr int64_t kOracleBatch = 500;  // bounds ONNX Runtime's memory
// The trained ResNet-8 on all test images in ONNX Runtime (README.md beside the data): 75.48 %.
constexpr int kImages = 10'000, kCorrect = 7548;
constexpr int kMostOtherClasses = 2;
constexpr double kTolerance = 1e-4;
constexpr int64_t kEvaluated = 40;  // pictures for the slow evaluator

struct Answers {
  std::vector<int> ours, theirs;
  int different() const {
    int count = 0;
    for (size_t i = 0; i < ours.size(); ++i) count += ours[i] != theirs[i];
    return count;
  }
};

// All pictures as one batch, in 1 MiB of a trusted process. The logits are compared with
// those of the weights as they are stored, the classes with those of the exact ones.
void classify(const std::string& model, const Tensor& pictures, const WeightTypes& stored,
              Answers* answers) {
  const std::string onnx_path = data_folder() + "/models/" + model;
  const auto exact = oracle_output(onnx_path, pictures, kOracleBatch);
  ASSERT_TRUE(exact.ok()) << exact.error().message();
  const auto graph = import_network(onnx_path);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const auto expected =
      stored == WeightTypes() ? exact : stored_output(*graph, stored, pictures, kOracleBatch);
  ASSERT_TRUE(expected.ok()) << expected.error().message();
  const auto sealed = SealedNetwork::make(*graph, stored, {});
  ASSERT_TRUE(sealed.ok()) << sealed.error().message();
  CaseChecker checker(*sealed, pictures, *expected, kTolerance, detect_cpu());
  checker.check({Strategy::kAuto, kBudgetBytes, 1, PlatformKind::kProcess}, 1);
  if (testing::Test::HasFatalFailure()) return;
  std::printf("%s: greatest relative error %.2g; of exact weights %.2g\n", model.c_str(),
              checker.worst_error(), relative_error(checker.first_output(), *exact));
  answers->ours = top_classes(checker.first_output());
  answers->theirs = top_classes(*exact);
}

int count_correct(const std::vector<int>& answers, const std::vector<int>& truth) {
  int count = 0;
  for (size_t i = 0; i < truth.size(); ++i) count += answers[i] == truth[i];
  return count;
}

TEST(Cifar, Subset) {
  SKIP_WITHOUT_DATA();
  const auto pictures = cifar_pictures(20);
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  ASSERT_EQ(pictures->classes.size(), kImages / 20u);
  Answers answers;
  ASSERT_NO_FATAL_FAILURE(
      classify("resnet8_cifar10.onnx", pictures->values, StoredType::kF32, &answers));
  EXPECT_EQ(answers.different(), 0);
  // Three standard deviations of a sample of 500 around 75.48 %.
  EXPECT_NEAR(count_correct(answers.ours, pictures->classes), kCorrect / 20, 29);
}

TEST(Cifar, HalfPrecisionStorage) {
  SKIP_WITHOUT_DATA();
  const auto pictures = cifar_pictures(20);
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  Answers answers;
  ASSERT_NO_FATAL_FAILURE(
      classify("resnet8_cifar10.onnx", pictures->values, StoredType::kF16, &answers));
  EXPECT_LE(answers.different(), 2);  // pictures between two classes
}

TEST(Cifar, QuantizedFullyConnectedLayer) {
  SKIP_WITHOUT_DATA();
  const auto pictures = cifar_pictures(20);
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  for (StoredType dense : {StoredType::kI8, StoredType::kI4}) {
    Answers answers;
    ASSERT_NO_FATAL_FAILURE(classify("resnet8_cifar10.onnx", pictures->values,
                                     {StoredType::kF32, dense}, &answers));
    std::printf("%s: %d of %zu unlike exact weights\n", stored_name(dense), answers.different(),
                answers.ours.size());
    EXPECT_LE(answers.different(), dense == StoredType::kI8 ? 5 : 45);
  }
}

TEST(Cifar, QuantizedWhole) {
  SKIP_WITHOUT_DATA();
  const auto pictures = cifar_pictures(1);
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  for (StoredType dense : {StoredType::kI8, StoredType::kI4}) {
    Answers answers;
    ASSERT_NO_FATAL_FAILURE(classify("resnet8_cifar10.onnx", pictures->values,
                                     {StoredType::kF32, dense}, &answers));
    const int correct = count_correct(answers.ours, pictures->classes);
    std::printf("%s: %d of %d right, %d unlike exact weights\n", stored_name(dense), correct,
                kImages, answers.different());
    // Half a point; four bits cost this classifier of 640 weights 0.8.
    EXPECT_NEAR(correct, kCorrect, dense == StoredType::kI8 ? 50 : 100);
  }
}

TEST(Cifar, Whole) {
  SKIP_WITHOUT_DATA();
  const auto pictures = cifar_pictures(1);
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  ASSERT_EQ(pictures->classes.size(), static_cast<size_t>(kImages));
  Answers answers;
  ASSERT_NO_FATAL_FAILURE(
      classify("resnet8_cifar10.onnx", pictures->values, StoredType::kF32, &answers));
  EXPECT_LE(answers.different(), kMostOtherClasses);
  EXPECT_EQ(count_correct(answers.theirs, pictures->classes), kCorrect);
  EXPECT_NEAR(count_correct(answers.ours, pictures->classes), kCorrect, answers.different());
  std::printf("%d of %d right, %d unlike ONNX Runtime\n",
              count_correct(answers.ours, pictures->classes), kImages, answers.different());
}

// The QDQ model of `model` in ONNX Runtime and, for the first pictures, in the evaluator: classes.
void classify_quantized(const std::string& model, const Tensor& calibration, const Tensor& pictures,
                        Answers* answers) {
  const auto graph = import_network(data_folder() + "/models/" + model);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  QuantizeReport report;
  const auto quantized = quantize_graph(*graph, {calibration}, {}, &report);
  ASSERT_TRUE(quantized.ok()) << quantized.error().message();
  const std::string path = cache_folder() + "/int8-" + std::to_string(getpid()) + ".onnx";
  const Status written = export_onnx_file(*quantized, path);
  ASSERT_TRUE(written.ok()) << written.error().message();
  const auto theirs = oracle_output(path, pictures, kOracleBatch);
  const auto fused = import_network(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(theirs.ok()) << theirs.error().message();
  ASSERT_TRUE(fused.ok()) << fused.error().message();
  answers->theirs = top_classes(*theirs);
  Tensor few = pictures;
  few.shape[0] = kEvaluated;
  few.data.resize(static_cast<size_t>(few.count()) * sizeof(float));
  const auto ours = eval_batch(*fused, {few});
  ASSERT_TRUE(ours.ok()) << ours.error().message();
  answers->ours = top_classes((*ours)[0]);
}

int count_different(const std::vector<int>& a, const std::vector<int>& b) {
  int count = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) count += a[i] != b[i];
  return count;
}

TEST(Cifar, EightBits) {
  SKIP_WITHOUT_DATA();
  const auto train = cifar_pictures(250, "train");
  ASSERT_TRUE(train.ok()) << train.error().message();
  const auto test = cifar_pictures(1);
  ASSERT_TRUE(test.ok()) << test.error().message();
  Answers answers;
  ASSERT_NO_FATAL_FAILURE(
      classify_quantized("resnet8_cifar10.onnx", train->values, test->values, &answers));
  const int correct = count_correct(answers.theirs, test->classes);
  std::printf("8 bits: %d of %d right\n", correct, kImages);
  EXPECT_GE(correct, kCorrect - 50);
  // Levels of two classes may be equal, and rounding may differ by one.
  EXPECT_LE(count_different(answers.ours, answers.theirs), 1);
}

TEST(Photos, EightBits) {
  SKIP_WITHOUT_DATA();
  const auto train = cifar_pictures(250, "train", 96, 1.0f / 255);
  ASSERT_TRUE(train.ok()) << train.error().message();
  const auto pictures = photographs();
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  const std::string model = "mobilenetv1_025_vww96.onnx";
  Answers answers;
  ASSERT_NO_FATAL_FAILURE(classify_quantized(model, train->values, pictures->values, &answers));
  const auto exact = oracle_output(data_folder() + "/models/" + model, pictures->values, 40);
  ASSERT_TRUE(exact.ok()) << exact.error().message();
  EXPECT_LE(count_different(answers.theirs, top_classes(*exact)), 2);
  EXPECT_LE(count_different(answers.ours, answers.theirs), 1);
}

TEST(Photos, PersonOrNot) {
  SKIP_WITHOUT_DATA();
  const auto pictures = photographs();
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  ASSERT_EQ(pictures->values.shape[0], 40);
  Answers answers;
  ASSERT_NO_FATAL_FAILURE(
      classify("mobilenetv1_025_vww96.onnx", pictures->values, StoredType::kF32, &answers));
  EXPECT_EQ(answers.different(), 0);
  ASSERT_NO_FATAL_FAILURE(
      classify("mobilenetv1_025_vww96.onnx", pictures->values, StoredType::kF16, &answers));
  EXPECT_EQ(answers.different(), 0);
  for (StoredType dense : {StoredType::kI8, StoredType::kI4}) {
    ASSERT_NO_FATAL_FAILURE(classify("mobilenetv1_025_vww96.onnx", pictures->values,
                                     {StoredType::kF32, dense}, &answers));
    EXPECT_LE(answers.different(), 2);
  }
  // Both classes occur, so the comparison says something.
  EXPECT_NE(std::count(answers.ours.begin(), answers.ours.end(), 0), 0);
  EXPECT_NE(std::count(answers.ours.begin(), answers.ours.end(), 1), 0);
}

}  // namespace
}  // namespace carrel::suite
