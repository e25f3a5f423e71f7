#include "compiler/zoo/zoo.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "engine/crypto/hash.h"

namespace carrel {
namespace {

ZooOptions named(const char* name) {
  ZooOptions options;
  options.name = name;
  options.shapes_only = true;
  return options;
}

Graph make(const ZooOptions& options) {
  Result<Graph> graph = make_zoo_model(options);
  EXPECT_TRUE(graph.ok()) << options.name << ": " << (graph.ok() ? "" : graph.error().message());
  return graph.ok() ? std::move(*graph) : Graph{};
}

bool is_statistic(const Value& value) { return value.name.find("running_") != std::string::npos; }

// Trainable parameters: what frameworks and papers count.
int64_t parameter_count(const Graph& graph) {
  int64_t count = 0;
  for (const Value& value : graph.values) {
    if (value.is_const() && !is_statistic(value)) count += value.shape.count();
  }
  return count;
}

int64_t count_ops(const Graph& graph, OpType op) {
  int64_t count = 0;
  for (const Node& node : graph.nodes) count += node.op == op;
  return count;
}

struct Published {
  const char* name;
  int64_t parameters;
  int64_t convolutions;
};

TEST(Zoo, ParameterCountsAreThePublishedOnes) {
  constexpr Published kPublished[] = {
      {"alexnet", 61100840, 5},      {"vgg16", 138357544, 13},       {"vgg19", 143667240, 16},
      {"resnet18", 11689512, 20},    {"resnet50", 25557032, 53},     {"mobilenetv1", 4231976, 27},
      {"mobilenetv2", 3504872, 52},  {"squeezenet1_1", 1235496, 26}, {"densenet121", 7978856, 120},
      {"inception_v1", 6998552, 57},
  };
  ASSERT_EQ(std::size(kPublished), zoo_names().size());
  for (size_t i = 0; i < zoo_names().size(); ++i) {
    EXPECT_STREQ(zoo_names()[i], kPublished[i].name);
    const Graph graph = make(named(kPublished[i].name));
    EXPECT_EQ(parameter_count(graph), kPublished[i].parameters) << kPublished[i].name;
    EXPECT_EQ(count_ops(graph, OpType::kConv), kPublished[i].convolutions) << kPublished[i].name;
  }
}

// Published: 0.5 and 1.4 of torchvision's and the paper's tables.
TEST(Zoo, WidthsRoundLikeThePaper) {
  ZooOptions options = named("mobilenetv2");
  options.width = 0.5;
  EXPECT_EQ(parameter_count(make(options)), 1968680);
  options.width = 1.4;
  EXPECT_EQ(parameter_count(make(options)), 6108776);
  options = named("mobilenetv1");
  options.width = 0.25;
  EXPECT_EQ(parameter_count(make(options)), 470072);
}

Shape shape_of(const Graph& graph, const std::string& name) {
  for (const Value& value : graph.values) {
    if (value.name == name) return value.shape;
  }
  ADD_FAILURE() << name << " is missing";
  return {};
}

TEST(Zoo, ShapesFollowThePapers) {
  EXPECT_EQ(shape_of(make(named("resnet50")), "layer4.2.relu.out"), (Shape{1, 2048, 7, 7}));
  EXPECT_EQ(shape_of(make(named("vgg16")), "features.30.out"), (Shape{1, 512, 7, 7}));
  EXPECT_EQ(shape_of(make(named("alexnet")), "features.12.out"), (Shape{1, 256, 6, 6}));
  EXPECT_EQ(shape_of(make(named("densenet121")), "features.relu5.out"), (Shape{1, 1024, 7, 7}));
  EXPECT_EQ(shape_of(make(named("squeezenet1_1")), "classifier.2.out"), (Shape{1, 1000, 13, 13}));
  const Graph inception = make(named("inception_v1"));
  EXPECT_EQ(shape_of(inception, "pool1.3x3_s2.out"), (Shape{1, 64, 56, 56}));  // needs ceil_mode
  EXPECT_EQ(shape_of(inception, "inception_5b.output.out"), (Shape{1, 1024, 7, 7}));
}

TEST(Zoo, EveryModelAtSeveralResolutions) {
  for (const char* name : zoo_names()) {
    for (int64_t resolution : {63, 96, 160, 225}) {
      ZooOptions options = named(name);
      options.resolution = resolution;
      const Graph graph = make(options);
      ASSERT_EQ(graph.inputs.size(), 1u);
      ASSERT_EQ(graph.outputs.size(), 1u);
      EXPECT_EQ(graph.value(graph.inputs[0]).shape, (Shape{1, 3, resolution, resolution}));
      EXPECT_EQ(graph.value(graph.outputs[0]).shape, (Shape{1, 1000})) << name;
      EXPECT_EQ(graph.value(graph.outputs[0]).name, "logits");
      EXPECT_EQ(graph.batch, 0);
    }
  }
}

TEST(Zoo, NamesAreUniqueAndSayThatTheWeightsAreSynthetic) {
  ZooOptions options = named("densenet121");
  options.seed = 7;
  const Graph graph = make(options);
  EXPECT_EQ(graph.name, "densenet121 (synthetic weights, seed 7)");
  std::set<std::string> values, nodes;
  for (const Value& value : graph.values) EXPECT_TRUE(values.insert(value.name).second);
  for (const Node& node : graph.nodes) EXPECT_TRUE(nodes.insert(node.name).second);
}

Digest digest_of(const Graph& graph) {
  Sha256 hash;
  for (const Value& value : graph.values) {
    if (value.is_const()) hash.update(value.constant->data);
  }
  return hash.finish();
}

std::string hex(const Digest& digest) {
  std::string text;
  char pair[3];
  for (uint8_t byte : digest.bytes) {
    std::snprintf(pair, sizeof pair, "%02x", byte);
    text += pair;
  }
  return text;
}

TEST(Zoo, WeightsDependOnTheSeedAlone) {
  ZooOptions options = named("squeezenet1_1");
  options.shapes_only = false;
  const Digest first = digest_of(make(options));
  EXPECT_TRUE(digest_of(make(options)) == first);
  options.resolution = 96;  // no tensor's shape depends on it here
  EXPECT_TRUE(digest_of(make(options)) == first);
  // The same on every machine and in every build.
  EXPECT_EQ(hex(first), "bf611d2e34ccca7f0724c34aea68eefae9dc6d67de05d55d0139f0a79a649fbe");
  options.seed = 2;
  EXPECT_FALSE(digest_of(make(options)) == first);
}

TEST(Zoo, ConstantsAreFinite) {
  ZooOptions options = named("mobilenetv2");
  options.shapes_only = false;
  const Graph graph = make(options);
  for (const Value& value : graph.values) {
    if (!value.is_const()) continue;
    ASSERT_EQ(value.constant->data.size(), static_cast<size_t>(value.shape.count()) * 4);
    for (float x : value.constant->f32()) ASSERT_TRUE(std::isfinite(x)) << value.name;
    if (value.name.ends_with("running_var")) {
      for (float x : value.constant->f32()) ASSERT_GT(x, 0.5f);
    }
  }
}

TEST(Zoo, BadOptionsAreErrors) {
  const auto fails = [](const ZooOptions& options) {
    const Result<Graph> graph = make_zoo_model(options);
    return !graph.ok() && graph.error().code() == ErrorCode::kInvalidInput;
  };
  ZooOptions options = named("resnet51");
  EXPECT_TRUE(fails(options));
  options = named("resnet50");
  for (int64_t resolution : {int64_t{-1}, int64_t{0}, int64_t{31}, int64_t{1025}, INT64_MAX}) {
    options.resolution = resolution;
    EXPECT_TRUE(fails(options)) << resolution;
  }
  options = named("resnet50");
  options.width = 0.5;
  EXPECT_TRUE(fails(options));
  options = named("mobilenetv2");
  for (double width : {-1.0, 0.0, 100.0, std::nan(""), 1.0 / 0.0}) {
    options.width = width;
    EXPECT_TRUE(fails(options)) << width;
  }
  options = named("vgg16");
  options.resolution = 1024;  // a first dense layer of 8.6 GB
  EXPECT_TRUE(fails(options));
}

}  // namespace
}  // namespace carrel
