// The trained ResNet-8 under encryption. CARREL_TEST_DATA names the folder with the model and the pictures.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "compiler/eval/eval.h"
#include "tests/he/local.h"
#include "tests/suite/pictures.h"
#include "tests/suite/sealed_network.h"

namespace carrel::he {
namespace {

using suite::data_folder;

constexpr size_t kBatch = 2048;

double percent(size_t part, size_t all) { return 100.0 * static_cast<double>(part) / static_cast<double>(all); }

// In batches of at most a ciphertext's images.
void classify(size_t step) {
  const auto pictures = suite::cifar_pictures(step);
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  const auto graph = suite::import_network(suite::data_folder() + "/models/resnet8_cifar10.onnx");
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const Tensor& all = pictures->values;
  const size_t images = pictures->classes.size(), each = static_cast<size_t>(all.count()) / images;
  size_t same = 0, right = 0, plain_right = 0;
  double seconds = 0;
  for (size_t first = 0; first < images; first += kBatch) {
    const size_t count = std::min(kBatch, images - first);
    Shape shape = all.shape;
    shape[0] = static_cast<int64_t>(count);
    const Tensor batch = Tensor::from_f32(shape, all.f32().subspan(first * each, count * each));
    const auto run = run_locally(*graph, {batch}, {kBatch, 32}, 20, detect_cpu(), 2);
    ASSERT_TRUE(run.ok()) << run.error().message();
    const auto plain = eval_batch(*graph, {batch});
    ASSERT_TRUE(plain.ok()) << plain.error().message();
    const size_t classes = run->outputs[0].size() / count;
    ASSERT_EQ((*plain)[0].f32().size(), run->outputs[0].size());
    for (size_t i = 0; i < count; ++i) {
      const auto top = [&](const float* x) { return static_cast<int>(std::max_element(x, x + classes) - x); };
      const int ours = top(&run->outputs[0][i * classes]), theirs = top(&(*plain)[0].f32()[i * classes]);
      same += ours == theirs;
      right += ours == pictures->classes[first + i];
      plain_right += theirs == pictures->classes[first + i];
    }
    seconds += run->seconds;
  }
  std::printf("%zu images in %.2f s: same class %.2f %%, right %.2f %% (plain %.2f %%)\n", images, seconds, percent(same, images),
              percent(right, images), percent(plain_right, images));
  EXPECT_GE(same, images * 99 / 100);
  EXPECT_NEAR(percent(right, images), percent(plain_right, images), 0.5);
}

TEST(Cifar, OneBatch) {
  SKIP_WITHOUT_DATA();
  classify(5);
}

TEST(Cifar, Whole) {
  SKIP_WITHOUT_DATA();
  classify(1);
}

}  // namespace
}  // namespace carrel::he
