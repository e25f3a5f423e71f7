#pragma once
// One function per family; each returns the finished graph or the builder's error.
#include "compiler/graph/graph.h"
#include "compiler/zoo/zoo.h"

namespace carrel::zoo {

inline constexpr int64_t kClasses = 1000;  // ImageNet

Result<Graph> make_alexnet(const ZooOptions& options);
Result<Graph> make_vgg16(const ZooOptions& options);
Result<Graph> make_vgg19(const ZooOptions& options);
Result<Graph> make_resnet18(const ZooOptions& options);
Result<Graph> make_resnet50(const ZooOptions& options);
Result<Graph> make_mobilenet_v1(const ZooOptions& options);
Result<Graph> make_mobilenet_v2(const ZooOptions& options);
Result<Graph> make_squeezenet1_1(const ZooOptions& options);
Result<Graph> make_densenet121(const ZooOptions& options);
Result<Graph> make_inception_v1(const ZooOptions& options);

}  // namespace carrel::zoo
