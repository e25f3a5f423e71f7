// SqueezeNet 1.1: fire modules (a 1x1 squeeze feeding a 1x1 and a 3x3 expansion, concatenated).
#include "compiler/zoo/architectures.h"
#include "compiler/zoo/builder.h"

namespace carrel::zoo {
namespace {

ValueId fire(Builder& b, ValueId x, const std::string& name, int64_t squeeze, int64_t expand) {
  const ValueId s = b.relu(b.conv(x, name + ".squeeze", {.channels = squeeze, .bias = true}),
                           name + ".squeeze_activation");
  const ValueId one = b.conv(s, name + ".expand1x1", {.channels = expand, .bias = true});
  const ValueId three =
      b.conv(s, name + ".expand3x3", {.channels = expand, .kernel = 3, .pad = 1, .bias = true});
  return b.concat(
      {b.relu(one, name + ".expand1x1_activation"), b.relu(three, name + ".expand3x3_activation")},
      name + ".concat");
}

}  // namespace

Result<Graph> make_squeezenet1_1(const ZooOptions& options) {
  struct Fire {
    int64_t squeeze, expand;
    bool pool_before;
  };
  constexpr Fire kFires[] = {{16, 64, true},  {16, 64, false},  {32, 128, true},  {32, 128, false},
                             {48, 192, true}, {48, 192, false}, {64, 256, false}, {64, 256, false}};
  Builder b(options);
  ValueId x =
      b.conv(b.input(), "features.0",
             {.channels = 64, .kernel = 3, .stride = 2, .bias = true, .signal = Signal::kPlain});
  x = b.relu(x, "features.1");
  int index = 2;
  const auto name = [&] { return "features." + std::to_string(index++); };
  for (const Fire& each : kFires) {
    if (each.pool_before) {
      x = b.max_pool(x, name(), {.kernel = 3, .stride = 2, .ceil_mode = true});
    }
    x = fire(b, x, name(), each.squeeze, each.expand);
  }
  x = b.relu(b.conv(x, "classifier.1", {.channels = kClasses, .bias = true}), "classifier.2");
  return b.finish(b.flatten(b.global_average_pool(x, "classifier.3"), "flatten"));
}

}  // namespace carrel::zoo
