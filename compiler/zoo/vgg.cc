// AlexNet and VGG: plain chains of convolutions and pools with large dense layers.
#include <span>

#include "compiler/zoo/architectures.h"
#include "compiler/zoo/builder.h"

namespace carrel::zoo {
namespace {

constexpr int64_t kHidden = 4096;

// Dense-relu-dense-relu-dense, named by torchvision's indices into its Sequential.
Result<Graph> classify(Builder& b, ValueId x, int first, int stride) {
  const auto name = [&](int i) { return "classifier." + std::to_string(first + i * stride); };
  x = b.flatten(x, "flatten");
  x = b.relu(b.dense(x, name(0), kHidden, Signal::kRectified), "classifier.relu1");
  x = b.relu(b.dense(x, name(1), kHidden, Signal::kRectified), "classifier.relu2");
  return b.finish(b.dense(x, name(2), kClasses, Signal::kRectified));
}

// A 0 stands for a 2x2 pool.
Result<Graph> make_vgg(const ZooOptions& options, std::span<const int64_t> channels) {
  Builder b(options);
  ValueId x = b.input();
  Signal signal = Signal::kPlain;
  int index = 0;
  const auto name = [&] { return "features." + std::to_string(index++); };
  for (int64_t c : channels) {
    if (c == 0) {
      x = b.max_pool(x, name(), {.kernel = 2, .stride = 2});
      continue;
    }
    x = b.conv(x, name(), {.channels = c, .kernel = 3, .pad = 1, .bias = true, .signal = signal});
    x = b.relu(x, name());
    signal = Signal::kRectified;
  }
  return classify(b, x, 0, 3);
}

}  // namespace

Result<Graph> make_alexnet(const ZooOptions& options) {
  Builder b(options);
  ValueId x = b.conv(b.input(), "features.0",
                     {.channels = 64,
                      .kernel = 11,
                      .stride = 4,
                      .pad = 2,
                      .bias = true,
                      .signal = Signal::kPlain});
  x = b.max_pool(b.relu(x, "features.1"), "features.2", {.kernel = 3, .stride = 2});
  x = b.conv(x, "features.3", {.channels = 192, .kernel = 5, .pad = 2, .bias = true});
  x = b.max_pool(b.relu(x, "features.4"), "features.5", {.kernel = 3, .stride = 2});
  x = b.conv(x, "features.6", {.channels = 384, .kernel = 3, .pad = 1, .bias = true});
  x = b.conv(b.relu(x, "features.7"), "features.8",
             {.channels = 256, .kernel = 3, .pad = 1, .bias = true});
  x = b.conv(b.relu(x, "features.9"), "features.10",
             {.channels = 256, .kernel = 3, .pad = 1, .bias = true});
  x = b.max_pool(b.relu(x, "features.11"), "features.12", {.kernel = 3, .stride = 2});
  return classify(b, x, 1, 3);
}

Result<Graph> make_vgg16(const ZooOptions& options) {
  constexpr int64_t kChannels[] = {64, 64,  0,   128, 128, 0,   256, 256, 256,
                                   0,  512, 512, 512, 0,   512, 512, 512, 0};
  return make_vgg(options, kChannels);
}

Result<Graph> make_vgg19(const ZooOptions& options) {
  constexpr int64_t kChannels[] = {64,  64,  0,   128, 128, 0,   256, 256, 256, 256, 0,
                                   512, 512, 512, 512, 0,   512, 512, 512, 512, 0};
  return make_vgg(options, kChannels);
}

}  // namespace carrel::zoo
