// ResNet-18 (basic blocks) and ResNet-50 (bottlenecks, stride on the 3x3).
#include "compiler/zoo/architectures.h"
#include "compiler/zoo/builder.h"

namespace carrel::zoo {
namespace {

// The learnt scale that ends a residual branch. Small, so that the sum of many branches stays of
// order 1; training that starts from 0 gives values like it.
constexpr double kBranchScale = 0.3;

struct Block {
  std::string name;
  int64_t channels;
  int64_t stride;
};

ValueId conv_bn(Builder& b, ValueId x, const Block& block, int index, const ConvSpec& spec,
                double scale = 1) {
  const std::string number = std::to_string(index);
  x = b.conv(x, block.name + ".conv" + number, spec);
  return b.batch_norm(x, block.name + ".bn" + number, scale);
}

ValueId finish_block(Builder& b, ValueId shortcut, ValueId branch, const Block& block) {
  const int64_t outputs = b.channels(branch);
  if (block.stride != 1 || b.channels(shortcut) != outputs) {
    const std::string name = block.name + ".downsample";
    shortcut = b.conv(shortcut, name + ".0", {.channels = outputs, .stride = block.stride});
    shortcut = b.batch_norm(shortcut, name + ".1");
  }
  return b.relu(b.add(branch, shortcut, block.name + ".add"), block.name + ".relu");
}

ValueId basic_block(Builder& b, ValueId x, const Block& block) {
  const int64_t c = block.channels;
  ValueId y =
      conv_bn(b, x, block, 1, {.channels = c, .kernel = 3, .stride = block.stride, .pad = 1});
  y = b.relu(y, block.name + ".relu1");
  y = conv_bn(b, y, block, 2, {.channels = c, .kernel = 3, .pad = 1}, kBranchScale);
  return finish_block(b, x, y, block);
}

ValueId bottleneck(Builder& b, ValueId x, const Block& block) {
  const int64_t c = block.channels;
  ValueId y = b.relu(conv_bn(b, x, block, 1, {.channels = c}), block.name + ".relu1");
  y = conv_bn(b, y, block, 2, {.channels = c, .kernel = 3, .stride = block.stride, .pad = 1});
  y = b.relu(y, block.name + ".relu2");
  y = conv_bn(b, y, block, 3, {.channels = 4 * c}, kBranchScale);
  return finish_block(b, x, y, block);
}

using MakeBlock = ValueId (*)(Builder&, ValueId, const Block&);

Result<Graph> make_resnet(const ZooOptions& options, MakeBlock make_block, const int (&depths)[4]) {
  Builder b(options);
  ValueId x =
      b.conv(b.input(), "conv1",
             {.channels = 64, .kernel = 7, .stride = 2, .pad = 3, .signal = Signal::kPlain});
  x = b.relu(b.batch_norm(x, "bn1"), "relu");
  x = b.max_pool(x, "maxpool", {.kernel = 3, .stride = 2, .pad = 1});
  int64_t channels = 64;
  for (int stage = 0; stage < 4; ++stage, channels *= 2) {
    for (int i = 0; i < depths[stage]; ++i) {
      const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(i);
      x = make_block(b, x, {name, channels, i == 0 && stage > 0 ? 2 : 1});
    }
  }
  x = b.flatten(b.global_average_pool(x, "avgpool"), "flatten");
  return b.finish(b.dense(x, "fc", kClasses, Signal::kPooled));
}

}  // namespace

Result<Graph> make_resnet18(const ZooOptions& options) {
  return make_resnet(options, basic_block, {2, 2, 2, 2});
}

Result<Graph> make_resnet50(const ZooOptions& options) {
  return make_resnet(options, bottleneck, {3, 4, 6, 3});
}

}  // namespace carrel::zoo
