#pragma once
// Well-known image classifiers with seeded synthetic weights, for planning and measuring where no
// trained file is at hand. Architectures follow their papers (torchvision's variants where it has
// them); the weights know nothing.
//
//   alexnet       Krizhevsky 2014 "one weird trick" (torchvision)
//   vgg16, vgg19  Simonyan 2014, configurations D and E
//   resnet18, resnet50   He 2015; stride on the 3x3 of a bottleneck, as torchvision
//   mobilenetv1, mobilenetv2   Howard 2017, Sandler 2018; ReLU6
//   squeezenet1_1 Iandola 2016
//   densenet121   Huang 2016
//   inception_v1  Szegedy 2014 (GoogLeNet): local response normalization, 5x5 branches, no
//   auxiliary classifiers
//
// All classify 1000 ImageNet classes and end in logits. Input "input" (N, 3, resolution,
// resolution), output "logits" (N, 1000), N symbolic. Dropout is left out. Batch normalizations are
// separate kBatchNorm nodes with constant statistics, as a training framework exports them, and
// pools with ceil_mode have resolved end padding. Where the original ends in an adaptive pool
// (alexnet, vgg), the first dense layer follows the resolution instead.
#include <cstdint>
#include <span>
#include <string>

#include "compiler/graph/graph.h"

namespace carrel {

struct ZooOptions {
  std::string name;
  uint64_t seed = 1;
  // Multiplies the channels of mobilenetv1 and mobilenetv2, rounded to multiples of 8 (never below
  // 90 %); other models take 1 only. [0.1, 4].
  double width = 1;
  int64_t resolution = 224;  // height and width, [32, 1024]; alexnet needs 63
  // Constants of rank 2 and more keep their shape but carry no data: enough for planning.
  bool shapes_only = false;
};

// Bytes of constants a model may have: below protobuf's 2 GiB limit on a file.
inline constexpr uint64_t kMaxZooBytes = uint64_t{2000} << 20;

// The names above, in order.
std::span<const char* const> zoo_names();

// The canonical graph, shapes inferred, named "NAME (synthetic weights, seed N)". The same options
// give the same bits on every machine. Weights are scaled so that activations and logits of
// normalised images are of order 1. Errors: kInvalidInput for an unknown name (lists the known
// ones), a width or resolution out of range, or more than kMaxZooBytes of weights.
Result<Graph> make_zoo_model(const ZooOptions& options);

}  // namespace carrel
