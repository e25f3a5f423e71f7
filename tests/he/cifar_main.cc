// The trained ResNet-8 under encryption. CARREL_TEST_DATA names the folder with the model and the pictures.
#include <gtest/gtest.h>

#include <cstdio>

#include "compiler/eval/eval.h"
#include "tests/he/local.h"
#include "tests/suite/pictures.h"
#include "tests/suite/sealed_network.h"

namespace carrel::he {
namespace {

using suite::data_folder;

double percent(size_t part, size_t all) { return 100.0 * static_cast<double>(part) / static_cast<double>(all); }

TEST(Cifar, OneCiphertextFull) {
  SKIP_WITHOUT_DATA();
  const auto pictures = suite::cifar_pictures(5);
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  const auto graph = suite::import_network(suite::data_folder() + "/models/resnet8_cifar10.onnx");
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const auto run = run_locally(*graph, {pictures->values}, {2048, 32}, 20, detect_cpu(), 2);
  ASSERT_TRUE(run.ok()) << run.error().message();
  const auto plain = eval_batch(*graph, {pictures->values});
  ASSERT_TRUE(plain.ok()) << plain.error().message();
  const std::span<const float> expected = (*plain)[0].f32();
  const std::vector<float>& got = run->outputs[0];
  ASSERT_EQ(got.size(), expected.size());
  const size_t images = pictures->classes.size(), classes = got.size() / images;
  size_t same = 0, right = 0, plain_right = 0;
  double worst = 0, largest = 0;
  for (size_t i = 0; i < images; ++i) {
    const auto top = [&](const float* x) { return static_cast<int>(std::max_element(x, x + classes) - x); };
    const int ours = top(&got[i * classes]), theirs = top(&expected[i * classes]);
    same += ours == theirs;
    right += ours == pictures->classes[i];
    plain_right += theirs == pictures->classes[i];
    for (size_t c = 0; c < classes; ++c) {
      worst = std::max(worst, static_cast<double>(std::abs(got[i * classes + c] - expected[i * classes + c])));
      largest = std::max(largest, static_cast<double>(std::abs(expected[i * classes + c])));
    }
  }
  std::printf("%zu images in %.2f s: same class %.2f %%, right %.2f %% (plain %.2f %%), worst logit off %.2g of %.2g\n", images,
              run->seconds, percent(same, images), percent(right, images), percent(plain_right, images), worst, largest);
  EXPECT_GE(same, images * 99 / 100);
}

}  // namespace
}  // namespace carrel::he
