#include "compiler/zoo/zoo.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "compiler/zoo/architectures.h"

namespace carrel {
namespace {

struct Entry {
  const char* name;
  Result<Graph> (*make)(const ZooOptions&);
  int64_t least_resolution = 32;
  bool has_width = false;
};

constexpr std::array kEntries = {
    Entry{"alexnet", zoo::make_alexnet, 63},
    Entry{"vgg16", zoo::make_vgg16},
    Entry{"vgg19", zoo::make_vgg19},
    Entry{"resnet18", zoo::make_resnet18},
    Entry{"resnet50", zoo::make_resnet50},
    Entry{"mobilenetv1", zoo::make_mobilenet_v1, 32, true},
    Entry{"mobilenetv2", zoo::make_mobilenet_v2, 32, true},
    Entry{"squeezenet1_1", zoo::make_squeezenet1_1},
    Entry{"densenet121", zoo::make_densenet121},
    Entry{"inception_v1", zoo::make_inception_v1},
};

constexpr auto kNames = [] {
  std::array<const char*, kEntries.size()> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = kEntries[i].name;
  return names;
}();

constexpr int64_t kMaxResolution = 1024;

Error unknown_name(const std::string& name) {
  std::string known;
  for (const char* each : kNames) known += std::string(known.empty() ? "" : ", ") + each;
  return Error(ErrorCode::kInvalidInput, "no zoo model is called \"%.*s\"; there are %s",
               static_cast<int>(std::min<size_t>(name.size(), 40)), name.c_str(), known.c_str());
}

}  // namespace

std::span<const char* const> zoo_names() { return kNames; }

Result<Graph> make_zoo_model(const ZooOptions& options) {
  const auto* entry = std::find_if(kEntries.begin(), kEntries.end(),
                                   [&](const Entry& e) { return options.name == e.name; });
  if (entry == kEntries.end()) return unknown_name(options.name);
  if (options.resolution < entry->least_resolution || options.resolution > kMaxResolution) {
    return Error(ErrorCode::kInvalidInput, "%s: resolution must be between %d and %d", entry->name,
                 static_cast<int>(entry->least_resolution), static_cast<int>(kMaxResolution));
  }
  if (!entry->has_width && options.width != 1) {
    return Error(ErrorCode::kInvalidInput,
                 "%s has one width; only mobilenetv1 and mobilenetv2 can be scaled", entry->name);
  }
  if (!(options.width >= 0.1 && options.width <= 4)) {
    return Error(ErrorCode::kInvalidInput, "%s: width must be between 0.1 and 4", entry->name);
  }
  return entry->make(options);
}

}  // namespace carrel
