// Which way of calibration keeps trained networks closest to their float answers: ONNX Runtime runs
// the QDQ files. The default of `carrel quantize` stays close to the best one on each.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "compiler/onnx/onnx.h"
#include "compiler/quantize/quantize.h"
#include "tests/suite/oracle.h"
#include "tests/suite/pictures.h"
#include "tests/suite/sealed_network.h"

namespace carrel::suite {
namespace {

constexpr int64_t kOracleBatch = 500;  // bounds ONNX Runtime's memory

Result<Tensor> quantized_answers(const std::string& model, RangeMethod method, const Tensor& calibration,
                                 const Tensor& pictures) {
  CARREL_ASSIGN(const Graph graph, import_network(model));
  QuantizeOptions options;
  options.method = method;
  QuantizeReport report;
  CARREL_ASSIGN(const Graph quantized, quantize_graph(graph, {calibration}, options, &report));
  const std::string path = cache_folder() + "/tmp-" + std::to_string(getpid()) + ".method.onnx";
  CARREL_RETURN_IF_ERROR(export_onnx_file(quantized, path));
  Result<Tensor> answers = oracle_output(path, pictures, kOracleBatch);
  std::filesystem::remove(path);
  return answers;
}

struct Fidelity {
  int right = 0;       // of the known classes
  int unlike = 0;      // classes other than those of the float network
  double noise = 0;    // root of the mean squared difference over that of the float answers
};

Fidelity compare(const Tensor& answers, const Tensor& exact, const std::vector<int>& truth) {
  Fidelity f;
  double difference = 0, size = 0;
  for (size_t i = 0; i < exact.f32().size(); ++i) {
    const double d = answers.f32()[i] - exact.f32()[i];
    difference += d * d;
    size += double{exact.f32()[i]} * exact.f32()[i];
  }
  f.noise = std::sqrt(difference / size);
  const std::vector<int> ours = top_classes(answers), theirs = top_classes(exact);
  for (size_t i = 0; i < ours.size(); ++i) {
    f.unlike += ours[i] != theirs[i];
    f.right += i < truth.size() && ours[i] == truth[i];
  }
  return f;
}

struct Method {
  const char* name;
  RangeMethod method;
};
constexpr Method kMethods[] = {{"minmax", RangeMethod::kMinMax},
                               {"percentile", RangeMethod::kPercentile},
                               {"mse", RangeMethod::kMse}};

// The default's fidelity; prints everybody's.
void compare_methods(const char* file, const Tensor& calibration, const Pictures& pictures, Fidelity* chosen,
                     double* least_noise) {
  const std::string model = data_folder() + "/models/" + file;
  const auto exact = oracle_output(model, pictures.values, kOracleBatch);
  ASSERT_TRUE(exact.ok()) << exact.error().message();
  *least_noise = 1;
  for (const Method& m : kMethods) {
    const auto answers = quantized_answers(model, m.method, calibration, pictures.values);
    ASSERT_TRUE(answers.ok()) << answers.error().message();
    const Fidelity f = compare(*answers, *exact, pictures.classes);
    std::printf("%s, %lld calibration images, %s: %d right, %d of %zu unlike float, noise %.4f\n", file,
                static_cast<long long>(calibration.shape[0]), m.name, f.right, f.unlike, top_classes(*exact).size(),
                f.noise);
    if (m.method == QuantizeOptions().method) *chosen = f;
    *least_noise = std::min(*least_noise, f.noise);
  }
}

TEST(Calibration, ResNet) {
  SKIP_WITHOUT_DATA();
  const auto pictures = cifar_pictures(1);
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  for (size_t step : {2500u, 250u, 50u}) {
    const auto train = cifar_pictures(step, "train");
    ASSERT_TRUE(train.ok()) << train.error().message();
    Fidelity chosen;
    double least = 0;
    ASSERT_NO_FATAL_FAILURE(compare_methods("resnet8_cifar10.onnx", train->values, *pictures, &chosen, &least));
    EXPECT_LE(chosen.noise, 1.2 * least);
  }
}

TEST(Calibration, MobileNet) {
  SKIP_WITHOUT_DATA();
  auto pictures = cifar_pictures(10, "test", 96, 1.0f / 255);
  ASSERT_TRUE(pictures.ok()) << pictures.error().message();
  pictures->classes.clear();  // the network knows persons only
  for (size_t step : {2500u, 250u, 50u}) {
    const auto train = cifar_pictures(step, "train", 96, 1.0f / 255);
    ASSERT_TRUE(train.ok()) << train.error().message();
    Fidelity chosen;
    double least = 0;
    ASSERT_NO_FATAL_FAILURE(compare_methods("mobilenetv1_025_vww96.onnx", train->values, *pictures, &chosen, &least));
    EXPECT_LE(chosen.noise, 1.2 * least);
  }
}

}  // namespace
}  // namespace carrel::suite
