// Inception V1 (GoogLeNet) without its auxiliary classifiers, which take part in training only.
#include "compiler/zoo/architectures.h"
#include "compiler/zoo/builder.h"

namespace carrel::zoo {
namespace {

struct Module {
  const char* name;
  int64_t one, reduce3, three, reduce5, five, pooled;  // output channels
};

ValueId conv_relu(Builder& b, ValueId x, const std::string& name, int64_t channels,
                  int64_t kernel = 1) {
  x = b.conv(x, name, {.channels = channels, .kernel = kernel, .pad = kernel / 2, .bias = true});
  return b.relu(x, name + ".relu");
}

ValueId inception(Builder& b, ValueId x, const Module& m) {
  const std::string name = std::string("inception_") + m.name;
  const ValueId one = conv_relu(b, x, name + ".1x1", m.one);
  ValueId three = conv_relu(b, x, name + ".3x3_reduce", m.reduce3);
  three = conv_relu(b, three, name + ".3x3", m.three, 3);
  ValueId five = conv_relu(b, x, name + ".5x5_reduce", m.reduce5);
  five = conv_relu(b, five, name + ".5x5", m.five, 5);
  ValueId pooled = b.max_pool(x, name + ".pool", {.kernel = 3, .stride = 1, .pad = 1});
  pooled = conv_relu(b, pooled, name + ".pool_proj", m.pooled);
  return b.concat({one, three, five, pooled}, name + ".output");
}

constexpr PoolSpec kHalve = {.kernel = 3, .stride = 2, .ceil_mode = true};

ValueId stem(Builder& b) {
  ValueId x = b.conv(
      b.input(), "conv1.7x7_s2",
      {.channels = 64, .kernel = 7, .stride = 2, .pad = 3, .bias = true, .signal = Signal::kPlain});
  x = b.max_pool(b.relu(x, "conv1.relu"), "pool1.3x3_s2", kHalve);
  x = b.lrn(x, "pool1.norm1");
  x = conv_relu(b, x, "conv2.3x3_reduce", 64);
  x = conv_relu(b, x, "conv2.3x3", 192, 3);
  x = b.lrn(x, "conv2.norm2");
  return b.max_pool(x, "pool2.3x3_s2", kHalve);
}

}  // namespace

Result<Graph> make_inception_v1(const ZooOptions& options) {
  constexpr Module kModules[] = {
      {"3a", 64, 96, 128, 16, 32, 32},     {"3b", 128, 128, 192, 32, 96, 64},
      {"4a", 192, 96, 208, 16, 48, 64},    {"4b", 160, 112, 224, 24, 64, 64},
      {"4c", 128, 128, 256, 24, 64, 64},   {"4d", 112, 144, 288, 32, 64, 64},
      {"4e", 256, 160, 320, 32, 128, 128}, {"5a", 256, 160, 320, 32, 128, 128},
      {"5b", 384, 192, 384, 48, 128, 128}};
  Builder b(options);
  ValueId x = stem(b);
  for (const Module& module : kModules) {
    const std::string name = module.name;
    if (name == "4a") x = b.max_pool(x, "pool3.3x3_s2", kHalve);
    if (name == "5a") x = b.max_pool(x, "pool4.3x3_s2", kHalve);
    x = inception(b, x, module);
  }
  x = b.flatten(b.global_average_pool(x, "pool5"), "flatten");
  return b.finish(b.dense(x, "loss3.classifier", kClasses, Signal::kPooled));
}

}  // namespace carrel::zoo
