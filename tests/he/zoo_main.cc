// Networks of the zoo under encryption: logits against the same network in plain memory.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <random>

#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/zoo/zoo.h"
#include "tests/he/local.h"
#include "tests/suite/sealed_network.h"

namespace carrel::he {
namespace {

struct Case {
  const char* name;
  double width;
  int64_t resolution;
  RingParams ring;
};

Tensor random_images(const Shape& one, int64_t count) {
  Shape shape = one;
  shape[0] = count;
  Tensor t = Tensor::zeros(DType::kF32, shape);
  std::mt19937 random(1);
  std::normal_distribution<float> number;
  for (float& x : t.f32()) x = number(random);
  return t;
}

class Zoo : public ::testing::TestWithParam<Case> {};

TEST_P(Zoo, LogitsAreTheSame) {
  constexpr int64_t kImages = 8;
  const Case& c = GetParam();
  const auto made = make_zoo_model({c.name, 1, c.width, c.resolution});
  ASSERT_TRUE(made.ok());
  const auto graph = optimize(*made, eval_node);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const Tensor images = random_images(graph->value(graph->inputs[0]).shape, kImages);
  const auto run = run_locally(*graph, {images}, c.ring, 2, detect_cpu(), 2);
  ASSERT_TRUE(run.ok()) << run.error().message();
  const auto plain = eval_batch(*graph, {images});
  ASSERT_TRUE(plain.ok());
  double difference = 0, square = 0;
  const std::span<const float> expected = (*plain)[0].f32();
  ASSERT_EQ(run->outputs[0].size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double off = run->outputs[0][i] - expected[i];
    difference += off * off;
    square += static_cast<double>(expected[i]) * expected[i];
  }
  const double relative = std::sqrt(difference / square);
  std::printf("%s, 2^%u: %zu layers, %.1f s for a full ciphertext, logits off by %.3f %%\n", c.name, c.ring.modulus_bits,
              run->network.layers.size(), run->seconds, 100 * relative);
  EXPECT_LT(relative, 0.02);
}

INSTANTIATE_TEST_SUITE_P(Networks, Zoo,
                         ::testing::Values(Case{"mobilenetv2", 0.35, 64, {2048, 32}}, Case{"mobilenetv2", 0.35, 64, {2048, 52}},
                                           Case{"squeezenet1_1", 1, 64, {2048, 32}}),
                         [](const auto& info) {
                           return std::string(info.param.name) + "_" + std::to_string(info.param.ring.modulus_bits);
                         });

}  // namespace
}  // namespace carrel::he
