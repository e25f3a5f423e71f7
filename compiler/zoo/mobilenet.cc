// MobileNet V1 (depthwise separable convolutions) and V2 (inverted residuals with linear
// bottlenecks).
#include <algorithm>

#include "compiler/zoo/architectures.h"
#include "compiler/zoo/builder.h"

namespace carrel::zoo {
namespace {

// The learnt scale that ends a residual branch, as in resnet.cc.
constexpr double kBranchScale = 0.4;

// `channels` times width to the nearest multiple of 8, but never below 90 % of it (the V2 paper's
// code).
int64_t scaled(int64_t channels, double width) {
  const double exact = static_cast<double>(channels) * width;
  const int64_t rounded = std::max<int64_t>(8, static_cast<int64_t>(exact + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * exact ? rounded + 8 : rounded;
}

ValueId conv_bn_relu6(Builder& b, ValueId x, const std::string& name, const ConvSpec& spec) {
  x = b.batch_norm(b.conv(x, name + ".0", spec), name + ".1");
  return b.relu6(x, name + ".2");
}

ConvSpec depthwise(int64_t channels, int64_t stride) {
  return {.channels = channels, .kernel = 3, .stride = stride, .pad = 1, .group = channels};
}

ConvSpec stem(int64_t channels) {
  return {.channels = channels, .kernel = 3, .stride = 2, .pad = 1, .signal = Signal::kPlain};
}

ValueId inverted_residual(Builder& b, ValueId x, const std::string& name, int64_t expansion,
                          int64_t outputs, int64_t stride) {
  const int64_t inputs = b.channels(x);
  const int64_t hidden = inputs * expansion;
  const bool residual = stride == 1 && inputs == outputs;
  const std::string prefix = name + ".conv.";
  int index = 0;
  ValueId y = x;
  if (expansion != 1) {
    y = conv_bn_relu6(b, y, prefix + std::to_string(index++),
                      {.channels = hidden, .signal = Signal::kPlain});
  }
  y = conv_bn_relu6(b, y, prefix + std::to_string(index++), depthwise(hidden, stride));
  y = b.conv(y, prefix + std::to_string(index), {.channels = outputs});
  y = b.batch_norm(y, prefix + std::to_string(index + 1), residual ? kBranchScale : 1);
  return residual ? b.add(x, y, name + ".add") : y;
}

Result<Graph> classify(Builder& b, ValueId x, const std::string& name) {
  x = b.flatten(b.global_average_pool(x, "avgpool"), "flatten");
  return b.finish(b.dense(x, name, kClasses, Signal::kPooled));
}

}  // namespace

Result<Graph> make_mobilenet_v1(const ZooOptions& options) {
  struct Layer {
    int64_t channels, stride;
  };
  constexpr Layer kLayers[] = {{64, 1},  {128, 2},  {128, 1}, {256, 2}, {256, 1},
                               {512, 2}, {512, 1},  {512, 1}, {512, 1}, {512, 1},
                               {512, 1}, {1024, 2}, {1024, 1}};
  Builder b(options);
  ValueId x = conv_bn_relu6(b, b.input(), "features.0", stem(scaled(32, options.width)));
  int index = 1;
  for (const Layer& layer : kLayers) {
    const std::string name = "features." + std::to_string(index++);
    x = conv_bn_relu6(b, x, name + ".dw", depthwise(b.channels(x), layer.stride));
    x = conv_bn_relu6(b, x, name + ".pw", {.channels = scaled(layer.channels, options.width)});
  }
  return classify(b, x, "classifier");
}

Result<Graph> make_mobilenet_v2(const ZooOptions& options) {
  struct Stage {
    int64_t expansion, channels, repeats, stride;
  };
  constexpr Stage kStages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                               {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  Builder b(options);
  ValueId x = conv_bn_relu6(b, b.input(), "features.0", stem(scaled(32, options.width)));
  int index = 1;
  for (const Stage& stage : kStages) {
    const int64_t outputs = scaled(stage.channels, options.width);
    for (int64_t i = 0; i < stage.repeats; ++i) {
      x = inverted_residual(b, x, "features." + std::to_string(index++), stage.expansion, outputs,
                            i == 0 ? stage.stride : 1);
    }
  }
  x = conv_bn_relu6(
      b, x, "features." + std::to_string(index),
      {.channels = scaled(1280, std::max(1.0, options.width)), .signal = Signal::kPlain});
  return classify(b, x, "classifier.1");
}

}  // namespace carrel::zoo
