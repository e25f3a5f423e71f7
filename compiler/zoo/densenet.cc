// DenseNet-121: each layer reads the concatenation of all earlier ones in its block.
#include "compiler/zoo/architectures.h"
#include "compiler/zoo/builder.h"

namespace carrel::zoo {
namespace {

constexpr int64_t kGrowth = 32;
constexpr int64_t kBottleneck = 4 * kGrowth;

ValueId dense_layer(Builder& b, ValueId x, const std::string& name) {
  ValueId y = b.relu(b.batch_norm(x, name + ".norm1"), name + ".relu1");
  y = b.batch_norm(b.conv(y, name + ".conv1", {.channels = kBottleneck}), name + ".norm2");
  y = b.conv(b.relu(y, name + ".relu2"), name + ".conv2",
             {.channels = kGrowth, .kernel = 3, .pad = 1});
  return b.concat({x, y}, name + ".concat");
}

ValueId transition(Builder& b, ValueId x, const std::string& name) {
  const int64_t outputs = b.channels(x) / 2;
  x = b.relu(b.batch_norm(x, name + ".norm"), name + ".relu");
  x = b.conv(x, name + ".conv", {.channels = outputs});
  return b.average_pool(x, name + ".pool", {.kernel = 2, .stride = 2});
}

}  // namespace

Result<Graph> make_densenet121(const ZooOptions& options) {
  constexpr int kDepths[] = {6, 12, 24, 16};
  Builder b(options);
  ValueId x =
      b.conv(b.input(), "features.conv0",
             {.channels = 64, .kernel = 7, .stride = 2, .pad = 3, .signal = Signal::kPlain});
  x = b.relu(b.batch_norm(x, "features.norm0"), "features.relu0");
  x = b.max_pool(x, "features.pool0", {.kernel = 3, .stride = 2, .pad = 1});
  for (int block = 0; block < 4; ++block) {
    const std::string number = std::to_string(block + 1);
    for (int i = 0; i < kDepths[block]; ++i) {
      x = dense_layer(b, x, "features.denseblock" + number + ".denselayer" + std::to_string(i + 1));
    }
    if (block < 3) x = transition(b, x, "features.transition" + number);
  }
  x = b.relu(b.batch_norm(x, "features.norm5"), "features.relu5");
  x = b.flatten(b.global_average_pool(x, "avgpool"), "flatten");
  return b.finish(b.dense(x, "classifier", kClasses, Signal::kPooled));
}

}  // namespace carrel::zoo
